"""What is kept of a frame: bounded, in the right place, with the right camera."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.geometry.cameras import pinhole
from cut3r.viewer.view import (
    QUERY_COLOR,
    choose,
    select,
    shrink_image,
    stream_camera,
    view_from_frame,
    view_from_query,
)


@given(count=st.integers(0, 200), limit=st.integers(1, 200), seed=st.integers(0, 1000))
def test_the_choice_is_bounded_valid_and_without_repetition(count, limit, seed):
    valid = torch.zeros(10, 20, dtype=torch.bool)
    valid.view(-1)[torch.randperm(200, generator=torch.Generator().manual_seed(seed))[:count]] = True
    chosen = choose(valid, limit, seed=seed)
    assert len(chosen) == min(count, limit) == len(set(chosen.tolist()))
    assert valid.view(-1)[chosen].all()
    assert chosen.tolist() == choose(valid, limit, seed=seed).tolist()


def test_the_choice_covers_the_image_evenly():
    chosen = choose(torch.ones(100, 100, dtype=torch.bool), 2000, seed=3)
    rows = torch.bincount(chosen // 1000, minlength=10)
    assert ((rows > 140) & (rows < 260)).all()


def test_points_stay_where_the_frame_has_them(room):
    result = room.result(4)
    view = view_from_frame(result, 4, max_points=500, thumbnail_side=32)
    pose = view.chunk_from_cam
    points = view.points_cam.astype(float) @ pose[:3, :3].T + pose[:3, 3]
    truth = {tuple(rgb): None for rgb in result.image.reshape(-1, 3).tolist()}
    assert all(tuple(color) in truth for color in view.colors.tolist())
    nearest = np.abs(result.points_world.reshape(-1, 1, 3).numpy() - points[:20]).max(axis=-1).min(axis=0)
    assert nearest.max() < 5e-3  # float16 at 4 m


def test_a_point_keeps_its_own_colour_and_confidence(room):
    result = room.result(0)
    view = view_from_frame(result, 0, max_points=10**6, thumbnail_side=32)
    chosen = choose(result.valid, 10**6, seed=0).numpy()
    assert (view.colors == result.image.reshape(-1, 3)[chosen]).all()
    assert np.allclose(view.confidence, result.confidence.flatten().numpy()[chosen])


def test_invalid_pixels_and_points_that_overflow_are_left_out(room):
    result = room.result(0)
    assert result.prediction.points_cam is not None
    result.prediction.points_cam[0, 0, 0] = 1e6
    valid = result.valid.clone()
    valid[1:3] = False
    view = view_from_frame(replace(result, valid=valid), 0, max_points=10**6, thumbnail_side=32, edges=None)
    assert len(view.points_cam) == valid.sum() - 1 == len(view.colors) == len(view.confidence)
    assert np.isfinite(view.points_cam).all()


def test_flying_pixels_of_frames_and_queries_are_left_out(room):
    result, answer = room.result(0), room.query(room.pose(0), pinhole(room.size, 110.0), room.size)
    for prediction in (result.prediction, answer.prediction):
        prediction.points_cam[0, 48:] *= 5  # a step of depth between two rows of pixels
    for view in (
        view_from_frame(result, 0, max_points=10**6, thumbnail_side=32),
        view_from_query(answer, 0, max_points=10**6, thumbnail_side=32),
    ):
        assert len(view.points_cam) == 94 * 128


def test_the_field_of_view_is_vertical(room):
    """Quirk Q25: the original hands viser the horizontal angle."""
    view = view_from_frame(room.result(0), 0, max_points=10, thumbnail_side=32)
    assert view.fov == pytest.approx(2 * math.atan(96 / (2 * 110)))
    assert view.aspect == pytest.approx(128 / 96)


def test_the_threshold_is_strict_and_the_percentile_counts_points(room):
    view = replace(
        view_from_frame(room.result(0), 0, max_points=5, thumbnail_side=32),
        confidence=np.array([1.0, 1.5, 2.0, 3.0, 4.0], np.float32),
    )
    assert select(view, confidence=1.5, percentile=0.0, max_points=9).tolist() == [2, 3, 4]
    assert select(view, confidence=0.0, percentile=75.0, max_points=9).tolist() == [3, 4]
    assert select(view, confidence=0.0, percentile=0.0, max_points=2).tolist() == [0, 1]


def test_a_frame_without_points_can_be_shown(room):
    result = replace(room.result(0), valid=torch.zeros(room.size, dtype=torch.bool))
    view = view_from_frame(result, 0, max_points=10, thumbnail_side=32)
    assert select(view, confidence=1.5, percentile=50.0, max_points=9).tolist() == []
    assert view.median_depth == 1.0


def test_the_thumbnail_is_small_keeps_its_shape_and_owns_its_memory():
    image = np.zeros((384, 512, 3), np.uint8)
    assert shrink_image(image, 160).shape == (120, 160, 3)
    assert shrink_image(image[:24, :32], 160).shape == (24, 32, 3)
    assert shrink_image(image[:24, :32], 160).base is None


def test_a_query_takes_the_requested_pose_and_the_predicted_colours(room):
    pose = room.pose(5)
    view = view_from_query(room.query(pose, pinhole((48, 64), 60.0), (48, 64)), 2, max_points=900, thumbnail_side=64)
    assert np.allclose(view.chunk_from_cam, pose.numpy())
    assert (view.size, view.focal, len(view.points_cam)) == ((48, 64), 60.0, 900)
    assert len(np.unique(view.colors, axis=0)) > 4
    assert view.thumbnail is not None


def test_a_query_without_colours_gets_the_colour_of_queries(room):
    result = room.query(room.pose(0), pinhole((48, 64), 60.0), (48, 64))
    result = replace(result, prediction=replace(result.prediction, rgb=None))
    view = view_from_query(result, 0, max_points=10, thumbnail_side=64)
    assert (view.colors == QUERY_COLOR).all()
    assert view.thumbnail is None


def test_the_stream_camera_is_the_median_at_the_newest_size(room):
    view = view_from_frame(room.result(0), 0, max_points=10, thumbnail_side=32)
    focals = [replace(view, focal=focal) for focal in (100.0, 120.0, 400.0)]
    intrinsics, size = stream_camera([replace(view, size=(64, 64), focal=9.0), *focals])
    assert size == (96, 128)
    assert intrinsics[1, 1] == 120
    assert intrinsics[:2, 2].tolist() == [63.5, 47.5]


def test_the_stream_camera_needs_a_frame():
    with pytest.raises(ValueError, match="no frame has arrived"):
        stream_camera([])
