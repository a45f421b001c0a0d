"""Runs beside published numbers: which runs belong together, and the tables that come of it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from eval.protocols.base import MAIN_GROUPS
from eval.published import PublishedRow, PublishedTable, long_set, published, published_curve
from eval.report.best import ranks
from eval.report.runs import Run
from eval.report.significance import interval, parts
from eval.report.words import (
    CURVE_METRICS,
    DEFAULT_NOTE,
    INTERVAL_NOTE,
    PAPER_GROUPS,
    PARITY_NOTE,
    PROTOCOLS,
    RANK_NOTE,
    alignment_title,
    family_title,
    set_title,
)
from eval.tables import (
    METRICS,
    PUBLISHED,
    Column,
    Comparison,
    Entry,
    Kind,
    failures_text,
    leaves_out_failures,
    prepared_text,
)

DIFFERENT_NOTE = "The runs did not score the same sequences, so their averages are over different ones."
OPTIONS = ("conf_thresh", "voxel_m")  # of scoring; numbers with and without are not comparable


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
    entries = [our_entry(run, group) for run in ours]
    entries += [published_entry(row, row.values, row.uncertain, row.remarks) for row in table.rows]
    title = f"{runs.title}: {alignment_title(runs.protocol, group)}"
    nothing = () if table.rows else (_nothing_published(runs),)
    notes = (*mode_notes(ours), *table.notes, *nothing)
    return Comparison(title, runs.protocol, group, columns, tuple(entries), notes)


def _nothing_published(runs: RunSet) -> str:
    if any(
        published(runs.protocol, runs.dataset, group).rows
        for group in (name for groups in PAPER_GROUPS[runs.protocol] for name in groups)
    ):
        return "No paper prints numbers with this alignment."
    return f"Nothing is published for {set_title(runs.dataset)} to compare with."


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
    notes = [*mode_notes(run for runs in by_label.values() for run in runs), *_notes(curve.values())]
    return Comparison(title, family.protocol, group, columns, tuple(entries), tuple(notes))


def family_comparisons(family: Family) -> list[Comparison]:
    """The tables of a family; alignments with published curves first."""
    groups = dict.fromkeys(group for each in family.sets for group in each.groups())
    metrics = CURVE_METRICS[family.protocol]
    made = [compare_lengths(family, group, metric) for group in groups for metric in metrics]
    return [comparison for comparison in made if any(entry.kind is Kind.run for entry in comparison.entries)]


def general_notes(comparisons: Sequence[Comparison]) -> list[str]:
    """What is said once for all tables: how to read them, and notes that several share."""
    entries = [entry for comparison in comparisons for entry in comparison.entries]
    said = [INTERVAL_NOTE] if any(entry.intervals for entry in entries) else []
    said += [RANK_NOTE] if any(ranks(comparison) for comparison in comparisons) else []
    count = Counter(note for comparison in comparisons for note in dict.fromkeys(comparison.notes))
    return said + [note for note in count if count[note] > 1 or note in (PARITY_NOTE, DEFAULT_NOTE)]


def mode(run: Run) -> str:
    """How a run scored, and what makes it another number than the published one."""
    said = ["parity" if run.parity else "default"]
    said += [prepared_text(run.parity)] if run.prepared_otherwise else []
    said += [f"1 of {run.every} frames"] if run.every > 1 else []
    grid = (run.settings or {}).get("voxel_m")
    said += [f"points on a grid of {grid:g} m"] if grid else []
    said += ["part of the set"] if run.facts["only"] or not run.facts["complete"] else []
    return ", ".join(said)


def peers(run: Run) -> str:
    """What a run's numbers can be compared with: PUBLISHED, or runs of the same mode over the same sequences."""
    options = {name: value for name in OPTIONS if (value := (run.settings or {}).get(name))}
    options |= {"of keyframes": True} if without_camera(run) else {}
    if run.parity and run.whole and not (run.failed or run.prepared_otherwise or options):
        return PUBLISHED
    return f"{mode(run)} {options} {sorted(run.sequences)}"


def without_camera(run: Run) -> int:
    """How many pictures have a true camera and no predicted one."""
    return sum(each.score.notes.get("pictures_without_camera", 0) for each in run.sequences.values())


def our_entry(run: Run, group: str) -> Entry:
    remarks = {metric: said for metric in run.summary[group] if (said := _remark(run, group, metric))}
    sure = {metric: ends for metric in run.summary[group] if (ends := interval(parts(run, group, metric)))}
    return Entry(
        run.label,
        Kind.run,
        run.headline(group),
        mode=mode(run),
        counts={run.dataset: run.counts(group)},
        peers={run.dataset: peers(run)},
        intervals=sure,
        uncertain=(*remarks,),
        remarks=remarks,
    )


def _remark(run: Run, group: str, metric: str) -> str:
    """Say if a number is over the predictions that did not fail only."""
    summary = run.summary[group]
    return failures_text(summary["failed"]["headline"]) if leaves_out_failures(metric, summary) else ""


def _our_curve(runs: list[Run], group: str, metric: str) -> Entry:
    at = {str(_length(run)): run for run in runs}
    remarks = {length: said for length, run in at.items() if (said := _remark(run, group, metric))}
    return Entry(
        runs[0].label,
        Kind.run,
        {length: run.headline(group)[metric] for length, run in at.items()},
        mode=mode(runs[0]),
        counts={run.dataset: run.counts(group) for run in runs},
        peers={run.dataset: peers(run) for run in runs},
        intervals={length: ends for length, run in at.items() if (ends := interval(parts(run, group, metric)))},
        uncertain=(*remarks,),
        remarks=remarks,
    )


def published_entry(
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
    return [published_entry(rows[key], values[key], (), {}) for key in values]


def mode_notes(runs: Iterable[Run]) -> list[str]:
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
    notes += [
        f"{run.label}: {missing} pictures have no predicted camera, so its paths are over the others (keyframes)."
        for run in runs
        if (missing := without_camera(run))
    ]
    scored = {tuple(run.sequences) for run in runs}
    if len({run.dataset for run in runs}) == 1 and len(scored) > 1:
        notes.append(DIFFERENT_NOTE)
    return notes


def _notes(tables: Iterable[PublishedTable]) -> list[str]:
    return list(dict.fromkeys(note for table in tables for note in table.notes))


def _length(run: Run) -> int:
    found = long_set(run.dataset)
    assert found is not None
    return found[1]
