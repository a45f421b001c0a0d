"""Depth metrics: worked examples, and what they must not change with."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.metrics.depth import abs_rel, delta, failed, log_rmse, rmse

TARGET = torch.tensor([[1.0, 2.0], [4.0, 0.0]])
VALID = TARGET > 0
PREDICTION = torch.tensor([[1.5, 2.0], [2.0, 99.0]])  # off by +50 %, 0 and -50 %; the last is not scored
METRICS = [abs_rel, rmse, log_rmse, delta, failed]


def random_depths(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction, target = torch.rand(2, 3, 4, 5, generator=generator, dtype=torch.float64) + 0.1
    return prediction, target, torch.rand(3, 4, 5, generator=generator) < 0.7


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (abs_rel, (0.5 + 0 + 0.5) / 3),
        (rmse, math.sqrt((0.25 + 0 + 4) / 3)),
        (log_rmse, math.sqrt((math.log(1.5) ** 2 + math.log(2) ** 2) / 3)),
        (delta, 1 / 3),
        (failed, 0.0),
    ],
)
def test_a_worked_example(metric, value):
    assert float(metric(PREDICTION, TARGET, VALID)) == pytest.approx(value)


@pytest.mark.parametrize("metric", [abs_rel, rmse, log_rmse, failed])
def test_the_truth_has_no_error(metric):
    assert float(metric(TARGET, TARGET, VALID)) == 0


def test_the_truth_is_within_any_factor():
    assert float(delta(TARGET, TARGET, VALID, threshold=1.0001)) == 1


def test_the_factor_itself_is_too_much():
    assert float(delta(torch.tensor([1.25]), torch.tensor([1.0]), torch.tensor([True]))) == 0


def test_a_larger_factor_forgives_more():
    assert [round(float(delta(PREDICTION, TARGET, VALID, threshold)), 3) for threshold in (1.25, 1.6, 2.1)] == [
        0.333,
        0.667,
        1.0,
    ]


@given(seed=st.integers(0, 2**31), scale=st.floats(0.1, 10))
def test_all_but_rmse_are_free_of_units(seed, scale):
    prediction, target, valid = random_depths(seed)
    for metric in (abs_rel, log_rmse, delta):
        torch.testing.assert_close(metric(scale * prediction, scale * target, valid), metric(prediction, target, valid))
    torch.testing.assert_close(rmse(scale * prediction, scale * target, valid), scale * rmse(prediction, target, valid))


@given(seed=st.integers(0, 2**31))
def test_pixels_that_are_not_valid_do_not_count(seed):
    prediction, target, valid = random_depths(seed)
    spoiled = torch.where(valid, prediction, torch.nan)
    for metric in METRICS:
        torch.testing.assert_close(metric(spoiled, target, valid), metric(prediction, target, valid))


def test_a_prediction_that_is_no_number_cannot_hide():
    broken = torch.tensor([[torch.nan, 2.0], [4.0, 1.0]])
    assert float(abs_rel(broken, TARGET, VALID)) != float(abs_rel(broken, TARGET, VALID))  # nan
    assert float(delta(broken, TARGET, VALID)) == pytest.approx(2 / 3)
    assert float(failed(broken, TARGET, VALID)) == pytest.approx(1 / 3)


def test_a_negative_prediction_counts_as_it_is_and_has_a_logarithm():
    behind = torch.tensor([[-1.0, 2.0], [4.0, 1.0]])
    assert float(abs_rel(behind, TARGET, VALID)) == pytest.approx(2 / 3)
    assert float(log_rmse(behind, TARGET, VALID)) == pytest.approx(math.log(1e5) / math.sqrt(3))
    assert float(failed(behind, TARGET, VALID)) == pytest.approx(1 / 3)


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_to_score_is_an_error(metric):
    with pytest.raises(ValueError, match="no pixel is valid"):
        metric(PREDICTION, TARGET, torch.zeros(2, 2, dtype=torch.bool))


def test_unknown_depth_taken_for_truth_is_an_error():
    with pytest.raises(ValueError, match="not positive at some valid pixels"):
        abs_rel(PREDICTION, TARGET, torch.ones(2, 2, dtype=torch.bool))
