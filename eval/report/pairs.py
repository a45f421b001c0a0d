"""Two runs at a time over the sequences that both scored: by how much they differ, and whether for sure."""

from dataclasses import dataclass
from itertools import combinations

from eval.report.compare import RunSet, mode
from eval.report.significance import Paired, paired, parts
from eval.report.words import PAPER_METRICS
from eval.tables import METRICS, Better

ALL_PAIRS = 4  # runs up to which each meets each; more of them meet the first one
HEAD = ("Metric", "First", "Second", "Sequences", "First's", "Second's", "Difference", "95 % interval", "Better", "p")


@dataclass(frozen=True)
class Pair:
    """One metric of two runs."""

    metric: str
    first: str
    second: str
    result: Paired

    @property
    def gain(self) -> bool | None:
        """Whether the second is better, where that is certain."""
        if not self.result.certain:
            return None
        return (self.result.low > 0) is (METRICS[self.metric].better is Better.higher)

    def cells(self) -> list[str]:
        """As HEAD names them."""
        metric, result = METRICS[self.metric], self.result
        texts = [metric.text(value) for value in (result.first, result.second)]
        difference = signed(self.metric, result.second - result.first)
        ends = "too few" if result.low != result.low else ends_text(self.metric, result.low, result.high, sign=True)
        count = f"{result.better} of {result.better + result.worse}"
        return [
            f"{metric.title} {metric.better.value}", self.first, self.second, str(result.count),
            *texts, difference, ends, count, f"{result.p:.3f}",
        ]  # fmt: skip


def pairs(runs: RunSet, group: str) -> list[Pair]:
    """Compare the runs with this alignment that saw the same frames."""
    there = [run for run in runs.runs if group in run.summary]
    met = combinations(there, 2) if len(there) <= ALL_PAIRS else ((there[0], other) for other in there[1:])
    found = []
    for first, second in met:
        if first.every == second.every and mode(first).split(", ")[0] == mode(second).split(", ")[0]:
            for metric in PAPER_METRICS[runs.protocol]:
                result = paired(parts(first, group, metric), parts(second, group, metric), metric)
                if result is not None and result.count > 1:
                    found.append(Pair(metric, first.label, second.label, result))
    return found


def signed(metric: str, value: float) -> str:
    return f"{METRICS[metric].scale * value:+.{METRICS[metric].digits}f}"


def ends_text(metric: str, low: float, high: float, *, sign: bool = False) -> str:
    """An interval like 0.181 to 0.254."""
    texts = [signed(metric, end) if sign else METRICS[metric].text(end) for end in (low, high)]
    return " to ".join(texts)
