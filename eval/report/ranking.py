"""Which number stands for a run or a sequence, and which sequences are the worst."""

import numpy as np

from eval.protocols.base import MAIN_GROUPS
from eval.report.compare import RunSet
from eval.report.runs import Run
from eval.report.words import MAIN_METRIC
from eval.tables import METRICS


def worst_first(runs: RunSet) -> list[str]:
    """The names of scored sequences, by the largest error that one of the runs made; no number is worst."""
    names = dict.fromkeys(name for run in runs.runs for name in run.sequences)

    def error(name: str) -> float:
        values = [value for run in runs.runs if (value := main_number(run, name)) is not None]
        return max((value if np.isfinite(value) else np.inf for value in values), default=np.inf)

    return sorted(names, key=error, reverse=True)


def worst_and_median(names: list[str]) -> dict[str, str]:
    """The worst sequence of a list that has the worst first, and the middle one, with what they are called."""
    chosen = {names[0]: "worst sequence"} if names else {}
    if len(names) > 1:
        chosen.setdefault(names[len(names) // 2], "median sequence")
    return chosen if len(names) > 1 else dict.fromkeys(chosen, "its only sequence")


def main_group(run: Run) -> str | None:
    """The alignment that stands for a run; None if it has no score."""
    preferred = [group for group in MAIN_GROUPS[run.protocol] if group in run.summary]
    return next(iter([*preferred, *run.summary]), None)


def main_number(run: Run, name: str) -> float | None:
    """A sequence's number by which sequences are ranked, averaged over its items."""
    group = main_group(run)
    if group is None or name not in run.sequences:
        return None
    return run.sequences[name].mean(group, MAIN_METRIC[run.protocol])


def main_text(run: Run, name: str) -> str:
    value = main_number(run, name)
    return "no number" if value is None else with_unit(MAIN_METRIC[run.protocol], value)


def with_unit(metric: str, value: float) -> str:
    """A number with its metric and unit, like ATE 0.213 m."""
    title, _, unit = METRICS[metric].title.partition(", ")
    return f"{title} {METRICS[metric].text(value)} {unit}".rstrip()
