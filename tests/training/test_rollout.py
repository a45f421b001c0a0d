import json

import numpy as np
import pytest
import torch

from cut3r.model.prediction import Outputs
from cut3r.training.freeze import Freeze, freeze
from cut3r.training.learner import fill_missing_gradients
from cut3r.training.loss_config import LossConfig
from cut3r.training.losses import ReconstructionLoss
from cut3r.training.precision import Precision, keep_outputs_float32, recompute_blocks
from cut3r.training.rollout import (
    Batch,
    Chunk,
    RolloutConfig,
    TrainingStep,
    Window,
    chunk_plan,
    merge_details,
    run_chunks,
)
from cut3r.weights.official_names import official_from_ours
from tests.training.fake_feed import random_views, small_network, with_rays

CPU = torch.device("cpu")
LOSS = ReconstructionLoss(LossConfig())
PARITY = RolloutConfig(chunked=True, detached_inputs=True)


def learn(model, views, config, precision=Precision.fp32):
    """One iteration's gradients, as the trainer adds them up."""
    step = TrainingStep(model, precision, detached_inputs=config.detached_inputs)
    plan = chunk_plan(len(views), config)
    for piece in run_chunks(step, Batch.make(views, CPU), plan, LOSS):
        if piece.chunk.graded:
            (piece.total / sum(chunk.graded for chunk in plan)).backward()
    if not config.detached_inputs:
        fill_missing_gradients([(name, p) for name, p in model.named_parameters() if p.requires_grad])
    return {name: p.grad for name, p in model.named_parameters()}


def test_the_chunks_are_those_of_the_original(golden):
    for row in json.loads((golden / "loss" / "tbptt_structure.json").read_text())["plan"]:
        plan = chunk_plan(row["views"], RolloutConfig(chunked=True))
        assert [[chunk.start, chunk.end] for chunk in plan] == row["chunks"]
        assert [chunk.graded for chunk in plan] == row["graded"]


def test_a_whole_rollout_is_one_graded_chunk():
    assert chunk_plan(9, RolloutConfig()) == [Chunk(0, 9, graded=True)]


def test_a_random_window_reaches_every_chunk():
    config = RolloutConfig(chunked=True, chunk_views=2, graded_chunks=2, window=Window.random)
    draw = np.random.default_rng(0)
    plans = [chunk_plan(12, config, draw) for _ in range(60)]
    assert {chunk.start for plan in plans for chunk in plan if chunk.graded} == set(range(0, 12, 2))
    assert all(sum(chunk.graded for chunk in plan) == 2 and plan[-1].graded for plan in plans)


@pytest.mark.parametrize(("head", "views"), [("dpt", 8), ("linear", 17)])
def test_in_parity_the_same_parameters_get_no_gradient(golden, head, views):
    """None there may be zero here: our pose token is chosen by a mask."""
    model = small_network(head)
    freeze(model, Freeze.encoder)
    gradients = learn(model, random_views(1, samples=1, views=views), PARITY)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    none = {official_from_ours(n)[0] for n in trainable if gradients[n] is None or not gradients[n].any()}
    recorded = json.loads((golden / "loss" / "tbptt_structure.json").read_text())["no_gradient"]
    expected = {name for name in recorded[f"{head}/tbptt_{views}_views"] if "refinenet4.resConfUnit1" not in name}
    assert none == expected


@pytest.mark.parametrize("views", [2, 5])
def test_by_default_the_initial_state_learns_in_chunks(views):
    config = RolloutConfig(chunked=True, chunk_views=2, graded_chunks=4)
    gradients = learn(small_network("linear"), random_views(1, views=views), config)
    for name in ("decoder.initial_tokens", "decoder.embed_state.weight", "memory.slots", "decoder.pose_token"):
        assert gradients[name].abs().max() > 0, name


def test_every_parameter_has_a_gradient_even_if_the_batch_has_no_rays():
    gradients = learn(small_network("linear"), random_views(1), RolloutConfig())
    assert gradients["encoder.rays.patch.weight"].abs().max() == 0
    assert all(gradient is not None for gradient in gradients.values())


def test_one_chunk_of_all_views_is_the_whole_rollout():
    views = with_rays(random_views(3, views=4), 2)
    whole = learn(small_network("linear"), views, RolloutConfig())
    chunked = learn(small_network("linear"), views, RolloutConfig(chunked=True, chunk_views=4))
    assert all(torch.equal(whole[name], chunked[name]) for name in whole)


