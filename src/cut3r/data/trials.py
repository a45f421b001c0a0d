"""Pairs of frames under a hypothesis: how well do they agree, and is that better than under another one?

A score is judged over several pairs: an improvement must be large in the median and there in nearly all pairs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from cut3r.data.hypotheses import AS_GIVEN, UNITS, Hypothesis, in_unit_of_depth, scale
from cut3r.data.reprojection import PairCheck, reproject, residuals, sample, summarize
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
SCALE_STEPS = 129  # 15 % each
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
        return np.array([score(check) for check in self.checks])


def score(check: PairCheck) -> float:
    error = check.depth_error if check.compared >= MIN_COMPARED else 1.0
    return float(np.log(error + ERROR_FLOOR) - np.log(check.seen_again + SHARE_FLOOR))


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
    samples = [sample(a, SCALE_PIXELS) for a, _ in pairs]

    def cost(log_factor: float) -> float:
        moved = ((in_unit_of_depth(a, np.exp(log_factor)), in_unit_of_depth(b, np.exp(log_factor))) for a, b in pairs)
        found = [summarize(residuals(points, a, b)) for points, (a, b) in zip(samples, moved, strict=True)]
        return float(np.median([score(check) for check in found]))

    grid = np.linspace(np.log(SCALE_RANGE[0]), np.log(SCALE_RANGE[1]), SCALE_STEPS)
    around = grid[int(np.argmin([cost(value) for value in grid]))]
    step = grid[1] - grid[0]
    factor = float(np.exp(_least(cost, around - step, around + step)))
    unit = next((unit for unit in UNITS if abs(factor / unit - 1) < NEAR_UNIT), None)
    if abs(factor - 1) < SAME_SCALE:
        return None
    fitted = attempt(pairs, scale(factor))
    if not all(beats(fitted, attempt(pairs, scale(factor * other))) for other in (DIP, 1 / DIP)):
        return None
    named = None if unit is None else attempt(pairs, scale(unit))
    return fitted if named is None or beats(fitted, named) else named


def _least(cost: Callable[[float], float], low: float, high: float, rounds: int = 3) -> float:
    """Narrow an interval around the least cost; each round to a fifth."""
    for _ in range(rounds):
        places = np.linspace(low, high, 11)
        best = places[int(np.argmin([cost(value) for value in places]))]
        low, high = best - (places[1] - places[0]), best + (places[1] - places[0])
    return float(best)


def trials(pairs: Pairs, hypotheses: Sequence[Hypothesis]) -> list[Trial]:
    """Try those that could hold for all frames; the first is always `AS_GIVEN`."""
    frames = [frame for pair in pairs for frame in pair]
    possible = (hypothesis for hypothesis in hypotheses if all(map(hypothesis.applies, frames)))
    return [attempt(pairs, hypothesis) for hypothesis in (AS_GIVEN, *possible)]


def _median(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.median(finite)) if finite else np.nan
