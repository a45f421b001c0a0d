"""The network against numbers recorded from the published definition: outputs, states, memory and inner activations."""

import importlib.util
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.model.rope import state_positions
from cut3r.speed.attention import use_twins
from cut3r.speed.packed import pack
from cut3r.weights.constructor import config_from_constructor
from cut3r.weights.official_names import ours_from_official

FOLDER = Path(__file__).parents[1] / "golden" / "model"
OFFICIAL = {
    "points_cam": "pts3d_in_self_view",
    "conf_cam": "conf_self",
    "points_world": "pts3d_in_other_view",
    "conf_world": "conf",
    "rgb": "rgb",
    "pose_encoding": "camera_pose",
}
HEADS = ["dpt", "linear"]
CASES = ["images", "portrait", "mixed", "stream_images", "stream_mixed"]


@cache
def golden_model(head: str) -> Cut3r:
    """The small network with the weights that the numbers were recorded with, rebuilt from the official names."""
    module = importlib.util.spec_from_file_location("golden_weights", FOLDER / "golden_weights.py")
    assert module is not None
    assert module.loader is not None
    golden_weights = importlib.util.module_from_spec(module)
    module.loader.exec_module(golden_weights)
    spec = json.loads((FOLDER / f"keys_small_{head}.json").read_text())
    weights = {
        ours_from_official(k): torch.from_numpy(v) for k, v in golden_weights.golden_state_dict(spec["keys"]).items()
    }
    weights.pop(None, None)  # second names of tensors that are already there
    model = Cut3r(config_from_constructor(spec["model"]))
    model.load_state_dict(weights)
    return model.eval()


@cache
def recorded(head: str, case: str) -> dict[str, Tensor]:
    with np.load(FOLDER / f"small_{head}_{case}.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def views_of(data: dict[str, Tensor]) -> list[ViewInput]:
    flags = ("img_mask", "ray_mask", "update", "reset")
    return [
        ViewInput(data["img"][i], data["ray_map"][i], *(data[flag][i] for flag in flags))
        for i in range(len(data["img"]))
    ]


def assert_recorded(ours: Tensor, recorded: Tensor) -> None:
    """The tolerance that the golden README states."""
    assert ours.shape == recorded.shape
    assert (ours - recorded).abs().max() <= 1e-4 * (1 + recorded.abs().max())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("head", HEADS)
@torch.inference_mode()
def test_outputs_states_and_memory_are_the_published_ones(head, case):
    data = recorded(head, case)
    combine = "stream" if case.startswith("stream") else "batch"
    rollout = golden_model(head).rollout(views_of(data), outputs=Outputs.all(), combine=combine, keep_states=True)
    for ours, official in OFFICIAL.items():
        assert_recorded(torch.stack([getattr(p, ours) for p in rollout.predictions]), data[f"out_{official}"])
    assert_recorded(torch.stack([state.tokens for state in rollout.states]), data["state"])
    assert_recorded(torch.stack([state.memory for state in rollout.states]), data["mem"])


@pytest.mark.parametrize("head", HEADS)
@torch.inference_mode()
def test_a_query_of_an_unseen_view_is_the_published_one(head):
    data, model = recorded(head, "stream_images"), golden_model(head)
    rollout = model.rollout(views_of(data), outputs=Outputs.none(), combine="stream")
    query = ViewInput(ray_map=data["query_ray_map"])
    prediction, after = model.step(rollout.states[-1], query, model.encode(query), Outputs.all())
    for ours, official in OFFICIAL.items():
        assert_recorded(getattr(prediction, ours), data[f"query_out_{official}"])
    assert after.tokens is rollout.states[-1].tokens, "a query leaves the state alone"
    assert after.memory is rollout.states[-1].memory


def first_step(head: str, watched: dict[str, nn.Module]) -> dict[str, Tensor]:
    """Run the first view of the `images` case and catch what comes out of some modules."""
    caught: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _module, _args, out, name=name: caught.__setitem__(name, out))
        for name, module in watched.items()
    ]
    data, model = recorded(head, "images"), golden_model(head)
    view = views_of(data)[0]
    model.step(model.initial_state(view.batch_size), view, model.encode(view, combine="batch"), Outputs.all())
    for hook in hooks:
        hook.remove()
    return caught


