"""Alignments: the best is the best, none is worse than the published one, and portions do not matter."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from cut3r.geometry.registration import scale_and_shift
from cut3r.metrics import depth_pairs, l1_fit, l1_loss
from cut3r.metrics.depth_alignment import DepthAlignment, ScaleShift, align, published_scale_and_shift
from cut3r.metrics.l1_loss import Box, FollowedLoss, L1Loss
from tests.metrics.depth_cases import l1, pairs_of, random_depths

ALL = list(DepthAlignment)
WITH_SHIFT = [a for a in ALL if a.value.startswith("scale_shift")] + [DepthAlignment.least_squares]
CLOSE = 1 + 2e-9  # what least_absolute_fit promises, and rounding
ROUNDING = 1e-6  # of a ratio in float32


def fit(prediction, target, alignment):
    return align(pairs_of(prediction, target), alignment)


def linear_program(prediction, target) -> float:
    """The least sum of absolute errors over scale and shift: minimise sum e, with -e <= s p + t - g <= e."""
    n = len(prediction)
    p, ones, unit = np.float64(prediction)[:, None], np.ones((n, 1)), np.eye(n)
    bounded = np.block([[p, ones, -unit], [-p, -ones, -unit]])
    limits = np.concatenate((target, -target)).astype(np.float64)
    free = [(None, None)] * 2 + [(0, None)] * n
    solved = linprog(np.r_[0, 0, np.ones(n)], bounded, limits, bounds=free, method="highs")
    assert solved.success
    return solved.fun


@pytest.fixture
def small_portions(monkeypatch):
    """Sort pixels anew and look at a sample even where there are few."""
    monkeypatch.setattr(depth_pairs, "BLOCK", 32)
    monkeypatch.setattr(l1_loss, "BLOCK", 32)
    monkeypatch.setattr(l1_fit, "BLOCK", 32)
    monkeypatch.setattr(l1_fit, "SAMPLE", 100)


@given(seed=st.integers(0, 2**31), pixels=st.integers(2, 150), dtype=st.sampled_from([np.float32, np.float64]))
def test_scale_and_shift_are_those_of_the_linear_program(seed, pixels, dtype):
    p, g = random_depths(seed, pixels, dtype)
    found = fit(p, g, DepthAlignment.scale_shift)
    assert l1(p, g, found.scale, found.shift) <= CLOSE * linear_program(p, g) + 1e-9


@pytest.mark.usefixtures("small_portions")
@given(seed=st.integers(0, 2**31), pixels=st.integers(101, 700))
def test_a_sample_first_changes_nothing(seed, pixels):
    p, g = random_depths(seed, pixels)
    found = fit(p, g, DepthAlignment.scale_shift)
    assert l1(p, g, found.scale, found.shift) <= CLOSE * linear_program(p, g) + 1e-9


@pytest.mark.usefixtures("small_portions")
def test_a_sample_that_misleads_does_no_harm():
    p, g = random_depths(0, 600)
    g[::6] = 50 - 4 * p[::6]  # every sixth pixel, and the sample takes just those
    found = fit(p, g, DepthAlignment.scale_shift)
    assert l1(p, g, found.scale, found.shift) <= CLOSE * linear_program(p, g)
    assert found.scale > 0


def test_a_perfect_prediction_is_found_perfectly():
    p = np.linspace(0.5, 3, 50, dtype=np.float32)
    found = fit(p, 2 * np.float64(p) + 1.5, DepthAlignment.scale_shift)
    assert (found.scale, found.shift) == pytest.approx((2, 1.5), abs=1e-9)


def test_two_pixels_are_met_exactly():
    found = fit([1, 2], np.float64([5, 4]), DepthAlignment.scale_shift)
    assert (found.scale, found.shift) == pytest.approx((-1, 6), abs=1e-9)


@pytest.mark.parametrize(("p", "g"), [([2, 2, 2], [1, 5, 3]), ([1, 2, 9], [3, 3, 3]), ([1], [3])])
def test_without_anything_to_fit_the_shift_is_the_median(p, g):
    assert fit(p, np.float32(g), DepthAlignment.scale_shift) == ScaleShift(0.0, 3.0)


@pytest.mark.usefixtures("small_portions")
@given(seed=st.integers(0, 2**31), pivot=st.floats(-3, 3), reach=st.sampled_from([1e-3, 0.1, 2.0]))
def test_in_its_box_the_narrowed_loss_is_the_loss(seed, pivot, reach):
    p, g = random_depths(seed, 300)
    pairs, box = pairs_of(p, g), Box(1.5, 0.3 + 1.5 * pivot, reach, 2 * reach, pivot)
    rng = np.random.default_rng(seed)
    with L1Loss(pairs).narrowed(box) as narrowed:
        for _ in range(5):
            scale, level = 1.5 + reach * rng.uniform(-1, 1), box.level + 2 * reach * rng.uniform(-1, 1)
            expected, value = L1Loss(pairs).at(scale, level - scale * pivot), narrowed.at(scale, level - scale * pivot)
            assert box.contains(scale, level - scale * pivot)
            assert value.loss == pytest.approx(expected.loss, rel=1e-12)
            assert (value.by_scale, value.by_shift) == pytest.approx((expected.by_scale, expected.by_shift), abs=1e-9)
        assert len(narrowed.pairs) < (0.5 if reach < 0.01 else 2) * len(pairs)


def test_the_followed_loss_is_the_loss_all_along_the_path():
    p, g = random_depths(1, 500)
    pairs = pairs_of(p, g)
    followed = FollowedLoss(pairs, (0.05, 0.01, 0.004))
    rng = np.random.default_rng(0)
    for scale, shift in np.cumsum(rng.normal(0, 0.004, (100, 2)), axis=0).tolist():
        assert followed.at(scale, shift).loss == pytest.approx(L1Loss(pairs).at(scale, shift).loss, rel=1e-12)
    followed.close()


@given(seed=st.integers(0, 2**31), pixels=st.integers(1, 60))
def test_the_best_scale_is_better_than_any_other(seed, pixels):
    p, g = random_depths(seed, pixels)
    scale = fit(p, g, DepthAlignment.scale).scale
    ratios = np.append(np.float64(g[p != 0]) / p[p != 0], 1e-3)  # a piecewise linear loss is least at a corner
    least = min(l1(p, g, ratio) for ratio in ratios if ratio >= 1e-3)
    assert l1(p, g, scale) <= least + ROUNDING * g.sum()


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31), pixels=st.integers(2, 400), dtype=st.sampled_from([np.float32, np.float64]))
def test_the_best_is_never_worse_than_the_published(seed, pixels, dtype):
    p, g = random_depths(seed, pixels, dtype)
    best = fit(p, g, DepthAlignment.scale)
    assert l1(p, g, best.scale) <= l1(p, g, fit(p, g, DepthAlignment.scale_published).scale) + ROUNDING * g.sum()
    best = fit(p, g, DepthAlignment.scale_shift)
    for alignment in WITH_SHIFT:
        other = fit(p, g, alignment)
        assert l1(p, g, best.scale, best.shift) <= CLOSE * l1(p, g, other.scale, other.shift) + 1e-9


@settings(max_examples=5)
@given(seed=st.integers(0, 2**31), dtype=st.sampled_from([np.float32, np.float64]))
def test_published_steps_are_those_of_torchs_adam(seed, dtype):
    p, g = random_depths(seed, 200, dtype)
    found = published_scale_and_shift(pairs_of(p, g), max_steps=300)
    assert (found.scale, found.shift) == pytest.approx(adam_in_torch(p, g, max_steps=300), abs=3e-4)


def test_published_steps_go_on_where_only_a_truth_in_float64_shows_that_the_loss_still_falls():
    """As on Bonn and KITTI: in float32 the sum over the pixels stands still long before the published script stops."""
    rng = np.random.default_rng(0)
    g = rng.uniform(0.5, 9, 20_000)
    p = (g * rng.normal(1, 0.05, len(g)) - 0.03).astype(np.float32)  # the least loss is within reach
    wide, narrow = (published_scale_and_shift(pairs_of(p, truth)) for truth in (g, g.astype(np.float32)))
    assert wide.shift == pytest.approx(0.04933, abs=1e-5)
    assert narrow.shift == pytest.approx(0.04891, abs=1e-5)
    assert (wide.scale, wide.shift) == pytest.approx(adam_in_torch(p, g), abs=5e-5)


def adam_in_torch(p: np.ndarray, g: np.ndarray, max_steps: int = 1000) -> tuple[float, float]:
    """The published procedure, with torch's own optimiser: float32 parameters, a loss in the precision of the truth."""
    start = fit(p, g, DepthAlignment.median).scale
    scale, shift = (torch.tensor(value, dtype=torch.float32, requires_grad=True) for value in (start, 0.0))
    optimizer, previous = torch.optim.Adam([scale, shift], lr=1e-4), math.inf
    for _ in range(max_steps):
        optimizer.zero_grad()
        loss = (scale * torch.from_numpy(p) + shift - torch.from_numpy(g)).abs().sum()
        loss.backward()
        optimizer.step()
        if abs(previous - loss.item()) < 1e-6:
            break
        previous = loss.item()
    return scale.item(), shift.item()


