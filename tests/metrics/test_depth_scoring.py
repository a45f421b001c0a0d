"""Scoring frame by frame: the order of operations, failures, averages, and independence of portions."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.metrics import depth_pairs
from cut3r.metrics.depth import abs_rel, delta, log_rmse, rmse, sq_rel
from cut3r.metrics.depth_alignment import DepthAlignment, ScaleShift
from cut3r.metrics.depth_scoring import (
    DepthScorer,
    DepthScores,
    DepthScoring,
    resize_cubic,
)
from tests.metrics.depth_cases import random_depths

METRIC = DepthScoring(alignment=DepthAlignment.metric)


def score(scoring, *frames, fit=None, **options):
    with DepthScorer(scoring, **options) as scorer:
        for frame in frames:
            scorer.add(*frame)
        return scorer.score(fit)


def row(*values, dtype=np.float32):
    return np.array([values], dtype)


def close(one, other, rel=1e-5):
    return dataclasses.astuple(one) == pytest.approx(dataclasses.astuple(other), rel=rel, abs=1e-7, nan_ok=True)


@given(seed=st.integers(0, 2**31), dtype=st.sampled_from([np.float32, np.float64]))
def test_the_formulas_are_those_for_whole_tensors(seed, dtype):
    p, g = (values.reshape(10, 12) for values in random_depths(seed, 120, dtype))
    scores = score(METRIC, (p, g))
    prediction, target = torch.from_numpy(p), torch.from_numpy(g)
    valid = target > 0
    for name, metric in {"abs_rel": abs_rel, "sq_rel": sq_rel, "rmse": rmse, "log_rmse": log_rmse}.items():
        assert getattr(scores, name) == pytest.approx(float(metric(prediction, target, valid)), rel=1e-5)
    for power in (1, 2, 3):
        share = float(delta(prediction, target, valid, 1.25**power))
        assert getattr(scores, f"delta_{power}") == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("alignment", list(DepthAlignment))
def test_a_video_in_portions_from_the_file_scores_as_a_whole(alignment, monkeypatch):
    rng = np.random.default_rng(0)
    p, g = (values.reshape(6, 10, 12) for values in random_depths(1, 720))
    g[rng.random(g.shape) < 0.3] = 0
    scoring = DepthScoring(max_depth=8.5, post_clip=(0.0, 9.0), alignment=alignment)
    whole = score(scoring, (p.reshape(60, 12), g.reshape(60, 12)))
    monkeypatch.setattr(depth_pairs, "BLOCK", 50)
    touchy = {DepthAlignment.scale_published: 3e-3, DepthAlignment.scale_shift_bfgs: 1e-2}  # in the order of summation
    streamed = score(scoring, *zip(p, g, strict=True), memory_limit=500)
    assert close(streamed, whole, rel=touchy.get(alignment, 1e-5))


@given(seed=st.integers(0, 2**31), factor=st.sampled_from([0.25, 2.0, 64.0]))
def test_a_unit_of_the_prediction_does_not_matter_once_aligned(seed, factor):
    p, g = (values.reshape(8, 15) for values in random_depths(seed, 120))
    for alignment in (DepthAlignment.median, DepthAlignment.scale, DepthAlignment.least_squares):
        scoring = DepthScoring(alignment=alignment)
        assert close(score(scoring, (factor * p, g)), score(scoring, (p, g)), rel=1e-4)


def test_what_is_known_depth():
    g = row(-1, 0, np.nan, 69.99, 70, 80, np.inf)
    p = np.full_like(g, 5)
    assert score(dataclasses.replace(METRIC, max_depth=70.0), (p, g)).valid_pixels == 1
    assert score(METRIC, (p, g)).valid_pixels == 4  # infinity is known where there is no limit


def test_the_mask_comes_after_the_alignment():
    p, g, kept = row(1, 2, 3), row(2, 4, 9), np.array([[False, False, True]])
    scores = score(DepthScoring(alignment=DepthAlignment.median), (p, g, kept))
    assert (scores.valid_pixels, scores.abs_rel) == (1, pytest.approx(3 / 9))  # scaled by 4 / 2


def test_clips_come_before_and_after_the_alignment():
    p, g = row(1, 2, 100), row(10, 20, 30)
    before = DepthScoring(pre_clip=(1.5, 3.0))
    assert score(before, (p, g)).abs_rel == pytest.approx((5 / 10 + 0 + 0) / 3)  # 1.5 2 3 times 10
    after = DepthScoring(post_clip=(12.0, 30.0))
    assert score(after, (p, g)).abs_rel == pytest.approx((2 / 10 + 0 + 0) / 3)  # 10 20 1000, clipped


def test_disparities_are_aligned_as_such_and_become_depths():
    g = row(1, 2, 4, 5)
    p = 3 / g
    for alignment in (DepthAlignment.median, DepthAlignment.scale, DepthAlignment.least_squares):
        scores = score(DepthScoring(alignment=alignment, disparity=True), (p, g))
        assert scores.abs_rel == pytest.approx(0, abs=1e-6)
    scores = score(DepthScoring(alignment=DepthAlignment.metric, disparity=True), (row(-1, 0.5), row(2, 2)))
    assert (scores.abs_rel, scores.nonpositive_pixels) == (0.5, 1)  # what is not positive becomes 0


def test_failures_are_counted_and_left_out():
    p, g = row(1, np.nan, np.inf, 4), row(1, 2, 3, 4)
    scores = score(METRIC, (p, g))
    assert (scores.abs_rel, scores.valid_pixels, scores.known_pixels) == (0, 2, 4)
    assert (scores.failed_pixels, scores.failed) == (2, 0.5)


def test_with_parity_failures_spoil_the_means():
    p, g = row(1, np.nan, 4), row(1, 2, 4)
    scores = score(dataclasses.replace(METRIC, parity=True), (p, g))
    assert math.isnan(scores.abs_rel) and math.isnan(scores.rmse) and math.isnan(scores.log_rmse)
    assert (scores.delta_1, scores.valid_pixels, scores.known_pixels) == (pytest.approx(2 / 3), 3, 3)
    assert scores.failed == pytest.approx(1 / 3)


@pytest.mark.parametrize("alignment", list(DepthAlignment))
def test_with_parity_one_failure_is_as_bad_for_every_alignment(alignment):
    p, g = random_depths(0, 60)
    p[3] = np.nan
    scores = score(DepthScoring(alignment=alignment, parity=True), (p[None], g[None]))
    assert math.isnan(scores.abs_rel)


@pytest.mark.parametrize("alignment", list(DepthAlignment))
def test_with_parity_failures_alone_spoil_the_means_too(alignment):
    scores = score(DepthScoring(alignment=alignment, parity=True), (row(np.nan, np.nan), row(1, 2)))
    assert math.isnan(scores.abs_rel)


def test_only_failures_are_no_scores():
    assert score(METRIC, (row(np.nan, np.inf), row(1, 2))) == DepthScores(known_pixels=2, failed_pixels=2)


def test_predictions_that_are_not_positive_are_counted_after_the_alignment():
    scores = score(METRIC, (row(-1, 0, 1), row(1, 1, 1)), fit=ScaleShift(1.0, 0.5))
    assert (scores.nonpositive_pixels, scores.nonpositive) == (1, pytest.approx(1 / 3))


def test_nothing_known_is_all_zeros():
    for parity in (True, False):
        scoring = DepthScoring(parity=parity)
        assert score(scoring, (row(1, 2), row(0, 0))) == score(scoring) == DepthScores()


def test_one_can_score_several_alignments_of_the_same_frames():
    p, g = (values.reshape(5, 20) for values in random_depths(0, 100))
    with DepthScorer(DepthScoring()) as scorer:
        scorer.add(p, g)
        again = scorer.score(scorer.fit(DepthAlignment.scale))
    assert again == score(DepthScoring(alignment=DepthAlignment.scale), (p, g))


def test_resizing_keeps_a_slope_and_overshoots_at_an_edge():
    slope = np.tile(np.arange(32, dtype=np.float32), (24, 1))
    finer = resize_cubic(slope, (48, 64))
    np.testing.assert_allclose(finer[:, 8:-8], np.tile((np.arange(64) + 0.5) / 2 - 0.5, (48, 1))[:, 8:-8], atol=0.1)
    assert resize_cubic(np.where(slope < 16, 1, 9).astype(np.float32), (48, 64)).min() < 1
    assert resize_cubic(slope, (24, 32)) is slope


def test_predictions_are_brought_to_the_size_of_the_truth():
    scores = score(METRIC, (np.full((3, 4), 2, np.float32), np.ones((9, 7))))
    assert (scores.abs_rel, scores.valid_pixels) == (pytest.approx(1), 63)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_depth": 0.0}, "no depth would be known"),
        ({"max_depth": math.nan}, "no depth would be known"),
        ({"pre_clip": (3.0, 1.0)}, "pre_clip is"),
        ({"post_clip": (1.0, math.nan)}, "post_clip is"),
    ],
)
def test_settings_that_make_no_sense_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        DepthScoring(**options)
