"""The focal length of a pointmap: what it recovers, what it ignores, and the original's numbers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.geometry.cameras import pinhole, unproject
from cut3r.geometry.focal import FocalMethod, estimate_focal, weighted_median

methods = st.sampled_from(FocalMethod)
each_method = pytest.mark.parametrize("method", FocalMethod, ids=lambda method: method.value)


@pytest.fixture
def recorded(golden):
    with np.load(golden / "inference" / "geometry.npz") as arrays:
        return {name[6:]: torch.from_numpy(arrays[name]) for name in arrays if name.startswith("focal/")}


def random_map(focal, size=(24, 33), seed=0, batch=()):
    depth = torch.rand(*batch, *size, generator=torch.Generator().manual_seed(seed)) * 5 + 0.5
    return unproject(depth, pinhole(size, focal))


def relatively_close(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, atol=0, rtol=tolerance)


@given(focal=st.floats(5.0, 500.0), h=st.integers(2, 30), w=st.integers(2, 30), method=methods, weighted=st.booleans())
def test_a_noise_free_map_gives_its_focal_length(focal, h, w, method, weighted):
    points = random_map(focal, (h, w))
    weights = torch.rand(h, w) + 0.1 if weighted else None
    assert estimate_focal(points, weights=weights, method=method).item() == pytest.approx(focal, rel=1e-3)


@given(scale=st.floats(0.01, 100.0), method=methods)
def test_the_unit_of_length_does_not_matter(scale, method):
    points = random_map(40.0)
    relatively_close(estimate_focal(points * scale, method=method), estimate_focal(points, method=method))


@each_method
def test_each_map_of_a_batch_has_its_own_focal_length(method):
    points = torch.stack((random_map(20.0), random_map(60.0)))
    relatively_close(estimate_focal(points, method=method), torch.tensor([20.0, 60.0]), 1e-4)


@each_method
def test_pixels_without_weight_do_not_count(method):
    points, weights = random_map(40.0), torch.ones(24, 33)
    points[:, 10:] = random_map(90.0)[:, 10:]
    weights[:, 10:] = 0
    assert estimate_focal(points, weights=weights, method=method).item() == pytest.approx(40.0, rel=1e-3)


@each_method
@pytest.mark.parametrize("bad", [(0.3, 0.4, -1.0), (0.0, 0.0, 0.0), (math.nan, 1.0, 1.0), (math.inf, 1.0, 1.0)])
def test_weighted_estimates_ignore_points_no_camera_sees(method, bad):
    points = random_map(40.0)
    points[:14] = torch.tensor(bad)
    assert estimate_focal(points, weights=torch.ones(24, 33), method=method).item() == pytest.approx(40.0, rel=1e-3)


@each_method
def test_with_hardly_any_weight_left_all_pixels_count(method):
    points, weights = random_map(40.0), torch.zeros(24, 33)
    weights[0, :7] = 1  # 7 of 792 pixels: below 1 %
    points[0, :7] = random_map(90.0)[0, :7]
    relatively_close(estimate_focal(points, weights=weights, method=method), estimate_focal(points, method=method))


@each_method
def test_equal_weights_are_no_weights(method):
    points = random_map(40.0) + 0.02 * torch.randn(24, 33, 3, generator=torch.Generator().manual_seed(1))
    weights = torch.full((24, 33), 0.7)
    relatively_close(estimate_focal(points, weights=weights, method=method), estimate_focal(points, method=method))


@given(
    values=st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 4)), min_size=1).filter(lambda v: any(w for _, w in v))
)
def test_a_weight_counts_like_copies(values):
    copies = sorted(value for value, weight in values for _ in range(weight))
    median = weighted_median(*torch.tensor(values, dtype=torch.float64).unbind(dim=-1))
    assert median.item() == copies[(len(copies) - 1) // 2]


@each_method
@pytest.mark.parametrize("corner", ["demo", "center"])
def test_recorded_focal_lengths(recorded, method, corner):
    focal = estimate_focal(recorded["pts"], principal_point=recorded[f"pp_{corner}"], method=method)
    relatively_close(focal, recorded[f"{method.value}_{corner}"])


@each_method
def test_the_middle_of_the_image_is_the_default(recorded, method):
    relatively_close(estimate_focal(recorded["pts"], method=method), recorded[f"{method.value}_center"])


@each_method
def test_recorded_focal_lengths_within_limits(recorded, method):
    focal = estimate_focal(recorded["pts"], principal_point=(32.0, 24.0), method=method, min_focal=0.5, max_focal=1.0)
    relatively_close(focal, recorded[f"{method.value}_demo_clip0.5_1.0"])


@each_method
def test_recorded_focal_lengths_at_odd_sizes(recorded, method):
    focal = estimate_focal(recorded["pts"][:2, :47, :63], principal_point=(31.0, 23.0), method=method)
    relatively_close(focal, recorded[f"{method.value}_odd47x63"])


def test_a_confidence_that_overflowed_is_only_a_trusted_pixel():
    """exp() of a large number is infinite; the focal length became nan, and the run used a guess."""
    points = unproject(torch.rand(24, 32) + 1, pinhole((24, 32), 40.0))
    weights = torch.ones(24, 32)
    weights[3, 4] = torch.inf
    torch.testing.assert_close(estimate_focal(points, weights=weights), torch.tensor(40.0), atol=1e-3, rtol=0)
