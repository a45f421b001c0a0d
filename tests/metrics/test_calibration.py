"""AUSE against its limits: 0 for a perfect order, the analytic area for a confidence that says nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cut3r.metrics.calibration import ause

UNIFORM = (np.arange(2000) + 0.5) / 2000  # errors


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31))
def test_a_confidence_that_falls_with_the_error_is_perfect(seed):
    errors = np.random.default_rng(seed).exponential(1, 300)
    assert ause(errors, 1 / (1 + errors)) == pytest.approx(0, abs=1e-12)
    assert ause(errors, -np.exp(errors)) == pytest.approx(0, abs=1e-12)


def test_a_confidence_that_says_nothing_gets_the_area_above_the_best_curve():
    """Of uniform errors the better share f has the mean f / 2, so the best curve is f and the area 1 - 1/2; of
    exponential ones it is the integral of 1 + (1 - f) ln(1 - f) / f, which is pi^2 / 6 - 1 below 1."""
    shuffled = np.random.default_rng(0).permutation(UNIFORM)
    assert ause(shuffled, np.ones(2000)) == pytest.approx(0.5, abs=1e-3)
    assert ause(shuffled, np.arange(2000.0)) == pytest.approx(0.5, abs=0.03)
    exponential = -np.log1p(-UNIFORM)
    assert ause(exponential, np.ones(2000)) == pytest.approx(np.pi**2 / 6 - 1, abs=5e-3)


def test_an_inverted_confidence_is_worse_than_none():
    """The worst share f of uniform errors has the mean 1 - f / 2, so the curve is 2 - f, the area 3/2 - 1/2."""
    assert ause(UNIFORM, UNIFORM) == pytest.approx(1.0, abs=2e-3)


def test_neither_units_nor_the_order_of_the_pixels_matter():
    rng = np.random.default_rng(1)
    errors, confidence = rng.exponential(1, 500), rng.integers(0, 5, 500).astype(np.float32)
    order = rng.permutation(500)
    once = ause(errors, confidence)
    assert ause(1e3 * errors, confidence**3 - 7) == pytest.approx(once)
    assert ause(errors[order], confidence[order]) == pytest.approx(once)


def test_where_nothing_is_wrong_nothing_can_be_gained():
    assert ause(np.zeros(5), np.arange(5.0)) == 0


def test_no_pixels_have_no_curve():
    with pytest.raises(ValueError, match="no pixels"):
        ause(np.zeros(0), np.zeros(0))
