"""The page's sections about sets: what was scored, tables beside published numbers, sequences from the worst on."""

from collections.abc import Sequence
from html import escape

import numpy as np

from eval.report.compare import Family, RunSet, compare
from eval.report.coverage import not_scored, reproduction_fold, run_badges
from eval.report.drawing import Line, dot_plot, line_chart
from eval.report.elements import badge, charts, comparison_table, fold, legend, notes, slug, table
from eval.report.pairs import HEAD, Pair, pairs
from eval.report.paper import compare_common
from eval.report.ranking import main_group, main_number, main_text, worst_first
from eval.report.sequences import Drawing, sequence_fold
from eval.report.words import MAIN_METRIC, PAIRS_NOTE, PROTOCOLS, alignment_title, family_title, set_title
from eval.tables import METRICS, Comparison, Kind

LEAFED = 5  # the worst sequences, of which many small frames are on the page
CURVES_SHOWN = ("CUT3R", "TTT3R")  # published curves in the charts; the tables have all
MANY, NAMED = 3, 50  # sequences from which on a chart compares them, up to which it names them


def set_comparisons(runs: RunSet) -> list[Comparison]:
    """The tables of a set: an alignment each, and after it that of the common sequences if the runs' differ."""
    made = [(compare(runs, group), compare_common(runs, group)) for group in runs.groups()]
    return [table for both in made for table in both if table is not None]


def set_section(runs: RunSet, comparisons: Sequence[Comparison], drawing: Drawing) -> str:
    """Everything about one set."""
    main = {main_group(run) for run in runs.runs}
    first = [each for each in comparisons if each.group in main]
    others = [each for each in comparisons if each.group not in main]
    tables = "".join(comparison_table(each, drawing.colors, said=drawing.said) for each in first)
    tables += pairs_fold([pair for group in runs.groups() if group in main for pair in pairs(runs, group)])
    tables += "".join(reproduction_fold(run) for run in runs.runs if run.parity)
    if others:
        inside = "".join(comparison_table(each, drawing.colors, said=drawing.said) for each in others)
        tables += fold("Other alignments", inside, kind="tables")
    title = f"<h2>{escape(PROTOCOLS[runs.protocol])} <span>{escape(set_title(runs.dataset))}</span></h2>"
    facts = run_badges(runs.runs, drawing) + not_scored(runs.runs)
    name = slug(runs.protocol, runs.dataset)
    return f'<section id="{name}">{title}{facts}{tables}{_sequences(runs, drawing)}</section>'


def pairs_fold(compared: Sequence[Pair]) -> str:
    """Two systems at a time, with the verdicts in the title."""
    if not compared:
        return ""
    certain = [pair for pair in compared if pair.gain is not None]
    verdict = f"{len(certain)} of {len(compared)} differences certain" if certain else "no difference is certain"
    rows = [[escape(cell) for cell in pair.cells()] for pair in compared]
    inside = table(HEAD, rows, numbers=range(3, len(HEAD))) + notes([PAIRS_NOTE])
    return fold("Pair by pair", inside, extra=badge(verdict), kind="tables")


def family_section(family: Family, made: Sequence[Comparison], drawing: Drawing) -> str:
    """Long sets: metrics against the number of frames, and the sequences of the longest."""
    groups = dict.fromkeys(each.group for each in made)
    parts = [_alignment(family, [each for each in made if each.group == group], drawing) for group in groups]
    tables = "".join(parts[:1])
    if len(parts) > 1:
        tables += fold("Other alignments", "".join(parts[1:]), kind="tables")
    title = f"<h2>{escape(PROTOCOLS[family.protocol])} <span>{escape(family_title(family.name))}, by length</span></h2>"
    longest = family.sets[-1]
    said = (
        notes([f"Sequences are shown for the longest set, {set_title(longest.dataset)}."])
        if len(family.sets) > 1
        else ""
    )
    facts = run_badges(family.runs, drawing) + not_scored(family.runs)
    name = slug(family.protocol, family.name)
    return f'<section id="{name}">{title}{facts}{tables}{said}{_sequences(longest, drawing)}</section>'


