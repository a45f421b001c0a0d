"""Medians of streams: exactly those of sorting, for numbers of any sign, ties and weights."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.geometry.focal import weighted_median
from cut3r.metrics.stream_median import stream_medians

AWKWARD = {
    "one": [3.0],
    "two": [2.0, 1.0],
    "all the same": [1.5] * 10,
    "ties at the middle": [1.0, 2.0, 2.0, 2.0, 3.0, 3.0],
    "neighbours in the last bit": [np.nextafter(np.float32(1), np.float32(2)), 1.0, np.nextafter(np.float32(1), 0.0)],
    "negative": [-1.0, -2.0, -3.0, -1e-30],
    "around zero": [-1.0, -0.0, 0.0, 1.0],
    "denormal": [1e-40, -1e-40, 1e-45, 0.0, 3.0],
    "infinite": [np.inf, -np.inf, 1.0, np.inf],
    "mostly infinite": [np.inf] * 5 + [1.0],
    "equal high bits": [1 + k * 2.0**-23 for k in range(100)],
    "equal high bits, negative": [-1 - k * 2.0**-23 for k in range(101)],
}


def median_of(values, weights=None, portions=3):
    blocks = np.array_split(values, portions)
    heavy = [None] * portions if weights is None else np.array_split(weights, portions)
    (median,) = stream_medians(lambda: (((v, w),) for v, w in zip(blocks, heavy, strict=True)))
    return median


def lower_median(values):
    return np.sort(values)[(len(values) - 1) // 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_numbers(name, dtype):
    values = np.array(AWKWARD[name], dtype)
    assert median_of(values) == lower_median(values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(seed=st.integers(0, 2**31), count=st.integers(1, 300), spread=st.sampled_from([1e-6, 1.0, 1e6]))
def test_the_median_is_the_one_of_sorting(dtype, seed, count, spread):
    rng = np.random.default_rng(seed)
    values = (rng.normal(rng.normal(), spread, count)).astype(dtype)
    assert median_of(values) == lower_median(values)


@given(seed=st.integers(0, 2**31), count=st.integers(1, 100))
def test_with_weights_it_is_the_one_of_geometry(seed, count):
    rng = np.random.default_rng(seed)
    values, weights = rng.normal(size=count), rng.integers(0, 5, count) + (np.arange(count) == 0)
    expected = weighted_median(torch.from_numpy(values), torch.from_numpy(weights).double())
    assert median_of(values, weights.astype(np.float64)) == expected


def test_a_nan_has_no_weight():
    assert median_of(np.array([np.nan, 1, 2, 3, np.nan, np.nan], np.float32)) == 2
    assert median_of(np.array([np.nan, -np.nan, np.inf, np.inf, np.nan, 3], np.float32)) == np.inf


def test_several_columns_share_the_passes():
    passes = []

    def columns():
        passes.append(None)
        return iter([((np.float32([1, 5, 9]), None), (np.float64([0.1, 0.2, 0.3]), None))])

    assert stream_medians(columns) == (5, 0.2)
    assert len(passes) == 4  # as many as the longer numbers need, whatever they are


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_any_weight_the_median_is_nan(dtype):
    assert np.isnan(median_of(np.array([np.nan, np.nan], dtype)))
    assert np.isnan(median_of(np.array([1, 2], dtype), np.zeros(2)))


def test_no_numbers_are_an_error():
    with pytest.raises(ValueError, match="there are no numbers"):
        stream_medians(lambda: iter([]))
