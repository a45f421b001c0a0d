"""Laws of pinhole cameras and ray maps, and the original's numbers for them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.geometry.cameras import (
    camera_rays,
    crop_intrinsics,
    focal_from_fov,
    fov_from_focal,
    pinhole,
    pixel_grid,
    project,
    ray_map,
    resize_intrinsics,
    unproject,
    viewer_intrinsics,
)
from cut3r.geometry.poses import invert, pose_from_encoding

sides = st.integers(1, 40)
focals = st.floats(5.0, 500.0)
scales = st.floats(0.1, 10.0)
offsets = st.floats(-300.0, 300.0)


@pytest.fixture
def recorded(golden):
    with np.load(golden / "inference" / "geometry.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays if name[:4] in ("unpr", "dm2p", "geot", "ray/")}


def close(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


def test_the_pixel_grid_counts_x_along_the_width():
    assert pixel_grid(2, 3)[1].tolist() == [[0.0, 1.0, 1.0], [1.0, 1.0, 1.0], [2.0, 1.0, 1.0]]


@given(h=sides, w=sides, focal=focals, seed=st.integers(0, 99))
def test_depth_survives_the_round_trip(h, w, focal, seed):
    depth = torch.rand(2, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.5
    intrinsics = pinhole((h, w), torch.tensor([focal, 2 * focal], dtype=torch.float64))
    pixels, z = project(unproject(depth, intrinsics), intrinsics)
    torch.testing.assert_close(z, depth)
    torch.testing.assert_close(pixels, pixel_grid(h, w, dtype=torch.float64)[..., :2].expand(2, h, w, 2))


def test_the_default_principal_point_is_the_middle_of_the_image():
    assert camera_rays(pinhole((3, 5), 10.0), (3, 5))[1, 2].tolist() == [0.0, 0.0, 1.0]


@given(h=sides, w=sides, focal=focals, seed=st.integers(0, 99), include_translation=st.booleans())
def test_the_first_view_has_rays_from_the_origin(h, w, focal, seed, include_translation):
    world_from_first = pose_from_encoding(torch.randn(7, generator=torch.Generator().manual_seed(seed)).double())
    intrinsics = pinhole((h, w), torch.tensor(focal, dtype=torch.float64))
    first_from_first = invert(world_from_first) @ world_from_first
    rays = ray_map(first_from_first, intrinsics, (h, w), include_translation=include_translation)
    directions = (intrinsics.inverse() @ pixel_grid(h, w, dtype=torch.float64).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(rays[..., :3], torch.zeros_like(directions))
    torch.testing.assert_close(rays[..., 3:], directions / directions.norm(dim=-1, keepdim=True))


def test_a_true_ray_does_not_change_when_the_camera_moves():
    here, there = torch.eye(4), pose_from_encoding(torch.tensor([1.0, 2, 3, 1, 0, 0, 0]))
    intrinsics = pinhole((4, 6), 5.0)
    ray_here = ray_map(here, intrinsics, (4, 6), include_translation=False)
    ray_there = ray_map(there, intrinsics, (4, 6), include_translation=False)
    torch.testing.assert_close(ray_there[..., 3:], ray_here[..., 3:])
    torch.testing.assert_close(ray_there[..., :3], torch.tensor([1.0, 2, 3]).expand(4, 6, 3))


@given(focal=focals, sx=scales, sy=scales, ox=offsets, oy=offsets)
def test_resizing_and_cropping_can_be_undone(focal, sx, sy, ox, oy):
    intrinsics = pinhole((30, 40), torch.tensor(focal, dtype=torch.float64))
    there = crop_intrinsics(resize_intrinsics(intrinsics, (sx, sy)), (ox, oy))
    back = resize_intrinsics(crop_intrinsics(there, (-ox, -oy)), (1 / sx, 1 / sy))
    torch.testing.assert_close(back, intrinsics)


@given(focal=focals, sx=scales, sy=scales, ox=offsets, oy=offsets)
def test_projection_follows_the_pixels_of_a_resized_and_cropped_image(focal, sx, sy, ox, oy):
    intrinsics = pinhole((30, 40), torch.tensor(focal, dtype=torch.float64))
    points = torch.tensor([[0.3, -0.2, 1.5], [-1.0, 2.0, 4.0]], dtype=torch.float64)
    scale, offset = torch.tensor([sx, sy], dtype=torch.float64), torch.tensor([ox, oy], dtype=torch.float64)
    moved = (project(points, intrinsics)[0] + 0.5) * scale - 0.5 - offset
    there = crop_intrinsics(resize_intrinsics(intrinsics, (sx, sy)), (ox, oy))
    torch.testing.assert_close(project(points, there)[0], moved)


def test_resizing_keeps_the_middle_in_the_middle():
    torch.testing.assert_close(resize_intrinsics(pinhole((30, 40), 20.0), (2.0, 2.0)), pinhole((60, 80), 40.0))


def test_resizing_leaves_its_input_alone():
    intrinsics = pinhole((30, 40), 20.0)
    crop_intrinsics(resize_intrinsics(intrinsics, (2.0, 3.0)), (4.0, 5.0))
    assert torch.equal(intrinsics, pinhole((30, 40), 20.0))


@given(focal=focals, side=sides)
def test_field_of_view_and_focal_length_undo_each_other(focal, side):
    assert focal_from_fov(fov_from_focal(focal, side), side) == pytest.approx(focal)


def test_a_focal_length_of_half_the_side_sees_a_right_angle():
    assert fov_from_focal(50.0, 100) == pytest.approx(math.pi / 2)


def test_gradients_of_the_round_trip_are_right():
    depth = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    focal = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda d, f: project(unproject(d, pinhole((2, 3), f)) + 1, pinhole((2, 3), f)), (depth, focal)
    )


def test_recorded_unprojection(recorded):
    points = unproject(recorded["unproj/depth"], recorded["unproj/K"])
    close(points, recorded["unproj/pts_cam"])
    assert torch.equal(recorded["unproj/depth"] > 0, recorded["unproj/valid"])


@pytest.mark.parametrize(("name", "shift"), [("dm2p/pts_pp", None), ("dm2p/pts_nopp", (15.5, 11.5))])
def test_recorded_unprojection_of_a_batch(recorded, name, shift):
    intrinsics = torch.eye(3).repeat(2, 1, 1)
    intrinsics[:, (0, 1), (0, 1)] = recorded["dm2p/fxfy"]
    intrinsics[:, :2, 2] = recorded["dm2p/pp"] if shift is None else torch.tensor(shift)
    close(unproject(recorded["dm2p/depth"], intrinsics), recorded[name])


def test_recorded_projection(recorded):
    pixels, _ = project(recorded["geotrf/pts_front"], recorded["geotrf/K"])
    torch.testing.assert_close(pixels, recorded["geotrf/proj_uv"], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "include_translation"), [("ray/map_reference", True), ("ray/map_clean_NOT_reference", False)]
)
def test_recorded_ray_maps(recorded, name, include_translation):
    first_from_view = invert(recorded["ray/c2w_first"]) @ recorded["ray/c2w_view"]
    rays = ray_map(first_from_view, recorded["ray/K"], (24, 32), include_translation=include_translation)
    close(rays.float(), recorded[name], 1e-6)


def test_recorded_viewer_camera(recorded):
    close(viewer_intrinsics((384, 512)), recorded["ray/viewer_K_384x512"], 1e-4)
    close(viewer_intrinsics((224, 224)), recorded["ray/viewer_K_224x224"], 1e-4)
    rays = ray_map(
        recorded["ray/viewer_c2w"], viewer_intrinsics((384, 512)).double(), (384, 512), include_translation=True
    )
    close(rays[8::16, 8::16].float(), recorded["ray/viewer_map_sub16"], 1e-6)
