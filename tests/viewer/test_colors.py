"""Colour scales have the right ends and survive odd input."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.viewer.colors import ColorBy, point_colors, provisional_last, time_color, turbo
from cut3r.viewer.view import view_from_frame


@pytest.fixture
def view(room):
    return view_from_frame(room.result(0), 0, max_points=2000, thumbnail_side=8)


def is_blue(color) -> bool:
    return int(color[2]) > int(color[0]) + 60


def is_red(color) -> bool:
    return int(color[0]) > int(color[2]) + 60


def test_low_is_blue_and_high_is_red():
    assert is_blue(turbo(np.array(0.0)))
    assert is_red(turbo(np.array(1.0)))


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_any_number_has_a_colour(value):
    assert turbo(np.array([value])).shape == (1, 3)


def test_time_runs_from_blue_to_red_and_one_frame_is_enough():
    assert is_blue(time_color(0, 99))
    assert is_red(time_color(99, 99))
    assert time_color(0, 0) == time_color(0, 99)  # quirk Q28: the original divides by zero


def test_a_running_stream_changes_its_colours_when_it_has_doubled():
    guesses = [provisional_last(newest) for newest in range(1000)]
    assert all(guess > newest for newest, guess in enumerate(guesses))
    assert sorted(set(guesses)) == [64, 128, 256, 512, 1024]


def test_near_is_blue_and_far_is_red(view):
    colors, depth = point_colors(view, ColorBy.depth), view.points_cam[:, 2]
    assert is_blue(colors[depth.argmin()])
    assert is_red(colors[depth.argmax()])


def test_sure_is_red_on_an_absolute_scale(view):
    colors = point_colors(replace(view, confidence=np.full(2000, 30.0, np.float32)), ColorBy.confidence)
    assert all(is_red(color) for color in colors[:5])
    colors = point_colors(replace(view, confidence=np.full(2000, 1.0, np.float32)), ColorBy.confidence)
    assert all(is_blue(color) for color in colors[:5])


def test_rgb_is_the_image(view):
    assert point_colors(view, ColorBy.rgb) is view.colors


@pytest.mark.parametrize("color_by", list(ColorBy))
def test_no_points_have_no_colours(view, color_by):
    empty = replace(view, points_cam=view.points_cam[:0], colors=view.colors[:0], confidence=view.confidence[:0])
    assert point_colors(empty, color_by).shape == (0, 3)


def test_a_flat_scene_has_a_depth_colour(view):
    flat = replace(view, points_cam=np.ones_like(view.points_cam))
    assert point_colors(flat, ColorBy.depth).shape == (2000, 3)