@given(seed=st.integers(0, 2**31), factor=st.sampled_from([0.25, 0.5, 4.0, 1024.0]))
def test_a_scale_of_the_prediction_is_undone(seed, factor):
    p, g = random_depths(seed, 101)
    for alignment in (DepthAlignment.median, DepthAlignment.scale_shift, DepthAlignment.least_squares):
        once, scaled = fit(p, g, alignment), fit(p * factor, g, alignment)
        loss = l1(p, g, once.scale, once.shift)
        assert l1(p * factor, g, scaled.scale, scaled.shift) == pytest.approx(loss, rel=1e-6)


@given(seed=st.integers(0, 2**31), shift=st.floats(-5, 5))
def test_a_shift_of_the_prediction_is_undone(seed, shift):
    p, g = random_depths(seed, 101)
    moved = p + np.float32(shift)
    for alignment in (DepthAlignment.scale_shift, DepthAlignment.least_squares):
        once, later = fit(p, g, alignment), fit(moved, g, alignment)
        assert l1(moved, g, later.scale, later.shift) == pytest.approx(l1(p, g, once.scale, once.shift), rel=1e-5)


@pytest.mark.parametrize("alignment", ALL)
def test_portions_and_the_file_do_not_matter(alignment, monkeypatch):
    p, g = random_depths(3, 700, np.float64)
    whole = fit(p, g, alignment)
    monkeypatch.setattr(depth_pairs, "BLOCK", 64)
    with pairs_of(p[:5], g[:5], memory_limit=600) as pairs:
        for start in range(5, 700, 33):
            pairs.append(p[start : start + 33], g[start : start + 33])
        streamed = align(pairs, alignment)
    tolerance = {DepthAlignment.scale_published: 3e-3, DepthAlignment.scale_shift_bfgs: 1e-2}.get(alignment, 1e-5)
    assert (streamed.scale, streamed.shift) == pytest.approx((whole.scale, whole.shift), rel=tolerance)


