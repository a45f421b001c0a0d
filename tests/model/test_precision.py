"""In bfloat16, what reads or gives metres is as fine as in float32."""

import pytest
import torch
from torch import Tensor, nn

from cut3r.geometry.cameras import pinhole, ray_map
from cut3r.geometry.poses import pose_from_parts
from cut3r.model.blocks import Conv2d, Linear
from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.speed.attention import LayerByRows
from cut3r.speed.packed import can_pack, pack
from tests.conftest import make_tiny

SIZE = (96, 128)
LOW = [torch.bfloat16, torch.float16]


def set_far_away(model: Cut3r) -> Cut3r:
    """Let a random network see everything about 3 m in front, where bfloat16 has steps of 3 cm."""
    raw = torch.tensor([0.2, 0.1, 1.4])
    for head in (model.heads.points_cam, model.heads.points_world):
        pixels = head.last.bias.shape[0] // 4
        with torch.no_grad():
            head.last.bias[: 3 * pixels] = raw.repeat_interleave(pixels)
    return model


def smooth_picture() -> Tensor:
    y, x = torch.meshgrid(*(torch.linspace(0, 1, side) for side in SIZE), indexing="ij")
    return (0.7 * (torch.stack((x, y, (x + y) / 2)) * 2 - 1) + 0.3 * torch.sin(6 * x) * torch.cos(5 * y))[None]


@torch.inference_mode()
def seen(head: str, dtype: torch.dtype) -> Prediction:
    model = set_far_away(make_tiny(head)).to_dtype(dtype)
    return model.rollout([ViewInput(smooth_picture())], outputs=Outputs.all()).predictions[0]


@pytest.mark.parametrize("head", ["dpt", "linear"])
def test_bfloat16_gives_as_many_distinct_numbers_as_float32(head):
    exact, rough = seen(head, torch.float32), seen(head, torch.bfloat16)
    for name in ("points_cam", "points_world", "conf_cam", "conf_world", "rgb"):
        found, expected = getattr(rough, name), getattr(exact, name)
        found, expected = (x if "conf" in name else x[..., -1] for x in (found, expected))
        assert found.dtype is torch.float32
        assert len(found.unique()) == pytest.approx(len(expected.unique()), rel=0.02), name


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("head", ["dpt", "linear"])
def test_layers_that_read_or_give_metres_stay_in_float32(head, dtype):
    model = make_tiny(head).to_dtype(dtype)
    heads = model.heads
    exact = {model.encoder.rays.patch, heads.points_cam.last, heads.points_world.last, heads.rgb.last}
    exact |= {heads.pose.fc1, heads.pose.fc2}
    kept = {m for m in model.modules() if isinstance(m, Conv2d | Linear) and m.weight.dtype is torch.float32}
    assert kept == exact


def pixels_that_the_layer_reads(layer: nn.Conv2d, rays: Tensor) -> tuple[Tensor, Tensor]:
    """The origins and the directions of the top row, as the ray-map patch layer reads them."""
    patch = layer.kernel_size[1]
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
        for channel in range(3):
            layer.weight[channel, channel, 0, 0] = 1  # the origin of the first pixel of a patch
            for x in range(patch):
                layer.weight[3 + 3 * x + channel, 3 + channel, 0, x] = 1
        row = layer(rays.movedim(-1, 1))[0, :, 0]  # [channels, patches]
    return row[:3].T, row[3 : 3 + 3 * patch].unflatten(0, (patch, 3)).permute(2, 0, 1).flatten(0, 1)


@pytest.mark.parametrize("place", [(0.5, 0.0, 0.0), (3.3, 0.2, 5.7), (12.3, 0.4, 33.1)])
def test_bfloat16_keeps_the_camera_of_a_ray_map(place):
    camera = pose_from_parts(torch.eye(3), torch.tensor(place))
    rays = ray_map(camera, pinhole((16, 512), 400.0), (16, 512), include_translation=True)[None]
    origins, directions = pixels_that_the_layer_reads(
        make_tiny("linear").to_dtype(torch.bfloat16).encoder.rays.patch, rays
    )
    assert (origins - rays[0, 0, ::16, :3]).abs().max() < 1e-3
    assert len(directions.unique(dim=0)) == 512


def test_autocast_leaves_ray_maps_alone():
    layer = make_tiny("linear").encoder.rays.patch
    rays = 35 + torch.rand(1, 6, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = layer(rays)
    torch.testing.assert_close(inside, layer(rays), rtol=0, atol=0)


@pytest.mark.gpu
def test_tf32_leaves_ray_maps_alone():
    before = torch.backends.cudnn.allow_tf32
    rays = 35 + torch.rand(1, 6, 32, 32)
    layer = make_tiny("linear").encoder.rays.patch
    expected = layer(rays)
    try:
        torch.backends.cudnn.allow_tf32 = True
        found = layer.cuda()(rays.cuda()).cpu()
        assert torch.backends.cudnn.allow_tf32, "restored"
    finally:
        torch.backends.cudnn.allow_tf32 = before
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(
    not can_pack(),
    reason="SKIPPED LOUDLY: this PyTorch cannot pack weights here, the packed path is not verified by this run",
)
def test_only_bfloat16_layers_are_packed():
    model = make_tiny("linear").to_dtype(torch.bfloat16)
    pack(model)
    packed = {module for module in model.modules() if isinstance(module, Linear) and module.packed is not None}
    assert packed.isdisjoint(model.heads.exact_layers())
    assert model.heads.points_cam.mlp.fc1 in packed


@torch.inference_mode()
def test_a_dense_head_gives_the_same_whether_its_last_layer_sees_all_rows_or_some():
    layer, x = Conv2d(8, 4, kernel_size=1), torch.rand(2, 8, 70, 16).bfloat16()
    whole = layer(x)
    layer.__class__ = LayerByRows
    torch.testing.assert_close(layer(x), whole, rtol=1e-6, atol=1e-6)
