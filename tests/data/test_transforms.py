from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.data.transforms import ColorJitter, Rescale, drop_far, finite, fit, object_size, principal_window
from cut3r.data.view import RawFrame
from tests.data.toy_dataset import toy_frame

# common.md C3, golden: (w, h), (fx, fy, cx, cy), target (w, h), result
GOLDEN_FITS = [
    ((640, 480), (577, 577, 320, 240), (512, 384), (461.600006, 461.600006, 255.9, 191.9)),
    ((640, 480), (577, 578, 318.3, 242.7), (512, 384), (467.443044, 468.25317, 255.648101, 191.662025)),
    ((640, 480), (577, 578, 318.3, 242.7), (512, 144), (464.50315, 465.308182, 256.144025, 72.161006)),
    ((640, 480), (577, 578, 318.3, 242.7), (384, 512), (623.25739, 624.337559, 192.364135, 255.716034)),
    ((640, 480), (577, 577, 320, 240), (224, 224), (269.266672, 269.266672, 111.733333, 111.733333)),
    ((300, 400), (350, 350, 149.5, 199.5), (512, 384), (597.333337, 597.333337, 255.5, 191.5)),
    ((1242, 375), (725.0087, 725.0087, 620.5, 187), (512, 144), (299.358438, 299.358438, 255.912903, 71.706452)),
]
GOLDEN_RESCALES = [  # (w, h), target (w, h), enlarge, result (w, h)
    ((768, 576), (512, 384), True, (512, 384)),
    ((1920, 1280), (512, 1), True, (512, 341)),
    ((1920, 886), (512, 1), True, (512, 236)),
    ((3840, 2160), (512, 384), True, (682, 384)),
    ((1752, 1168), (920, 690), True, (1035, 690)),
    ((1920, 1440), (920, 690), True, (920, 690)),
    ((1600, 1200), (800, 600), False, (800, 600)),
    ((700, 500), (800, 600), False, (700, 500)),
    ((1000, 1600), (600, 800), False, (600, 960)),
]


def frame_of(width, height, fx, fy, cx, cy):
    intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float64)
    rgb, depth = np.zeros((height, width, 3), dtype=np.uint8), np.ones((height, width), dtype=np.float32)
    return RawFrame(rgb, depth, intrinsics, np.eye(4))


@pytest.mark.parametrize(("size", "camera", "target", "expected"), GOLDEN_FITS)
def test_cropping_and_resizing_gives_the_recorded_intrinsics(size, camera, target, expected):
    fitted = fit(frame_of(*size, *camera), target[::-1])
    assert fitted.size == target[::-1]
    fx, fy, cx, cy = fitted.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]]
    np.testing.assert_allclose((fx, fy, cx, cy), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("size", "target", "enlarge", "expected"), GOLDEN_RESCALES)
def test_rescaled_sizes_are_the_recorded_ones(size, target, enlarge, expected):
    assert Rescale.to_cover(size[::-1], target[::-1], enlarge=enlarge).new == expected[::-1]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 640), (384, 512)), ((1000, 800), (512, 409)), ((800, 1400), (384, 672)), ((1900, 1000), (729, 384))],
)
def test_pictures_of_objects_are_scaled_to_the_recorded_sizes(size, expected):
    # C3 writes (W, H); the rule treats both alike, so (h, w) gives the same numbers
    assert object_size(size) == expected


@given(
    height=st.integers(40, 120),
    width=st.integers(40, 120),
    target=st.tuples(st.integers(8, 100), st.integers(8, 100)),
    margin=st.integers(0, 15),
    shift=st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2)),
)
def test_a_fitted_frame_sees_the_same_point_at_the_pixel_that_its_intrinsics_name(height, width, target, margin, shift):
    """A picture whose depth is its column: the column found in the result is the column that the intrinsics say."""
    cx, cy = width * (0.5 + shift[0]), height * (0.5 + shift[1])
    frame = frame_of(width, height, 100.0, 100.0, cx, cy)
    frame = replace(frame, depth=np.tile(np.arange(1, width + 1, dtype=np.float32), (height, 1)))
    fitted = fit(frame, target, margin=margin)
    assert fitted.size == target
    ray = (np.arange(target[1]) - fitted.intrinsics[0, 2]) / fitted.intrinsics[0, 0]
    column = ray * 100 + cx
    found = fitted.depth[0] - 1
    scale = fitted.intrinsics[0, 0] / 100  # new pixels per old one; nearest takes the left neighbour
    assert np.abs(found - column).max() <= 1.0 + 1 / scale