def test_chunks_predict_what_the_whole_rollout_predicts():
    model, views = small_network("linear"), with_rays(random_views(3, views=5), 3)
    batch, step = Batch.make(views, CPU), TrainingStep(model, Precision.fp32)
    config = RolloutConfig(chunked=True, chunk_views=2)
    with torch.no_grad():
        pieces = list(run_chunks(step, batch, chunk_plan(5, config), LOSS))
        expected = model.rollout(batch.inputs, outputs=Outputs.all()).predictions
    found = [prediction for piece in pieces for prediction in piece.predictions]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.points_world, theirs.points_world)
        torch.testing.assert_close(ours.world_from_cam, theirs.world_from_cam)


def test_no_gradient_crosses_the_border_of_a_chunk():
    """The second chunk's loss does not reach the initial state, which only the first chunk reads directly."""
    model, views = small_network("linear"), random_views(1, views=4)
    config = RolloutConfig(chunked=True, chunk_views=2, graded_chunks=1)
    gradients = learn(model, views, config)
    assert gradients["decoder.initial_tokens"].abs().max() == 0
    assert gradients["decoder.image_blocks.0.attn.qkv.weight"].abs().max() > 0


def test_recomputing_blocks_changes_no_gradient():
    views = with_rays(random_views(3, views=3), 1)
    plain = learn(small_network("dpt"), views, RolloutConfig())
    model = small_network("dpt")
    recompute_blocks(model)
    recomputed = learn(model, views, RolloutConfig())
    for name, gradient in plain.items():
        if gradient is not None:
            torch.testing.assert_close(recomputed[name], gradient)


def test_recomputing_blocks_keeps_less():
    views = random_views(3, views=3)

    def kept(model):
        sizes = []

        def note(tensor):
            sizes.append(tensor.numel())
            return tensor

        step = TrainingStep(model, Precision.fp32)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            list(run_chunks(step, Batch.make(views, CPU), chunk_plan(3, RolloutConfig()), LOSS))
        return sum(sizes)

    model = small_network("dpt")
    recompute_blocks(model)
    assert kept(model) < 0.6 * kept(small_network("dpt"))


def test_in_mixed_precision_the_trunk_is_bfloat16_and_the_heads_are_not():
    model = small_network("linear")
    keep_outputs_float32(model)
    seen = {}
    for name in ("encoder.image.blocks.0.mlp.fc1", "heads.points_cam.mlp.fc1", "heads.pose.fc1"):
        module = model.get_submodule(name)
        module.register_forward_hook(lambda _module, _inputs, out, name=name: seen.update({name: out.dtype}))
    gradients = learn(model, random_views(1), RolloutConfig(), Precision.bf16)
    assert seen == {
        "encoder.image.blocks.0.mlp.fc1": torch.bfloat16,
        "heads.points_cam.mlp.fc1": torch.float32,
        "heads.pose.fc1": torch.float32,
    }
    assert all(gradient.dtype == torch.float32 for gradient in gradients.values())


def test_a_frozen_pass_before_a_graded_chunk_steals_no_gradient():
    """T3: a cast cached without gradient was reused in the first graded chunk, whose layers then learned nothing."""
    config = RolloutConfig(chunked=True, chunk_views=1, graded_chunks=1)
    model = small_network("linear")
    gradients = learn(model, random_views(1, views=2), config, Precision.bf16)
    assert gradients["decoder.image_blocks.0.mlp.fc1.weight"].abs().max() > 0


def test_details_count_their_views_through_the_sequence():
    first = {"rgb/1": torch.tensor(1.0), "rgb/2": torch.tensor(2.0), "pose": torch.tensor(4.0)}
    second = {"rgb/1": torch.tensor(3.0), "pose": torch.tensor(6.0)}
    merged = merge_details([(0, first), (2, second)])
    assert {name: float(value) for name, value in merged.items()} == {"rgb/1": 1, "rgb/2": 2, "rgb/3": 3, "pose": 5}


def test_parity_options_need_chunks():
    with pytest.raises(ValueError, match=r"rollout\.chunked=true"):
        RolloutConfig(step_per_chunk=True)
