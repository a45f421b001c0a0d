"""Fast paths are twins of plain ones: the same numbers, within what their precision allows."""

import pytest
import torch

from cut3r.geometry.poses import rotation_angle
from cut3r.model.attention import FEWEST_SCORES, attend, attend_on_cpu, attend_plain, plain_attention, turn
from cut3r.model.checkpoint import export_official, save
from cut3r.model.encoder import ViewInput
from cut3r.model.packed import PackedWeightsError, can_pack
from cut3r.model.prediction import Outputs
from cut3r.model.rope import grid_angles, rotate
from cut3r.model.speed import compile_blocks, fastest_dtype
from tests.conftest import make_tiny

CPU = torch.device("cpu")
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2}


def inputs(dtype, *, batch=2, heads=3, grid=(16, 18), keys=(15, 17), channels=16):
    """Queries, keys and values as attention gets them: strided views of a projection."""
    torch.manual_seed(0)
    n, m = grid[0] * grid[1], keys[0] * keys[1]
    q = torch.randn(batch, n, heads, channels).to(dtype).transpose(1, 2)
    k, v = (tensor.transpose(1, 2) for tensor in torch.randn(batch, m, 2, heads, channels).to(dtype).unbind(2))
    return q, k, v, grid_angles(grid, channels, 100.0, CPU), grid_angles(keys, channels, 100.0, CPU)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("heads", [1, 3, 8, 12])
def test_attention_on_a_cpu_is_attention(dtype, heads):
    arguments = inputs(dtype, heads=heads)
    with torch.inference_mode():
        found, expected = attend_on_cpu(*arguments), attend_plain(*arguments)
    assert found.dtype is dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE[dtype])


def test_bfloat16_is_about_as_close_to_the_truth_as_the_plain_path():
    exact = attend_plain(*inputs(torch.float32))
    arguments = inputs(torch.bfloat16)
    with torch.inference_mode():
        ours, plain = ((path(*arguments).float() - exact).abs().mean() for path in (attend_on_cpu, attend_plain))
    assert ours < 1.5 * plain  # the scores, too, are bfloat16


def test_turning_in_place_is_rotating():
    q, _, _, angles, _ = inputs(torch.float32)
    before = q.clone()
    torch.testing.assert_close(turn(q, angles, 0.5), 0.5 * rotate(q, angles), rtol=0, atol=1e-6)
    assert torch.equal(q, before)


def test_the_twin_is_taken_where_it_pays(monkeypatch):
    taken = []

    def twin(*arguments):
        taken.append(1)
        return attend_plain(*arguments)

    monkeypatch.setattr("cut3r.model.attention.attend_on_cpu", twin)
    q, k, v, q_angles, k_angles = inputs(torch.bfloat16)
    assert q.shape[2] * k.shape[2] >= FEWEST_SCORES
    attend(q, k, v, q_angles, k_angles)
    assert not taken, "it has no gradients"
    with torch.inference_mode():
        attend(q, k, v, q_angles, None)
        attend(q[:, :, :9], k, v, (q_angles[0][:, :, :9], q_angles[1][:, :, :9]), k_angles)
        assert not taken, "a side without angles, and few scores"
        with plain_attention():
            attend(q, k, v, q_angles, k_angles)
        assert not taken, "not wanted"
        attend(q, k, v, q_angles, k_angles)
    assert taken


def second_view(model, size=(256, 272), samples=1):
    """What a network says about the second of two views; large enough for the fast paths."""
    views = [
        ViewInput(image=torch.rand(samples, 3, *size, generator=torch.Generator().manual_seed(s)) * 2 - 1)
        for s in (0, 1)
    ]
    with torch.inference_mode():
        return model.rollout(views, outputs=Outputs.all()).predictions[1]


@pytest.mark.skipif(
    not can_pack(),
    reason="SKIPPED LOUDLY: this PyTorch cannot pack weights, the packed path is not verified by this run",
)
def test_packed_weights_give_the_same_numbers():
    plain, packed = make_tiny("dpt").to_dtype(torch.bfloat16), make_tiny("dpt").to_dtype(torch.bfloat16).pack()
    assert packed.is_packed
    # Several samples, because seven numbers of a single pose say nothing about the size of rounding errors
    ours, theirs, exact = (second_view(model, samples=8) for model in (packed, plain, make_tiny("dpt")))
    for name in ("points_cam", "points_world", "rgb", "pose_encoding"):
        found, expected, truth = (getattr(each, name) for each in (ours, theirs, exact))
        assert (found - truth).abs().mean() < 1.3 * (expected - truth).abs().mean() + 1e-6, name


@pytest.mark.skipif(
    not can_pack(),
    reason="SKIPPED LOUDLY: this PyTorch cannot pack weights, the packed path is not verified by this run",
)
def test_a_packed_network_takes_no_more_memory_and_refuses_what_it_cannot_do(tmp_path):
    model = make_tiny("linear").to_dtype(torch.bfloat16).pack()
    assert model.encoder.image.blocks[0].mlp.fc1.weight.is_meta
    assert model.dtype is torch.bfloat16
    for refused in (
        lambda: save(model, tmp_path / "net.safetensors"),
        lambda: export_official(model, tmp_path / "net.pth"),
        lambda: model.to_dtype(torch.float32),
    ):
        with pytest.raises(PackedWeightsError, match="load the network"):
            refused()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_packed_in_float32():
    assert not make_tiny("linear").pack().is_packed


def test_bfloat16_points_and_pose_stay_close_to_float32():
    exact, rough = second_view(make_tiny("dpt")), second_view(make_tiny("dpt").to_dtype(torch.bfloat16).pack())
    distance = (rough.points_cam - exact.points_cam).norm(dim=-1) / exact.points_cam.norm(dim=-1)
    assert distance.median() < 0.03
    turned = rotation_angle(rough.world_from_cam[:, :3, :3], exact.world_from_cam[:, :3, :3])
    assert turned.rad2deg().max() < 1


def test_small_networks_stay_in_float32():
    assert fastest_dtype("cpu", width=192) is torch.float32


def test_the_choice_is_measured_and_leaves_the_threads_alone(monkeypatch):
    seconds = {torch.float32: 1.0, torch.bfloat16: 1.0}
    monkeypatch.setattr("cut3r.model.speed._seconds", lambda dtype, width: seconds[dtype])
    before = torch.get_num_threads()
    assert fastest_dtype("cpu") is torch.float32
    seconds[torch.bfloat16] = 0.5
    assert fastest_dtype("cpu") is torch.bfloat16
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_compiled_blocks_give_the_same_numbers():
    plain, compiled = make_tiny("linear"), make_tiny("linear")
    compile_blocks(compiled)
    ours, theirs = second_view(compiled, (48, 64)), second_view(plain, (48, 64))
    torch.testing.assert_close(ours.points_cam, theirs.points_cam, rtol=1e-4, atol=1e-5)
    assert {*compiled.state_dict()} == {*plain.state_dict()}