def test_a_margin_narrows_the_view():
    frame = frame_of(640, 480, 577, 577, 320, 240)
    assert fit(frame, (384, 512), margin=15).intrinsics[0, 0] > fit(frame, (384, 512)).intrinsics[0, 0]


def test_a_principal_point_near_the_border_is_refused():
    with pytest.raises(ValueError, match=r"principal point \(600, 240\)"):
        fit(frame_of(640, 480, 577, 577, 600, 240), (384, 512))


def test_skew_is_refused():
    frame = frame_of(640, 480, 577, 577, 320, 240)
    skewed = frame.intrinsics + np.array([[0, 1.0, 0], [0, 0, 0], [0, 0, 0]])
    with pytest.raises(ValueError, match="skew"):
        principal_window(frame.size, skewed)


def test_nearest_takes_the_pixel_at_or_before():
    pixels = np.arange(5)[None].repeat(5, axis=0)
    assert Rescale((5, 5), (3, 3), 0.6).nearest(pixels)[0].tolist() == [0, 1, 3]
    assert Rescale((5, 5), (10, 10), 2.0).nearest(pixels)[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_the_foreground_follows_the_image():
    frame = toy_frame(0)
    fitted = fit(frame, (24, 32))
    assert fitted.foreground is not None
    assert fitted.foreground[6:18, 8:24].all() and fitted.foreground.sum() == 12 * 16


def test_far_depth_is_dropped_and_sky_stays():
    depth = np.arange(-1, 100, dtype=np.float32)[None]  # sky, unknown, 1 ... 99
    kept = drop_far(depth)
    assert kept[0, 0] == -1
    assert kept.max() == 97, "the 98th percentile of 1 ... 99 is 97.04"
    assert (drop_far(np.zeros((2, 2), dtype=np.float32)) == 0).all()
    assert (drop_far(np.full((2, 2), 7, dtype=np.float32)) == 7).all()


def test_a_change_of_colours_is_the_same_for_all_views_and_differs_between_samples():
    rng = np.random.default_rng(0)
    first, second = ColorJitter().draw(rng), ColorJitter().draw(rng)
    rgb = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert (first.apply(rgb) == first.apply(rgb)).all()
    assert (first.apply(rgb) != second.apply(rgb)).any()


def test_colour_factors_stay_in_their_spans():
    rng = np.random.default_rng(0)
    changes = [ColorJitter().draw(rng) for _ in range(200)]
    factors = np.array([change.factors for change in changes])
    assert factors[:, :3].min() >= 0.5 and factors[:, :3].max() <= 1.5
    assert np.abs(factors[:, 3]).max() <= 0.1
    assert factors[:, 3].min() < -0.05 and factors[:, :3].max() > 1.4
    assert len({change.order for change in changes}) == 24


def test_a_change_without_spans_changes_nothing():
    rgb = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    change = ColorJitter(0.0, 0.0, 0.0, 0.0).draw(np.random.default_rng(0))
    assert np.abs(change.apply(rgb).astype(int) - rgb).max() <= 6, "the colour wheel of 8 bits rounds"


@pytest.mark.parametrize(("old", "new"), [((375, 1242), (384, 1271)), ((768, 1024), (384, 512)), ((30, 41), (60, 82))])
def test_the_nearest_pixel_is_that_of_the_formula(old, new):
    pixels = np.random.default_rng(0).random(old)
    rows, columns = (np.floor(np.arange(n) * (1 / (n / o))).astype(int) for n, o in zip(new, old, strict=True))
    assert (Rescale(old, new, new[0] / old[0]).nearest(pixels) == pixels[np.ix_(rows, columns)]).all()


def test_only_what_is_not_finite_is_forgotten():
    depth = np.array([[1.0, np.inf], [-np.inf, np.nan]], np.float32)
    assert finite(depth).tolist() == [[1, 0], [0, 0]]
    assert finite(depth[:1, :1]).tolist() == [[1]]
