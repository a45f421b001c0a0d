import numpy as np
import pytest
import torch

from cut3r.data.view import Facts, RawFrame, View, assemble, image_tensor
from cut3r.geometry.cameras import project
from cut3r.geometry.poses import invert, transform
from tests.data.toy_dataset import toy_frame


def sample(count=3, **facts):
    frames = [toy_frame(i) for i in range(count)]
    shown = [(True, False), (False, True), (True, True)][:count]
    return on_cpu(assemble(frames, [f"toy/{i}" for i in range(count)], shown, Facts(**facts)))


def on_cpu(compact):
    return [view.to("cpu") for view in compact]


def test_an_image_and_a_depth_map_of_different_size_are_refused():
    frame = toy_frame(0)
    with pytest.raises((ValueError, TypeError)):  # the type checker of the tests is faster than our own message
        RawFrame(frame.rgb, frame.depth[:10], frame.intrinsics, frame.world_from_cam)


def test_points_are_where_the_camera_sees_them():
    for view in sample():
        points_cam = transform(invert(view.world_from_cam), view.points)
        pixels, depth = project(points_cam[view.valid], view.intrinsics)
        torch.testing.assert_close(depth, view.depth[view.valid])
        y, x = torch.nonzero(view.valid, as_tuple=True)
        torch.testing.assert_close(pixels, torch.stack((x, y), dim=-1).float(), atol=1e-3, rtol=0)


def test_sky_and_unknown_depth_are_told_apart_and_neither_is_valid():
    view = sample(1)[0]
    assert view.sky[0, 1:].all() and not view.valid[0].any()
    assert not view.sky[1:, 0].any() and not view.valid[1:, 0].any()
    assert view.valid[1:, 1:].all()


def test_a_point_without_depth_is_the_cameras_centre():
    view = sample()[2]
    torch.testing.assert_close(view.points[~view.valid].unique(dim=0), view.world_from_cam[None, :3, 3])


def test_the_world_is_moved_to_the_first_camera_before_float32_loses_millimetres():
    views = sample()
    torch.testing.assert_close(views[0].world_from_cam, torch.eye(4))
    torch.testing.assert_close(views[1].world_from_cam[:3, 3], torch.tensor([0.1, 0, 0]), atol=1e-7, rtol=1e-6)


def test_a_ray_map_is_relative_to_the_first_view_and_holds_positions_as_the_published_weights_want():
    # common.md C6, golden
    intrinsics = np.array([[2.0, 0, 1], [0, 2.0, 1], [0, 0, 1]])
    first, second = np.eye(4), np.eye(4)
    second[:3] = [[0, 0, 1, 1], [0, 1, 0, 2], [-1, 0, 0, 3]]
    moved = np.eye(4)
    moved[:3] = [[0, 1, 0, 5], [-1, 0, 0, 6], [0, 0, 1, 7]]
    rgb, depth = np.zeros((3, 3, 3), dtype=np.uint8), np.ones((3, 3), dtype=np.float32)
    frames = [RawFrame(rgb, depth, intrinsics, moved @ pose) for pose in (first, second)]
    shown = [(True, True)] * 2
    rays = on_cpu(assemble(frames, ["a", "b"], shown, Facts()))[1].ray_map
    expected = torch.tensor([1, 2, 3, 0.464991, 0.348743, 0.813733])
    torch.testing.assert_close(rays[0, 0], expected, atol=2e-6, rtol=0)
    expected = torch.tensor([1, 2, 3, 0.485071, 0.485071, 0.727607])
    torch.testing.assert_close(rays[1, 1], expected, atol=2e-6, rtol=0)
    plain = on_cpu(assemble(frames, ["a", "b"], shown, Facts(), include_translation=False))[1].ray_map
    torch.testing.assert_close(plain[1, 1], torch.tensor([1.0, 2, 3, 1, 0, 0]))


def test_a_view_without_an_image_does_not_write_to_the_state():
    assert [bool(view.update) for view in sample()] == [True, False, True]
    assert [(bool(view.has_image), bool(view.has_rays)) for view in sample()] == [
        (True, False),
        (False, True),
        (True, True),
    ]


def test_unrelated_pictures_reset_the_state_after_each():
    assert all(view.reset for view in sample(single_view=True))
    assert not any(view.reset for view in sample())


def test_images_span_minus_one_to_one():
    rgb = torch.tensor([[[0, 127, 255]]], dtype=torch.uint8)
    torch.testing.assert_close(image_tensor(rgb).flatten(), torch.tensor([-1, 127 / 127.5 - 1, 1]))


def test_moving_a_view_moves_every_tensor_and_keeps_the_label():
    view = sample(1)[0].to("meta")
    assert isinstance(view, View)
    assert view.image.device.type == view.metric.device.type == "meta"
    assert view.label == "toy/0"
    assert view.size == (48, 64)


def test_what_the_network_needs_is_made_where_the_view_is_moved_to():
    compact = assemble([toy_frame(0)], ["toy/0"], [(True, False)], Facts())[0]
    assert compact.rgb.dtype == torch.uint8 and compact.size == (48, 64)
    view = compact.to("meta")
    assert {view.image.device.type, view.points.device.type, view.ray_map.device.type} == {"meta"}
    assert not compact.has_rays.is_meta, "the flags are asked on the host"
