"""Runs against older ones of the same sets: what got better or worse by more than noise (eval.report --against).

A difference counts if a 99 % interval over the common sequences leaves out 0 and it is more than 1 % of the older
number. With fewer than five common sequences there is no interval, and 1 % decides alone. Sequences that the older run
scored and the new one did not are losses whatever the averages say.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from eval.report.compare import mode
from eval.report.pairs import ends_text, signed
from eval.report.runs import Run, RunError
from eval.report.significance import LEAST, Paired, paired, parts
from eval.report.words import PROTOCOLS, alignment_title, set_title
from eval.tables import METRICS, Better, markdown

CERTAINTY = 0.99  # many numbers are compared at once
LEAST_CHANGE = 0.01  # of the older number


class Verdict(Enum):
    better = "better"
    worse = "WORSE"
    same = "within noise"


@dataclass(frozen=True)
class Change:
    """One metric of a run and of an older one, over their common sequences."""

    group: str
    metric: str
    result: Paired

    @property
    def verdict(self) -> Verdict:
        result = self.result
        difference = result.second - result.first
        if not math.isfinite(difference):
            return Verdict.same if not math.isfinite(result.first) else Verdict.worse
        noise = not result.certain if result.count >= LEAST else False
        if noise or abs(difference) <= LEAST_CHANGE * abs(result.first):
            return Verdict.same
        good = (difference > 0) is (METRICS[self.metric].better is Better.higher)
        return Verdict.better if good else Verdict.worse


@dataclass(frozen=True)
class Regression:
    """A run against an older one of the same protocol and set.

    Attributes:
        lost, gained: Sequences that only the older, only the new one scored.
    """

    new: Run
    old: Run
    changes: tuple[Change, ...]
    lost: tuple[str, ...]
    gained: tuple[str, ...]

    @property
    def worse(self) -> bool:
        return bool(self.lost) or any(change.verdict is Verdict.worse for change in self.changes)

    def text(self) -> str:
        """A table and a sentence on coverage."""
        where = f"{PROTOCOLS[self.new.protocol]} on {set_title(self.new.dataset)}"
        lines = [f"## {where}: {self.new.label} against {self.old.label}", ""]
        rows = [_row(self.new.protocol, change) for change in self.changes]
        lines += [markdown(rows), ""] if rows else ["no sequence was scored by both", ""]
        lines += [f"- LOST, scored by the older run only: {', '.join(self.lost)}"] if self.lost else []
        lines += [f"- scored by the new run only: {', '.join(self.gained)}"] if self.gained else []
        return "\n".join(lines)


def regressions(new: Iterable[Run], old: Sequence[Run]) -> list[Regression]:
    """Compare each run with the older ones of its protocol and set.

    Raises:
        RunError: A run has no older one, or only one that saw other frames or was scored in the other mode.
    """
    found = []
    for run in new:
        same = [each for each in old if (each.protocol, each.dataset) == (run.protocol, run.dataset)]
        alike = [each for each in same if (each.every, each.parity) == (run.every, run.parity)]
        if not alike:
            there = ", ".join(f"{each.folder} ({mode(each)})" for each in same) or "none"
            raise RunError(
                f"{run.folder} ({PROTOCOLS[run.protocol]} on {set_title(run.dataset)}, {mode(run)}) has nothing to be "
                f"compared with; give --against a run of the same set and mode (of this set: {there})"
            )
        found += [regression(run, each) for each in alike]
    return found


def regression(new: Run, old: Run) -> Regression:
    changes = []
    for group in new.summary:
        for metric in METRICS:
            if metric in new.summary[group] and metric in old.summary.get(group, {}):
                result = paired(parts(old, group, metric), parts(new, group, metric), metric, CERTAINTY)
                changes += [Change(group, metric, result)] if result is not None else []
    lost, gained = (tuple(sorted(a.sequences.keys() - b.sequences.keys())) for a, b in ((old, new), (new, old)))
    return Regression(new, old, tuple(changes), tuple(name for name in lost if name in new.expected), gained)


def regression_text(found: Sequence[Regression]) -> str:
    """All comparisons, and how they were judged."""
    worse = sum(each.worse for each in found)
    verdict = f"{worse} of {len(found)} runs got worse" if worse else "nothing got worse beyond noise"
    judged = (
        "Judged over the common sequences: a 99 % interval of the difference, from 10,000 draws of these sequences "
        "with replacement, and at least 1 % of the older number; by 1 % alone for fewer than 5 sequences."
    )
    return "\n".join([*(each.text() for each in found), f"{verdict}. {judged}"])


def _row(protocol: str, change: Change) -> dict[str, str]:
    metric, result = METRICS[change.metric], change.result
    few = result.count < LEAST
    return {
        "metric": f"{metric.title} {metric.better.value}",
        "alignment": alignment_title(protocol, change.group),
        "sequences": str(result.count),
        "old": metric.text(result.first),
        "new": metric.text(result.second),
        "difference": signed(change.metric, result.second - result.first),
        "99 % interval": "too few" if few else ends_text(change.metric, result.low, result.high, sign=True),
        "verdict": change.verdict.value,
    }
