"""Tables of several sets or of fewer sequences: the paper's (systems x sets), and runs over what all scored."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from eval.protocols.base import summarize
from eval.published import PublishedRow, published
from eval.report.compare import RunSet, mode_notes, our_entry, published_entry
from eval.report.runs import Run
from eval.report.significance import WEIGHTED
from eval.report.words import PAPER_GROUPS, PAPER_METRICS, PROTOCOLS, alignment_title, set_title
from eval.tables import METRICS, Column, Comparison, Entry

FIRST_NOTE = (
    "Of systems that several sources print, the first one is shown for each set, and no re-run; all are in the tables "
    "of the sets."
)


def paper_tables(sets: Iterable[RunSet]) -> list[Comparison]:
    """For each protocol that was run on several sets: systems in rows, sets in columns."""
    by_protocol: dict[str, list[RunSet]] = {}
    for each in sets:
        by_protocol.setdefault(each.protocol, []).append(each)
    made = [
        _paper_table(protocol, groups, members)
        for protocol, members in by_protocol.items()
        for groups in PAPER_GROUPS[protocol]
    ]
    return [table for table in made if len({column.dataset for column in table.columns}) > 1]


def compare_common(runs: RunSet, group: str) -> Comparison | None:
    """The runs over the sequences that all of them scored; None where these are all or none."""
    ours = [run for run in runs.runs if group in run.summary]
    scored = {frozenset(run.sequences) for run in ours}
    common = frozenset.intersection(*scored) if scored else frozenset()
    if len(scored) < 2 or not common:
        return None
    entries = [our_entry(_only(run, common), group) for run in ours]
    known = {metric for entry in entries for metric in entry.values}
    columns = tuple(Column(name, METRICS[name].title, name, runs.dataset) for name in METRICS if name in known)
    plural = "s" if len(common) > 1 else ""
    title = f"{runs.title}: {alignment_title(runs.protocol, group)}, the {len(common)} sequence{plural} that all scored"
    return Comparison(title, runs.protocol, group, columns, tuple(entries))


def _only(run: Run, names: frozenset[str]) -> Run:
    """A run as if its set were these sequences."""
    kept = {name: sequence for name, sequence in run.sequences.items() if name in names}
    scores = {name: sequence.score for name, sequence in kept.items()}
    return replace(
        run,
        expected=tuple(kept),
        sequences=kept,
        left_out={},
        failed={},
        summary=summarize(scores, weighted=run.protocol in WEIGHTED),
    )


def _paper_table(protocol: str, groups: Sequence[str], sets: Sequence[RunSet]) -> Comparison:
    columns: list[Column] = []
    ours: dict[str, list[Entry]] = {}
    theirs: dict[str, list[Entry]] = {}
    modes: list[Run] = []
    used: dict[str, None] = {}
    for each in sets:
        scored = [(run, group) for run in each.runs if (group := _first(groups, run)) is not None]
        if not scored:
            continue
        keys = {metric: f"{each.dataset} {metric}" for metric in PAPER_METRICS[protocol]}
        columns += [
            Column(keys[metric], METRICS[metric].title, metric, each.dataset, set_title(each.dataset))
            for metric in keys
        ]
        for run, group in scored:
            ours.setdefault(run.label, []).append(_renamed(our_entry(run, group), keys))
            used.setdefault(alignment_title(protocol, group))
            modes.append(run)
        for row in _first_rows(published(protocol, each.dataset, groups[0]).rows, keys):
            entry = published_entry(row, row.values, row.uncertain, row.remarks)
            theirs.setdefault(row.system, []).append(_renamed(entry, keys))
    entries = [_merged(parts) for parts in (*ours.values(), *theirs.values())]
    notes = [*mode_notes(modes), *([FIRST_NOTE] if theirs else [])]
    title = f"{PROTOCOLS[protocol]}: {'; '.join(used)}"
    return Comparison(title, protocol, groups[0], tuple(columns), tuple(entries), tuple(notes))


def _first(groups: Sequence[str], run: Run) -> str | None:
    return next((group for group in groups if group in run.summary), None)


def _first_rows(rows: Iterable[PublishedRow], metrics: Iterable[str]) -> list[PublishedRow]:
    """The first row of each system that is its authors' or another paper's, and has one of these metrics."""
    found: dict[str, PublishedRow] = {}
    for row in rows:
        if not row.rerun and any(metric in row.values for metric in metrics):
            found.setdefault(row.system, row)
    return list(found.values())


def _renamed(entry: Entry, keys: dict[str, str]) -> Entry:
    """The entry with the keys of a table of several sets."""
    return replace(
        entry,
        values={keys[metric]: value for metric, value in entry.values.items() if metric in keys},
        intervals={keys[metric]: ends for metric, ends in entry.intervals.items() if metric in keys},
        remarks={keys[metric]: said for metric, said in entry.remarks.items() if metric in keys},
        uncertain=tuple(keys[metric] for metric in entry.uncertain if metric in keys),
    )


def _merged(entries: Sequence[Entry]) -> Entry:
    """One row of several sets."""
    first = entries[0]
    sources = dict.fromkeys(code for entry in entries for code in entry.source.split(", ") if code)
    notes = dict.fromkeys(entry.note for entry in entries if entry.note)
    modes = dict.fromkeys(entry.mode for entry in entries if entry.mode)
    return Entry(
        first.system,
        first.kind,
        {key: value for entry in entries for key, value in entry.values.items()},
        ", ".join(sources),
        mode="; ".join(modes),
        counts={name: counts for entry in entries for name, counts in entry.counts.items()},
        peers={name: word for entry in entries for name, word in entry.peers.items()},
        intervals={key: ends for entry in entries for key, ends in entry.intervals.items()},
        uncertain=tuple(key for entry in entries for key in entry.uncertain),
        remarks={key: said for entry in entries for key, said in entry.remarks.items()},
        note=" ".join(notes),
    )
