"""Scores of recorded cases: those of the original's own evaluation, within the tolerances that came with them."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from cut3r.metrics.depth_alignment import DepthAlignment, ScaleShift, published_scale_and_shift
from cut3r.metrics.depth_pairs import InverseTargets
from cut3r.metrics.depth_scoring import DepthScorer, DepthScores, DepthScoring, resize_cubic
from cut3r.metrics.l1_loss import L1Loss

GOLDEN = Path(__file__).parents[1] / "golden" / "eval"
CASES = sorted(path.stem for path in GOLDEN.glob("depth_[mv]*.npz"))
SCORES = [field.name for field in dataclasses.fields(DepthScores)][:9]
FLAGS = {
    "align_with_scale": DepthAlignment.scale_published,
    "align_with_lad2": DepthAlignment.scale_shift_published,
    "metric_scale": DepthAlignment.metric,
    "align_with_lstsq": DepthAlignment.least_squares,
    "align_with_lad": DepthAlignment.scale_shift_bfgs,
}
TOLERANCES = {  # relative; others 1e-5
    DepthAlignment.scale_published: 3e-3,
    DepthAlignment.scale_shift_published: 1e-3,
    DepthAlignment.scale_shift_bfgs: 1e-3,
}
BEST = {DepthAlignment.scale_published: DepthAlignment.scale} | dict.fromkeys(
    (DepthAlignment.scale_shift_published, DepthAlignment.scale_shift_bfgs, DepthAlignment.least_squares),
    DepthAlignment.scale_shift,
)


def load(case: str) -> tuple[dict, dict]:
    with np.load(GOLDEN / f"{case}.npz") as arrays:
        case_arrays = dict(arrays)
    return case_arrays, json.loads(str(case_arrays["cfg"]), parse_int=float)


def scoring_of(options: dict, *, parity: bool = True) -> DepthScoring:
    alignments = [alignment for flag, alignment in FLAGS.items() if options.get(flag)]
    return DepthScoring(
        max_depth=options["max_depth"],
        pre_clip=(options.get("pre_clip_min", -math.inf), options.get("pre_clip_max", math.inf)),
        post_clip=(options.get("post_clip_min", -math.inf), options.get("post_clip_max", math.inf)),
        alignment=alignments[0] if alignments else DepthAlignment.median,
        disparity=options.get("disp_input", False),
        parity=parity,
    )


def frames_added(scorer: DepthScorer, arrays: dict) -> DepthScorer:
    h, w = arrays["pred"].shape[-2:]
    names = [name for name in ("pred", "gt", "mask") if name in arrays]
    for frame in zip(*(arrays[name].reshape(-1, h, w) for name in names), strict=True):
        scorer.add(*frame)
    return scorer


def fit_of(scorer: DepthScorer, options: dict) -> ScaleShift | None:
    if "lr" in options or "max_iters" in options:
        rate, steps = options.get("lr", 1e-4), int(options.get("max_iters", 1000))
        return published_scale_and_shift(scorer.pairs, rate=rate, max_steps=steps)
    return scorer.fit() if len(scorer.pairs) else None


@pytest.mark.parametrize("parity", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_the_recorded_scores(case, parity):
    arrays, options = load(case)
    with frames_added(DepthScorer(scoring_of(options, parity=parity)), arrays) as scorer:
        scores = scorer.score(fit_of(scorer, options))
    tolerance = TOLERANCES.get(scorer.scoring.alignment, 1e-5)
    got = [getattr(scores, name) for name in SCORES]
    assert got == pytest.approx(arrays["metrics"].tolist(), rel=tolerance, abs=1e-6)
    assert scores.valid_pixels == scores.known_pixels == arrays["metrics"][-1]


@pytest.mark.parametrize("case", [case for case in CASES if "disp" not in case and "all_invalid" not in case])
def test_the_recorded_scale_and_shift(case):
    arrays, options = load(case)
    with frames_added(DepthScorer(scoring_of(options)), arrays) as scorer:
        fit = fit_of(scorer, options)
    tolerance = TOLERANCES.get(scorer.scoring.alignment, 1e-6)
    assert (fit.scale, fit.shift) == pytest.approx(
        (float(arrays["scale"]), float(arrays["shift"])), rel=tolerance, abs=1e-6
    )


@pytest.mark.parametrize("case", [case for case in CASES if scoring_of(load(case)[1]).alignment in BEST])
def test_the_best_alignment_is_at_least_as_good_as_the_recorded_one(case):
    arrays, options = load(case)
    with frames_added(DepthScorer(scoring_of(options)), arrays) as scorer:
        recorded = (float(arrays["scale"]), float(arrays["shift"]))
        pairs = scorer.pairs
        if scorer.scoring.disparity:  # not recorded there
            published, pairs = scorer.fit(), InverseTargets(scorer.pairs)
            recorded = published.scale, published.shift
        best = scorer.fit(BEST[scorer.scoring.alignment])
        loss = L1Loss(pairs)
        assert loss.at(best.scale, best.shift).loss <= loss.at(*recorded).loss * (1 + 1e-7)


@pytest.mark.parametrize("index", range(4))
def test_the_recorded_resizing(index):
    with np.load(GOLDEN / "depth_resize_cubic.npz") as arrays:
        expected = arrays[f"out{index}"]
        np.testing.assert_allclose(resize_cubic(arrays[f"in{index}"], expected.shape), expected, rtol=0, atol=1e-4)
