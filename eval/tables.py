"""Results as tables: how metrics are printed, one run for the console, and what a comparison of several holds.

`eval.report` fills comparisons with runs and published numbers, and writes them as Markdown, CSV, LaTeX and HTML.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Better(Enum):
    lower = "↓"
    higher = "↑"


@dataclass(frozen=True)
class Metric:
    """How a metric is printed: `scale` brings our unit to that of the title. CSV files have all, tables the `shown`."""

    title: str
    digits: int
    scale: float = 1.0
    better: Better = Better.lower
    shown: bool = True

    def text(self, value: float) -> str:
        return f"{self.scale * value:.{self.digits}f}"


# the order of the columns
METRICS = {
    "abs_rel": Metric("AbsRel", 3),
    "delta_1": Metric("δ < 1.25, %", 1, 100.0, Better.higher),
    "rmse": Metric("RMSE, m", 3),
    "log_rmse": Metric("log RMSE", 3),
    "ause": Metric("AUSE", 3),
    "flicker": Metric("flicker, %", 2, 100.0),
    "ate": Metric("ATE, m", 3),
    "rpe_trans": Metric("RPEt, m", 3),
    "rpe_rot": Metric("RPEr, °", 3),
    "scale_error": Metric("scale error, ln", 3),
    "t_rel": Metric("t_rel, %", 2, 100.0),
    "r_rel": Metric("r_rel, °/100 m", 3),
    "focal_error": Metric("focal error, %", 1, 100.0),
    **{f"auc_{end}": Metric(f"AUC@{end}, %", 1, 100.0, Better.higher) for end in (5, 15, 30)},
    **{f"rra_{end}": Metric(f"RRA@{end}, %", 1, 100.0, Better.higher) for end in (5, 15, 30)},
    **{f"rta_{end}": Metric(f"RTA@{end}, %", 1, 100.0, Better.higher) for end in (5, 15, 30)},
    "pair_med": Metric("pair med., °", 2),
    "psnr": Metric("PSNR, dB", 2, better=Better.higher),
    "ssim": Metric("SSIM", 3, better=Better.higher),
    "view_deg": Metric("view, °", 2),
    "view_m": Metric("view, m", 3),
    "acc": Metric("Acc, m", 3),
    "acc_med": Metric("Acc med., m", 3),
    "comp": Metric("Comp, m", 3),
    "comp_med": Metric("Comp med., m", 3),
    "nc": Metric("NC", 3, better=Better.higher),
    "nc_med": Metric("NC med.", 3, better=Better.higher),
    "chamfer": Metric("Chamfer, m", 3),
    "f_2cm": Metric("F 2 cm, %", 1, 100.0, Better.higher),
    "f_5cm": Metric("F 5 cm, %", 1, 100.0, Better.higher),
    "f_10cm": Metric("F 10 cm, %", 1, 100.0, Better.higher),
    "failed": Metric("failed, %", 2, 100.0),
    "fps": Metric("FPS, A100", 2, better=Better.higher),
    "sq_rel": Metric("Sq Rel, m", 3, shown=False),
    "delta_2": Metric("δ < 1.25², %", 1, 100.0, Better.higher, shown=False),
    "delta_3": Metric("δ < 1.25³, %", 1, 100.0, Better.higher, shown=False),
    "nonpositive": Metric("not positive, %", 2, 100.0, shown=False),
    "nc1": Metric("NC of predicted", 3, better=Better.higher, shown=False),
    "nc1_med": Metric("NC of predicted med.", 3, better=Better.higher, shown=False),
    "nc2": Metric("NC of true", 3, better=Better.higher, shown=False),
    "nc2_med": Metric("NC of true med.", 3, better=Better.higher, shown=False),
}
COUNT_FAILURES = ("delta_1", "delta_2", "delta_3", "failed")  # the others are over what did not fail
Row = dict[str, str]


NOT_COUNTED = {
    "unknown_cameras": "frames of unknown cameras",
    "pictures_without_camera": "pictures without a predicted camera",
    "pictures_without_truth": "pictures without true depth",
}


class Kind(Enum):
    run = "run"  # ours
    paper = "paper"
    rerun = "rerun"  # of released weights, by others


PUBLISHED = "published"
RERUN = {Kind.paper: "", Kind.rerun: ", re-run"}


@dataclass(frozen=True)
class Column:
    """One metric on one set; its key is the metric, or what tells columns of the same metric apart.

    Attributes:
        over: A title that it shares with its neighbours, such as the set's.
    """

    key: str
    title: str
    metric: str
    dataset: str
    over: str = ""

    @property
    def arrow(self) -> str:
        """Which way is better; the title of the table says it where all columns are of one metric."""
        return METRICS[self.metric].better.value if self.over or self.key == self.metric else ""


@dataclass(frozen=True)
class Counts:
    """Sequences behind a run's numbers, and the items that the mean is over (pictures, in monodepth)."""

    expected: int
    scored: int
    left_out: int
    failed: int
    items: int

    def text(self) -> str:
        """Like 60/64, 3 left out, 1 failed."""
        said = [f"{self.scored}/{self.expected}"]
        said += [f"{self.left_out} left out"] if self.left_out else []
        said += [f"{self.failed} failed"] if self.failed else []
        said += [f"{self.items} items"] if self.items != self.scored else []
        return ", ".join(said)