@given(seed=st.integers(0, 2**31), pixels=st.integers(2, 100))
def test_least_squares_are_those_of_geometry(seed, pixels):
    p, g = random_depths(seed, pixels, np.float64)
    expected = scale_and_shift(torch.from_numpy(p).double(), torch.from_numpy(g))
    found = fit(p, g, DepthAlignment.least_squares)
    assert (found.scale, found.shift) == pytest.approx([float(value) for value in expected], rel=1e-6, abs=1e-9)


def test_a_constant_prediction_has_scale_0_and_the_mean_as_shift():
    found = fit([0.1] * 3, np.float64([1, 2, 6]), DepthAlignment.least_squares)
    assert (found.scale, found.shift) == (0, 3)


def test_no_alignment_is_none():
    assert fit([1, 2], np.float32([5, 5]), DepthAlignment.metric) == ScaleShift(1.0, 0.0)


@pytest.mark.parametrize("alignment", ALL)
def test_nothing_to_align_is_an_error(alignment):
    with pytest.raises(ValueError, match="nothing to align"):
        fit([], np.float32([]), alignment)


@pytest.mark.parametrize("alignment", [a for a in ALL if a is not DepthAlignment.metric])
def test_a_prediction_that_is_zero_everywhere_ends_without_a_warning(alignment):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit([0, 0, 0], np.float32([1, 2, 3]), alignment)


def test_the_aligned_prediction_is_float32_but_for_least_squares():
    p = np.float32([1, 2])
    assert ScaleShift(2.0, 1.0).apply(p).dtype == np.float32
    assert ScaleShift(2.0, 1.0, in_float64=True).apply(p).dtype == np.float64