def _alignment(family: Family, comparisons: Sequence[Comparison], drawing: Drawing) -> str:
    """Charts and tables of one alignment; notes that all tables share stand under the first."""
    first, *rest = comparisons
    tables = comparison_table(first, drawing.colors, said=drawing.said)
    said = drawing.said | {*first.notes}
    tables += "".join(comparison_table(each, drawing.colors, said=said) for each in rest)
    return _curves(family, comparisons, drawing) + tables


def _curves(family: Family, comparisons: Sequence[Comparison], drawing: Drawing) -> str:
    """Charts of metrics over the number of frames; runs solid, published dashed."""
    svgs, labels, dashes = [], {}, {}
    for comparison in comparisons:
        lines = []
        metric = METRICS[comparison.columns[0].metric]
        for entry in comparison.entries:
            points = [(int(key), metric.scale * value) for key, value in entry.values.items()]
            x, y = np.array(sorted(points), dtype=float).T
            if entry.kind is Kind.run:
                labels[entry.system] = drawing.colors[entry.system]
                lines.append(Line(entry.system, x, y, drawing.colors[entry.system], markers=True))
            elif entry.system in CURVES_SHOWN:
                dash = CURVES_SHOWN.index(entry.system)
                dashes[f"{entry.system}, published"] = dash
                lines.append(Line(f"{entry.system}, published", x, y, None, dash=dash))
        title = f"{metric.title.split(',')[0]}, {alignment_title(family.protocol, comparison.group)}"
        svgs.append(line_chart(title, "frames", metric.title.split(", ")[-1], lines))
    return legend(labels, others=list(dashes.items())) + charts(svgs)


def _sequences(runs: RunSet, drawing: Drawing) -> str:
    """The sequences, the worst first: some with pictures, all as a table."""
    names = worst_first(runs)
    if not names:
        return ""
    shown, rest = names[: drawing.pictured], names[drawing.pictured :]
    text = "<h3>Sequences, worst first</h3>"
    if len(names) >= MANY:
        text += _ranking(runs, names, drawing)
    if len(shown) > 1:
        text += '<p class="controls"><button type="button" class="all">Open all</button></p>'
    drawing.leafed = frozenset([*shown[:LEAFED], names[len(names) // 2]])
    text += "".join(sequence_fold(runs, name, drawing) for name in shown)
    if rest:
        text += notes([f"{len(rest)} better sequences have no pictures here; --pictures {len(names)} draws them too."])
    if len(names) == 1:
        return text
    rows = [[escape(name), *(escape(main_text(run, name)) for run in runs.runs)] for name in names]
    head = ["Sequence", *(run.label for run in runs.runs)]
    every = table(head, rows, numbers=range(1, len(head)))
    return text + fold(f"All {len(names)} sequences as a table", every, kind="tables")


def _ranking(runs: RunSet, names: list[str], drawing: Drawing) -> str:
    """All sequences: by name, or by rank where they are too many to name."""
    metric = METRICS[MAIN_METRIC[runs.protocol]]
    title, _, unit = metric.title.partition(", ")
    lines = []
    for run in runs.runs:
        values = [main_number(run, name) for name in names]
        y = np.array([np.nan if value is None else metric.scale * value for value in values])
        x = np.arange(1, len(names) + 1, dtype=float)
        lines.append(Line(run.label, x, y, drawing.colors[run.label], markers=True))
    beside = notes(["Ranked by the larger error where several runs scored a sequence."]) if len(lines) > 1 else ""
    key = legend({run.label: drawing.colors[run.label] for run in runs.runs})
    if len(names) <= NAMED:
        svg = dot_plot(f"{title} by sequence, worst first", unit or title, names, lines)
        return f'{key}<div class="charts dots"><figure>{svg}</figure></div>{beside}'
    svg = line_chart(f"{title} of all sequences, worst first", "rank", unit or title, lines, first=1)
    return key + charts([svg], beside)
