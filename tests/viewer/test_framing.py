"""The scene is framed by itself: all of it in the picture, upright, and sizes in proportion."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.geometry.gravity import up_of_cameras
from cut3r.geometry.lie import rotation_from_vector
from cut3r.viewer.framing import Extent, extent_of, nice, whole_view
from cut3r.viewer.ground import meters
from cut3r.viewer.places import Placement, Places
from cut3r.viewer.view import ShownView, view_from_frame


@pytest.fixture(scope="module")
def frames(small_room) -> list[ShownView]:
    return [view_from_frame(small_room.result(n), n, max_points=300, thumbnail_side=8) for n in range(6)]


@pytest.fixture(scope="module")
def placement() -> Placement:
    places = Places()
    places.follow(0, None)
    return places.snapshot()


def enlarged(frame: ShownView, factor: float) -> ShownView:
    pose = frame.chunk_from_cam.copy()
    pose[:3, 3] *= factor
    return replace(frame, chunk_from_cam=pose, points_cam=(factor * frame.points_cam).astype(np.float16))


def seen(extent: Extent, fov: float, aspect: float, below: float) -> np.ndarray:
    """Where the picture has the points: -1 to 1, y up."""
    position, look_at = whole_view(extent, fov, aspect, below=below)
    ahead = (look_at - position) / np.linalg.norm(look_at - position)
    right = np.cross(ahead, extent.up) / np.linalg.norm(np.cross(ahead, extent.up))
    inside = (extent.points - position) @ np.stack((right, np.cross(right, ahead), ahead), axis=1)
    assert (inside[:, 2] > 0).all()
    return inside[:, :2] / inside[:, 2:] / math.tan(fov / 2) / np.array([aspect, 1.0])


@given(fov=st.floats(0.4, 1.6), aspect=st.floats(0.4, 2.5), below=st.floats(0.0, 0.4))
def test_all_of_the_scene_is_in_the_picture_and_above_what_covers_it(frames, placement, fov, aspect, below):
    extent = extent_of(frames, placement)
    assert extent is not None
    shown = seen(extent, fov, aspect, below)
    assert np.abs(shown).max() <= 1.0
    assert shown[:, 1].min() >= -1 + 2 * below
    assert np.abs(shown).max() > 0.5  # and it is not far away


def test_the_outermost_points_do_not_count(frames, placement):
    usual = extent_of(frames, placement)
    points = frames[0].points_cam.copy()
    points[:2] = 500.0  # of 200 that are looked at
    astray = extent_of([replace(frames[0], points_cam=points), *frames[1:]], placement)
    assert usual is not None and astray is not None
    assert astray.radius < 1.1 * usual.radius


@pytest.mark.parametrize("factor", [0.05, 30.0])
def test_sizes_are_in_proportion_to_the_scene(frames, placement, factor):
    one, other = extent_of(frames, placement), extent_of([enlarged(f, factor) for f in frames], placement)
    assert one is not None and other is not None
    assert other.point_size == pytest.approx(factor * one.point_size, rel=0.01)
    assert other.camera_size == pytest.approx(factor * one.camera_size, rel=0.01)
    assert other.radius == pytest.approx(factor * one.radius, rel=0.01)
    assert one.is_like(one) and not one.is_like(other)


@given(seed=st.integers(0, 1000), pitch=st.floats(-1.0, 1.0))
def test_up_is_against_gravity_however_the_cameras_are_tilted(seed, pitch):
    """V8: a phone that is held down was a world that is tilted."""
    generator = torch.Generator().manual_seed(seed)
    gravity = rotation_from_vector(torch.randn(3, dtype=torch.float64, generator=generator))
    headings = torch.linspace(-2.0, 2.0, 9, dtype=torch.float64)
    poses = np.tile(np.eye(4), (9, 1, 1))
    for pose, heading in zip(poses, headings, strict=True):
        turn = rotation_from_vector(torch.stack((0 * heading, heading, 0 * heading)))
        tilt = rotation_from_vector(torch.tensor([pitch, 0.0, 0.0], dtype=torch.float64))
        pose[:3, :3] = (gravity @ turn @ tilt).numpy()
    up = up_of_cameras(poses)
    assert up @ (gravity.numpy() @ [0, -1, 0]) > math.cos(math.radians(3))


def test_up_of_one_camera_is_its_own():
    assert np.allclose(up_of_cameras(np.eye(4)[None]), [0, -1, 0])


def test_without_points_there_is_nothing_to_frame(frames, placement):
    assert extent_of([], placement) is None


@given(length=st.floats(1e-4, 1e5))
def test_round_lengths_are_not_longer_and_not_much_shorter(length):
    assert 0.39 * length < nice(length) <= length * 1.000001
    assert f"{nice(length):.0e}"[0] in "125"


def test_lengths_are_said_in_the_unit_of_people():
    assert [meters(length) for length in (0.05, 2.0, 5000.0)] == ["5 cm", "2 m", "5 km"]