@pytest.mark.parametrize("head", HEADS)
@torch.inference_mode()
def test_the_activations_inside_are_the_published_ones(head):
    data, model = recorded(head, "images"), golden_model(head)
    encoder, decoder = model.encoder.image, model.decoder
    watched: dict[str, nn.Module] = {"patch": encoder.patch, "block": encoder.blocks[0], "encoder": encoder}
    for layer in range(4):
        watched[f"image{layer + 1}"], watched[f"state{layer + 1}"] = (
            decoder.image_blocks[layer],
            decoder.state_blocks[layer],
        )
    watched["image4"], watched["state4"] = (
        decoder.norm,
        decoder.norm_state,
    )  # the last layer is recorded after its norms
    caught = first_step(head, watched)
    assert_recorded(caught["patch"].flatten(2).mT, data["dbg_patch_embed"])
    assert_recorded(caught["block"], data["dbg_enc_block0"])
    assert_recorded(caught["encoder"], data["dbg_enc_out"])
    assert_recorded(caught["encoder"], data["dbg_dec0_img"])
    assert_recorded(model.initial_state(2).tokens, data["dbg_dec0_state"])
    for layer in range(1, 5):
        assert_recorded(caught[f"image{layer}"], data[f"dbg_dec{layer}_img"])
        assert_recorded(caught[f"state{layer}"], data[f"dbg_dec{layer}_state"])


@pytest.mark.parametrize("head", HEADS)
@torch.inference_mode()
def test_ray_tokens_and_pose_memory_are_the_published_ones(head):
    data, model = recorded(head, "images"), golden_model(head)
    assert_recorded(model.encoder.rays(data["ray_map"][0].movedim(-1, 1)), data["dbg_ray_enc_out"])
    assert_recorded(model.initial_state(2).tokens, data["dbg_state0"])
    memory = model.memory.initial(2)
    summary = data["dbg_enc_out"].mean(dim=1, keepdim=True)
    assert_recorded(model.memory.read(memory, summary), data["dbg_mem_read"])
    assert_recorded(model.memory.write(memory, summary, data["dbg_dec4_img"][:, :1]), data["dbg_mem_write"])


def test_token_positions_are_the_published_ones():
    data = recorded("dpt", "images")
    grid = torch.cartesian_prod(torch.arange(2), torch.arange(3))  # 32 x 48 pixels
    torch.testing.assert_close(grid.expand(2, -1, -1), data["dbg_pos"].long())
    positions = state_positions(30, "grid")
    assert positions is not None
    torch.testing.assert_close(positions.expand(2, -1, -1), data["state_pos"].long())


@pytest.mark.parametrize("head", HEADS)
@torch.inference_mode()
def test_bfloat16_weights_stay_close(head):
    data = recorded(head, "images")
    model = Cut3r(golden_model(head).config)
    model.load_state_dict(golden_model(head).state_dict())
    fast = model.eval().to_dtype(torch.bfloat16)
    use_twins(fast)
    pack(fast)
    rollout = fast.rollout(views_of(data), outputs=Outputs.all())
    # world points: the linear head mirrors camera points by the sign of z, which is a jump where z is near 0
    ours = torch.stack([p.points_world for p in rollout.predictions])
    want = data["out_pts3d_in_other_view"]
    assert ours.dtype is torch.float32
    assert (ours - want).norm() / want.norm() < 0.03
    if head == "dpt":  # of full width
        cam = torch.stack([p.points_cam for p in rollout.predictions])
        assert (cam - data["out_pts3d_in_self_view"]).norm() / data["out_pts3d_in_self_view"].norm() < 0.03
    poses = torch.stack([p.pose_encoding for p in rollout.predictions])
    angles = 2 * (poses[..., 3:] * data["out_camera_pose"][..., 3:]).sum(dim=-1).abs().clamp(max=1).acos().rad2deg()
    assert (
        angles.median() < 1
    )  # the quaternions of random weights are short, so single ones turn more: up to 3.4 degrees
    assert rollout.states[-1].tokens.dtype is torch.float32


@torch.inference_mode()
def test_heads_that_are_not_asked_for_do_not_run():
    model = golden_model("linear")
    ran = []
    hooks = [
        part.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, part in model.heads.named_children()
        if not isinstance(part, nn.ModuleList)
    ]
    rollout = model.rollout(
        views_of(recorded("linear", "portrait")), outputs=Outputs(points_cam=False, rgb=True, pose=False)
    )
    for hook in hooks:
        hook.remove()
    assert set(ran) == {"rgb"}
    assert rollout.predictions[0] == Prediction(rgb=rollout.predictions[0].rgb)
