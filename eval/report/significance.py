"""How sure an average over sequences is, and whether two systems differ by more than the choice of sequences.

Sequences are drawn anew with replacement, many times, and averaged as the protocol averages (bootstrap, Efron 1979);
an interval leaves out the same share of these averages at both ends. Frames of one sequence resemble each other, so
they are never drawn one by one; only the pictures of a set without videos are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import binomtest

from eval.report.runs import Run
from eval.tables import METRICS, Better

DRAWS = 10_000
LEAST = 5  # sequences; fewer can be drawn in too few ways
CERTAINTY = 0.95
WEIGHTED = ("monodepth", "video_depth")  # protocols whose averages weigh by pixels
UNRELATED = ("nyu",)  # sets whose one sequence is pictures of different places

Parts = Mapping[str, tuple[float, float]]  # by name: sum of weight x value, sum of weights


@dataclass(frozen=True)
class Paired:
    """Two runs over what both scored.

    Attributes:
        first, second: Averages.
        low, high: Where second - first may lie; nan if there are too few sequences.
        better, worse: In how many the second run is.
        p: Chance of so uneven a count if both were equally good (sign test, two-sided); 1 without any difference.
    """

    count: int
    first: float
    second: float
    low: float
    high: float
    better: int
    worse: int
    p: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def parts(run: Run, group: str, metric: str) -> Parts:
    """What each sequence (each picture, in sets of unrelated ones) adds to a run's average of a metric."""
    weighted = run.protocol in WEIGHTED
    found: dict[str, tuple[float, float]] = {}
    for name, sequence in run.sequences.items():
        for item in sequence.score.groups.get(group, ()):
            if metric in item.metrics:
                key = f"{name}/{item.name}" if run.dataset in UNRELATED else name
                weight = item.weights.get(metric, item.weight) if weighted else 1.0
                total, weights = found.get(key, (0.0, 0.0))
                found[key] = total + weight * float(item.metrics[metric]), weights + weight
    return {name: pair for name, pair in found.items() if pair[1] > 0}


def interval(summands: Parts, certainty: float = CERTAINTY) -> tuple[float, float] | None:
    """Where the average may lie; None for too few sequences."""
    if len(summands) < LEAST:
        return None
    low, high = _ends(_averages(np.array(list(summands.values()))), certainty)
    return low, high


def paired(first: Parts, second: Parts, metric: str, certainty: float = CERTAINTY) -> Paired | None:
    """Compare two runs over their common sequences; None if there are none. Both are averaged over the same draws."""
    common = [name for name in first if name in second]
    if not common:
        return None
    one, two = (np.array([each[name] for name in common]) for each in (first, second))
    low, high = float("nan"), float("nan")
    if len(common) >= LEAST:
        low, high = _ends(_averages(two) - _averages(one), certainty)
    steps = two[:, 0] / two[:, 1] - one[:, 0] / one[:, 1]
    gains = steps if METRICS[metric].better is Better.higher else -steps
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return Paired(len(common), _average(one), _average(two), low, high, better, worse, p)


def _average(pairs: Float64[np.ndarray, "n 2"]) -> float:
    total, weight = pairs.sum(axis=0)
    return float(total / weight)


def _averages(pairs: Float64[np.ndarray, "n 2"]) -> Float64[np.ndarray, "draws"]:
    totals, weights = (_draws(len(pairs)) @ pairs).T
    averages: np.ndarray = totals / weights
    return averages


@cache
def _draws(count: int) -> Int64[np.ndarray, "draws n"]:
    """How often each sequence is drawn; the same whenever it is asked for, so that reports can be repeated."""
    return np.random.default_rng(count).multinomial(count, np.full(count, 1 / count), size=DRAWS)


def _ends(averages: Float64[np.ndarray, "draws"], certainty: float) -> tuple[float, float]:
    tail = (1 - certainty) / 2
    low, high = np.quantile(averages, (tail, 1 - tail))
    return float(low), float(high)
