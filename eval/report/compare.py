"""Runs beside published numbers: which runs belong together, and the tables that come of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eval.protocols.base import MAIN_GROUPS
from eval.published import PublishedRow, PublishedTable, long_set, published, published_curve
from eval.report.runs import Run
from eval.report.words import (
    CURVE_METRICS,
    DEFAULT_NOTE,
    PARITY_NOTE,
    PROTOCOLS,
    alignment_title,
    family_title,
    set_title,
)
from eval.tables import METRICS, Column, Comparison, Entry, Kind, failures_text, leaves_out_failures, prepared_text


@dataclass(frozen=True)
class RunSet:
    """The runs of one protocol on one set."""

    protocol: str
    dataset: str
    runs: tuple[Run, ...]

    @property
    def title(self) -> str:
        return f"{PROTOCOLS[self.protocol]} on {set_title(self.dataset)}"

    def groups(self) -> list[str]:
        """All alignments, the one that stands for the protocol first."""
        there = dict.fromkeys(group for run in self.runs for group in run.summary)
        preferred = [group for group in MAIN_GROUPS[self.protocol] if group in there]
        return list(dict.fromkeys([*preferred, *there]))


@dataclass(frozen=True)
class Family:
    """Runs on the long sets that differ in the number of frames only, such as tum_s1_50 and tum_s1_100."""

    protocol: str
    name: str
    sets: tuple[RunSet, ...]  # by number of frames

    @property
    def title(self) -> str:
        return f"{PROTOCOLS[self.protocol]} on {family_title(self.name)}, by length"

    @property
    def runs(self) -> list[Run]:
        return [run for each in self.sets for run in each.runs]

    def frames(self) -> list[int]:
        return [frames_of(each) for each in self.sets]


def arrange(runs: Iterable[Run]) -> tuple[list[RunSet], list[Family]]:
    """Put runs of the same set together, and long sets into families; in the order of protocols, then of runs."""
    by_set: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: list(PROTOCOLS).index(run.protocol)):
        by_set.setdefault((run.protocol, run.dataset), []).append(run)
    sets = [RunSet(*key, tuple(members)) for key, members in by_set.items()]
    families: dict[tuple[str, str], list[RunSet]] = {}
    for each in sets:
        long = long_set(each.dataset)
        if long is not None:
            families.setdefault((each.protocol, long[0]), []).append(each)
    short = [each for each in sets if long_set(each.dataset) is None]
    return short, [Family(*key, tuple(sorted(members, key=frames_of))) for key, members in families.items()]


def frames_of(long: RunSet) -> int:
    found = long_set(long.dataset)
    assert found is not None
    return found[1]


def compare(runs: RunSet, group: str) -> Comparison:
    """All runs with this alignment, and what is published for it."""
    ours = [run for run in runs.runs if group in run.summary]
    table = published(runs.protocol, runs.dataset, group)
    known = {*table.metrics, *(metric for run in ours for metric in run.summary[group])}
    columns = tuple(Column(name, METRICS[name].title, name, runs.dataset) for name in METRICS if name in known)
    entries = [_our_entry(run, group) for run in ours]
    entries += [_published_entry(row, row.values, row.uncertain, row.remarks) for row in table.rows]
    title = f"{runs.title}: {alignment_title(runs.protocol, group)}"
    return Comparison(title, runs.protocol, group, columns, tuple(entries), (*_mode_notes(ours), *table.notes))


def compare_lengths(family: Family, group: str, metric: str) -> Comparison:
    """One metric of all runs of a family, and published ones, with a column for each number of frames."""
    curve = published_curve(family.protocol, family.name, group)
    lengths = sorted({*family.frames(), *(n for n, table in curve.items() if metric in table.metrics)})
    columns = tuple(Column(str(n), f"{n}", metric, f"{family.name}_{n}") for n in lengths)
    by_label: dict[str, list[Run]] = {}
    for each in family.sets:
        for run in each.runs:
            if metric in run.summary.get(group, {}):
                by_label.setdefault(run.label, []).append(run)
    entries = [_our_curve(runs, group, metric) for runs in by_label.values()]
    entries += _published_curves(curve, metric)
    named = f"{METRICS[metric].title} {METRICS[metric].better.value}"
    title = f"{family.title}: {named}, {alignment_title(family.protocol, group)}"
    notes = [*_mode_notes(run for runs in by_label.values() for run in runs), *_notes(curve.values())]
    return Comparison(title, family.protocol, group, columns, tuple(entries), tuple(notes))


def family_comparisons(family: Family) -> list[Comparison]:
    """The tables of a family; alignments with published curves first."""
    groups = dict.fromkeys(group for each in family.sets for group in each.groups())
    metrics = CURVE_METRICS[family.protocol]
    made = [compare_lengths(family, group, metric) for group in groups for metric in metrics]
    return [comparison for comparison in made if any(entry.kind is Kind.run for entry in comparison.entries)]


def mode(run: Run) -> str:
    """How a run scored, and what makes it another number than the published one."""
    said = ["parity" if run.parity else "default"]
    said += [prepared_text(run.parity)] if run.prepared_otherwise else []
    said += [f"1 of {run.every} frames"] if run.every > 1 else []
    said += ["part of the set"] if run.facts["only"] or not run.facts["complete"] else []
    return ", ".join(said)


def _our_entry(run: Run, group: str) -> Entry:
    remarks = {metric: said for metric in run.summary[group] if (said := _remark(run, group, metric))}
    counts = {run.dataset: run.counts(group)}
    return Entry(
        run.label, Kind.run, run.headline(group), mode=mode(run), counts=counts, uncertain=(*remarks,), remarks=remarks
    )


def _remark(run: Run, group: str, metric: str) -> str:
    """Say if a number is over the predictions that did not fail only."""
    summary = run.summary[group]
    return failures_text(summary["failed"]["headline"]) if leaves_out_failures(metric, summary) else ""


def _our_curve(runs: list[Run], group: str, metric: str) -> Entry:
    values = {str(_length(run)): run.headline(group)[metric] for run in runs}
    remarks = {str(_length(run)): said for run in runs if (said := _remark(run, group, metric))}
    counts = {run.dataset: run.counts(group) for run in runs}
    return Entry(
        runs[0].label, Kind.run, values, mode=mode(runs[0]), counts=counts, uncertain=(*remarks,), remarks=remarks
    )


def _published_entry(
    row: PublishedRow, values: Mapping[str, float], uncertain: Iterable[str], remarks: Mapping[str, str]
) -> Entry:
    kind = Kind.rerun if row.rerun else Kind.paper
    return Entry(row.system, kind, values, row.source, uncertain=tuple(uncertain), remarks=remarks, note=row.note)


def _published_curves(curve: dict[int, PublishedTable], metric: str) -> list[Entry]:
    values: dict[tuple[str, str], dict[str, float]] = {}
    rows: dict[tuple[str, str], PublishedRow] = {}
    for frames, table in curve.items():
        for row in table.rows:
            if metric in row.values:
                values.setdefault((row.system, row.source), {})[str(frames)] = row.values[metric]
                rows[row.system, row.source] = row
    return [_published_entry(rows[key], values[key], (), {}) for key in values]


def _mode_notes(runs: Iterable[Run]) -> list[str]:
    """What has to be said about the modes of these runs."""
    runs = list(runs)
    notes = [PARITY_NOTE] if any(run.parity for run in runs) else []
    notes += [DEFAULT_NOTE] if any(not run.parity for run in runs) else []
    parts = [run.label for run in runs if not run.whole]
    if parts:
        names = ", ".join(dict.fromkeys(parts))
        notes.append(f"Not the whole set, so not the published number: {names}.")
    hybrids = [run for run in runs if run.prepared_otherwise]
    notes += [
        f"{run.label}: {len(run.prepared_otherwise)} of {len(run.expected)} sequences are {prepared_text(run.parity)}, "
        "so the numbers are of neither mode and are not to be compared with published ones."
        for run in hybrids
    ]
    scored = {tuple(run.sequences) for run in runs}
    if len({run.dataset for run in runs}) == 1 and len(scored) > 1:
        notes.append("The runs did not score the same sequences, so their averages are over different ones.")
    return notes


def _notes(tables: Iterable[PublishedTable]) -> list[str]:
    return list(dict.fromkeys(note for table in tables for note in table.notes))


def _length(run: Run) -> int:
    found = long_set(run.dataset)
    assert found is not None
    return found[1]
