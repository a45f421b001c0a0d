"""Numbers that papers print for CUT3R and its peers under these protocols: read from published.json, looked up by set.

Units are those of our results: metres, degrees, shares 0..1. Where sources contradict each other the number is marked
as uncertain, with a remark that says why. Source: spec/eval_published.md.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_suffix(".json")
SYSTEM = "CUT3R"  # whose numbers a run in parity mode should reproduce
LONG_SET = re.compile(r"(?P<family>\w+_s\d+)_(?P<frames>\d+)")  # eval/sequences/__init__.py


@dataclass(frozen=True)
class PublishedRow:
    """What one source, or several that agree, print for a system on a set.

    Attributes:
        source: Codes, explained by `sources()`.
        confidence: "++" for two sources or more, "+" for one; `confidence_of` has the metrics that differ from it.
        values: By metric, in the units of our results; `fps` is frames per second.
        uncertain: Metrics that other sources contradict.
        remarks: By metric.
        rerun: Somebody else's run of the released weights, not the authors' number.
    """

    system: str
    source: str
    confidence: str
    values: Mapping[str, float]
    confidence_of: Mapping[str, str] = field(default_factory=dict)
    uncertain: tuple[str, ...] = ()
    remarks: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    rerun: bool = False


@dataclass(frozen=True)
class PublishedTable:
    """All rows for one protocol, set and alignment."""

    metrics: tuple[str, ...] = ()
    rows: tuple[PublishedRow, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """Whether a number of ours is as near to the published one as re-runs of the same weights are to each other.

    Attributes:
        band: Lowest and highest number that passes.
        passed: None where the published number is uncertain.
    """

    metric: str
    published: float
    ours: float
    band: tuple[float, float]
    passed: bool | None


def published(protocol: str, dataset: str, group: str) -> PublishedTable:
    """Look up the rows for a set, those of a long set by its number of frames; no rows if nothing is published.

    Args:
        group: How predictions were aligned, as in results. Published procedures and exact ones (scale_published and
            scale, for instance) have the same rows.
    """
    for table in [*_content()["tables"], *_content()["long_tables"]]:
        if _matches(table, protocol, group) and table["set"] == dataset:
            return _table(table)
    long = long_set(dataset)
    if long is not None:
        curve = published_curve(protocol, long[0], group)
        if long[1] in curve:
            return curve[long[1]]
    return PublishedTable()


def published_sets() -> list[tuple[str, str, tuple[str, ...]]]:
    """List the tables that runs should reproduce: protocol, set, names of its alignment, the published one first."""
    return [(table["protocol"], table["set"], tuple(table["groups"])) for table in _content()["tables"]]


def published_curve(protocol: str, family: str, group: str) -> dict[int, PublishedTable]:
    """Look up the rows of a family of long sets, such as tum_s1, by number of frames."""
    for curve in _content()["curves"]:
        if _matches(curve, protocol, group) and curve["family"] == family:
            return {frames: _table(curve, index) for index, frames in enumerate(curve["frames"])}
    return {}


def long_set(dataset: str) -> tuple[str, int] | None:
    """Split the name of a long set into family and number of frames: tum_s1_200 into tum_s1 and 200."""
    match = LONG_SET.fullmatch(dataset)
    return (match["family"], int(match["frames"])) if match else None


def sources() -> dict[str, str]:
    """What the codes of sources stand for."""
    return dict(_content()["sources"])


def reproduction(protocol: str, dataset: str, group: str, numbers: Mapping[str, float]) -> list[Check]:
    """Compare a run's averages with the paper's for CUT3R, within the scatter of others' re-runs.

    Only a run in parity mode, of the whole set, with the released weights can be expected to pass. Long sets have no
    bands.
    """
    if long_set(dataset) is not None:
        return []
    rows = [row for row in published(protocol, dataset, group).rows if row.system == SYSTEM and not row.rerun]
    checks = []
    for row in rows:
        for metric, value in row.values.items():
            width = _width(dataset, metric, value)
            if metric in numbers and width is not None:
                band = (value - width, value + width)
                inside = band[0] <= numbers[metric] <= band[1]
                passed = None if metric in row.uncertain else inside
                checks.append(Check(metric, value, numbers[metric], band, passed))
    return checks


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return content


def _matches(table: dict[str, Any], protocol: str, group: str) -> bool:
    return table["protocol"] == protocol and group in table["groups"]


def _table(content: dict[str, Any], index: int | None = None) -> PublishedTable:
    """All rows; those of a curve, whose values are lists, at one number of frames."""
    rows = []
    for row in content["rows"]:
        values = {metric: value if index is None else value[index] for metric, value in row["values"].items()}
        values = {metric: value for metric, value in values.items() if value is not None}
        if not values:
            continue
        rows.append(PublishedRow(**{**row, "values": values, "uncertain": tuple(row.get("uncertain", ()))}))
    return PublishedTable(tuple(content["metrics"]), tuple(rows), tuple(content.get("notes", ())))


def _width(dataset: str, metric: str, value: float) -> float | None:
    """Half the width of the band; that of the set comes before that of all sets."""
    bands = [band for band in _content()["bands"] if metric in band["metrics"]]
    for band in sorted(bands, key=lambda band: "sets" not in band):
        if dataset in band.get("sets", [dataset]):
            return float(band["absolute"]) if "absolute" in band else float(band["relative"]) * abs(value)
    return None
