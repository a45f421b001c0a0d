"""Pairs of frames under a hypothesis: how well do they agree, and is that better than under another one?

A score is judged over several pairs: an improvement must be large in the median and there in nearly all pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64

from cut3r.data.hypotheses import AS_GIVEN, UNITS, Hypothesis, scale
from cut3r.data.reprojection import PairCheck, depth_residuals, moved_pixels, reproject, sample
from cut3r.data.view import RawFrame

Pairs = Sequence[tuple[RawFrame, RawFrame]]

MIN_COMPARED = 12  # points; a pair with fewer says nothing about depth
ERROR_FLOOR = 0.002  # relative depth errors below this are rounding, whatever their ratio
SHARE_FLOOR = 0.01
BETTER = 1.3  # an improvement by less is not named
BETTER_OF_FEW = 3.0  # nor by less than this if there are only one or two pairs
ENOUGH_PAIRS = 3
CONSISTENT = 0.8  # share of the pairs that must improve
PHOTOMETRIC_FLOOR = 0.02  # of chance: rounded colours, whatever the ratio
SHARPER = 1.1  # photometric improvement that decides between hypotheses that depth cannot tell apart

SCALE_RANGE = (1e-4, 1e4)
SCALE_STEPS = (129, 11, 11, 11)  # 15 % each, then 3 %, 0.6 %, 0.1 %
SCALE_PIXELS = 997  # of each frame, while searching
SAME_SCALE = 0.02
NEAR_UNIT = 0.05
DIP = 3.0  # a best scale must be better than one that is so many times larger or smaller


@dataclass(frozen=True)
class Trial:
    """How well the pairs agree once a hypothesis is corrected; medians over pairs that can say it, nan without any."""

    hypothesis: Hypothesis
    checks: tuple[PairCheck, ...]

    @property
    def depth_error(self) -> float:
        return _median([check.depth_error for check in self.checks if check.compared >= MIN_COMPARED])

    @property
    def seen_again(self) -> float:
        return _median([check.seen_again for check in self.checks])

    @property
    def photometric(self) -> float:
        return _median([check.photometric for check in self.checks])

    @cached_property
    def scores(self) -> Float64[np.ndarray, "v"]:
        """One number per pair, less is better: the logarithm of error over share. Differences are factors."""
        return np.array([score(check.depth_error, check.compared, check.seen_again) for check in self.checks])


def score(depth_error: float, compared: int, seen_again: float) -> float:
    error = depth_error if compared >= MIN_COMPARED else 1.0
    return float(np.log(error + ERROR_FLOOR) - np.log(seen_again + SHARE_FLOOR))


def attempt(pairs: Pairs, hypothesis: Hypothesis) -> Trial:
    """Correct the mistake in both frames of each pair, and reproject.

    Raises:
        ValueError: A pose is not rigid.
    """
    correct = hypothesis.correct
    return Trial(hypothesis, tuple(reproject(correct(a), correct(b)) for a, b in pairs))


def beats(one: Trial, other: Trial) -> bool:
    """Whether one trial agrees clearly better than the other: by depth, or by colours where depth ties."""
    telling = np.array(
        [
            max(ours.compared, theirs.compared) >= MIN_COMPARED
            for ours, theirs in zip(one.checks, other.checks, strict=True)
        ]
    )
    gains = (other.scores - one.scores)[telling]
    if consistent(gains, BETTER) or consistent(-gains, BETTER):
        return bool(np.median(gains) > 0)
    ours, theirs = (np.log([check.photometric + PHOTOMETRIC_FLOOR for check in trial.checks]) for trial in (one, other))
    return consistent((theirs - ours)[np.isfinite(theirs - ours)], SHARPER)


def consistent(gains: Float64[np.ndarray, "v"], factor: float) -> bool:
    """Whether logarithmic gains have at least this median, and are gains in nearly all pairs."""
    if len(gains) == 0:
        return False
    needed = factor if len(gains) >= ENOUGH_PAIRS else max(factor, BETTER_OF_FEW)
    return bool(np.median(gains) >= np.log(needed) and (gains > 0).mean() >= CONSISTENT)


def best_scale(pairs: Pairs) -> Trial | None:
    """Look for the factor of the depth that fits the poses best, in 1e-4 ... 1e4.

    Returns:
        None if no factor is clearly better than others (a camera that only turns knows none), or if it is 1. A factor
        near a power of ten of `UNITS` is that one.
    """
    low, high = np.log(SCALE_RANGE)
    for steps in SCALE_STEPS:  # the first finds the dip, the others narrow it
        places = np.linspace(low, high, steps)
        around = places[int(np.argmin(_scale_costs(pairs, np.exp(places))))]
        step = places[1] - places[0]
        low, high = around - step, around + step
    factor = float(np.exp(around))
    unit = next((unit for unit in UNITS if abs(factor / unit - 1) < NEAR_UNIT), None)
    if abs(factor - 1) < SAME_SCALE:
        return None
    fitted = attempt(pairs, scale(factor))
    if not all(beats(fitted, attempt(pairs, scale(factor * other))) for other in (DIP, 1 / DIP)):
        return None
    named = None if unit is None else attempt(pairs, scale(unit))
    return fitted if named is None or beats(fitted, named) else named


def _scale_costs(pairs: Pairs, factors: Float64[np.ndarray, "f"]) -> Float64[np.ndarray, "f"]:
    """The median score of the pairs for each factor of the depth."""
    scores = []
    for a, b in pairs:
        pixels, z = moved_pixels(sample(a, SCALE_PIXELS), a, b, factors)
        _, seen, errors = depth_residuals(pixels.reshape(-1, 2), z.reshape(-1), b)
        rows = zip(seen.reshape(z.shape), errors.reshape(z.shape), strict=True)
        scores.append([_score_of(row_seen, row_errors[np.isfinite(row_errors)]) for row_seen, row_errors in rows])
    return np.median(scores, axis=0)


def _score_of(seen: Bool[np.ndarray, "p"], errors: Float64[np.ndarray, "e"]) -> float:
    error = float(np.median(errors)) if len(errors) else 1.0
    return score(error, len(errors), float(seen.mean()) if len(seen) else 0.0)


def trials(pairs: Pairs, hypotheses: Sequence[Hypothesis]) -> list[Trial]:
    """Try those that could hold for all frames; the first is always `AS_GIVEN`."""
    frames = [frame for pair in pairs for frame in pair]
    possible = (hypothesis for hypothesis in hypotheses if all(map(hypothesis.applies, frames)))
    return [attempt(pairs, hypothesis) for hypothesis in (AS_GIVEN, *possible)]


def _median(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.median(finite)) if finite else np.nan