@dataclass(frozen=True)
class Entry:
    """One system in a comparison.

    Attributes:
        values: By the key of the column, in our units.
        mode: How a run scored: "parity" or "default", and what else makes it another number than the published one.
        counts: Of a run, by the name of the set.
        peers: Of a run, by the name of the set: runs of the same word are comparable, PUBLISHED with published numbers.
        intervals: By the key of the column: where the number may lie, judged by how the sequences differ.
        remarks: By the key of the column; those in `uncertain` say why a number is not sure.
        note: On the whole row.
    """

    system: str
    kind: Kind
    values: Mapping[str, float]
    source: str = ""
    mode: str = ""
    counts: Mapping[str, Counts] = field(default_factory=dict)
    peers: Mapping[str, str] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    uncertain: Sequence[str] = ()
    remarks: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        """With the source, because sources differ."""
        return self.system if self.kind is Kind.run else f"{self.system} [{self.source}]{RERUN[self.kind]}"

    def text(self, column: Column) -> str:
        """The number as people read it; a ? marks an uncertain one, nothing is printed where there is none."""
        if column.key not in self.values:
            return ""
        return METRICS[column.metric].text(self.values[column.key]) + ("?" if column.key in self.uncertain else "")

    def coverage(self) -> str:
        """How many sequences were scored; set by set where the sets differ."""
        texts = {dataset: counts.text() for dataset, counts in self.counts.items()}
        if len(set(texts.values())) <= 1:
            return next(iter(texts.values()), "")
        return "; ".join(f"{dataset} {text}" for dataset, text in texts.items())


@dataclass(frozen=True)
class Comparison:
    """Runs and published numbers side by side: one protocol, set and alignment, runs first.

    Attributes:
        title: For people.
        columns: Of all metrics; tables show those of `shown`.
        notes: What a reader must know to compare the rows, whole sentences.
    """

    title: str
    protocol: str
    group: str
    columns: tuple[Column, ...]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[Column, ...]:
        """The columns that tables have; CSV files have all."""
        return tuple(column for column in self.columns if METRICS[column.metric].shown)

    def remarks(self) -> list[str]:
        """The remarks on rows and single numbers, each with the name of the system."""
        said = []
        for entry in self.entries:
            said += [f"{entry.name}: {entry.note}"] if entry.note else []
            for column in self.shown:
                if column.key in entry.remarks:
                    mark = "? " if column.key in entry.uncertain else ""
                    title = f"{column.over}, {column.title}" if column.over else column.title
                    said.append(f"{mark}{entry.name}, {title}: {entry.remarks[column.key]}")
        return said


def summary_table(result: dict[str, Any]) -> str:
    """One run for the console: a row per alignment, and what is missing."""
    rows = [
        {"aligned by": group, **numbers(metrics, "headline"), "items": str(_items(metrics))}
        for group, metrics in result["summary"].items()
    ]
    said = [
        f"? {group}: {failures_text(metrics['failed']['headline'])}"
        for group, metrics in result["summary"].items()
        if any(leaves_out_failures(metric, metrics) for metric in metrics)
    ]
    return "\n".join([markdown(rows) if rows else "no sequence has a score", "", *said, coverage(result)])


def numbers(metrics: dict[str, Any], which: str) -> Row:
    """The metrics that tables show, formatted; `which` is headline, mean, weighted or median. A ? marks errors that
    leave out failed predictions."""
    marks = {key: "?" if leaves_out_failures(key, metrics) else "" for key in metrics}
    return {
        metric.title: metric.text(metrics[key][which]) + marks[key]
        for key, metric in METRICS.items()
        if metric.shown and key in metrics
    }


def leaves_out_failures(metric: str, summary: Mapping[str, Any]) -> bool:
    """Whether some predictions failed (`summary`: of one group) and this metric is over the others only."""
    return metric not in COUNT_FAILURES and "failed" in summary and summary["failed"]["headline"] > 0


def failures_text(share: float) -> str:
    return f"without the {METRICS['failed'].text(share)} % of the pixels with truth whose prediction failed"


def coverage(result: dict[str, Any]) -> str:
    """Say how many sequences stand behind the numbers, and which do not."""
    counts, facts = result["coverage"], result["facts"]
    text = f"{counts['scored']} of {counts['expected']} sequences scored"
    if not facts.get("complete", True) or facts.get("only"):
        text += " (a part of the set)"
    for kind, said in (("left_out", "left out by the protocol"), ("failed", "FAILED")):
        if counts[kind]:
            text += f"; {len(counts[kind])} {said}: " + "; ".join(
                f"{name} ({why})" for name, why in counts[kind].items()
            )
    if count := len(result.get("prepared_otherwise", ())):
        text += f"; {count} of them with {prepared_text(facts['parity'])}: the numbers are of neither mode"
    for kind, said in NOT_COUNTED.items():
        if count := result.get("not_counted", {}).get(kind):
            text += f"; {said}, not counted: {count}"
    return text


def prepared_text(parity: bool) -> str:
    """What the data of a run is that was prepared for the other mode."""
    return f"data {'not ' if parity else ''}prepared in parity"


def markdown(rows: list[Row]) -> str:
    """A table that is readable as it is; rows may lack columns."""
    titles = list(dict.fromkeys(title for row in rows for title in row))
    cells = [[text.replace("|", "\\|") for text in (row.get(title, "") for title in titles)] for row in rows]
    cells.insert(0, titles)
    widths = [max(len(line[column]) for line in cells) for column in range(len(titles))]

    def line(values: Iterable[str]) -> str:
        padded = (
            value.ljust(width) if column == 0 else value.rjust(width)
            for column, (value, width) in enumerate(zip(values, widths, strict=True))
        )
        return "| " + " | ".join(padded) + " |"

    dashes = ("-" * (width + 2) if column == 0 else "-" * (width + 1) + ":" for column, width in enumerate(widths))
    return "\n".join([line(titles), "|" + "|".join(dashes) + "|", *(line(row) for row in cells[1:])])


def _items(metrics: dict[str, Any]) -> int:
    return max(int(each["items"]) for each in metrics.values())
