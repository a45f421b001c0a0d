"""Comparisons as files: Markdown and LaTeX with numbers rounded as papers print them, CSV with complete ones."""

import csv
import io
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from itertools import groupby

from eval.report.best import Rank, ranks
from eval.report.pairs import HEAD, Pair, ends_text
from eval.report.words import PAIRS_NOTE
from eval.tables import Column, Comparison, Counts, Entry, Kind, markdown

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "<": "$<$",
    ">": "$>$",
    "δ": r"$\delta$",
    "²": "$^2$",
    "³": "$^3$",
    "°": r"$^{\circ}$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    "…": r"\ldots{}",
}
COUNTED = tuple(field.name for field in fields(Counts))
CSV_HEAD = (
    "protocol",
    "set",
    "alignment",
    "system",
    "kind",
    "source",
    "mode",
    "metric",
    "value",
    "low",
    "high",
    "uncertain",
    *COUNTED,
)


MARKDOWN = {Rank.best: "**{}**", Rank.second: "<u>{}</u>"}
IN_LATEX = {Rank.best: r"\textbf{{{}}}", Rank.second: r"\underline{{{}}}"}


def markdown_file(
    comparisons: Iterable[Comparison], said: Sequence[str], compared: Mapping[str, Sequence[Pair]]
) -> str:
    """All tables; notes that they share stand at the top, once."""
    top = "\n".join(["# Results", "", *(f"- {note}" for note in said), ""])
    tables = [as_markdown(each, said) for each in comparisons]
    return "\n".join([top, *tables, *(pairs_markdown(title, found) for title, found in compared.items())])


def latex_file(comparisons: Iterable[Comparison], said: Sequence[str]) -> str:
    top = [r"% \usepackage{booktabs}", *map(latex_comment, said), ""]
    return "\n".join(["\n".join(top), *(as_latex(each, said) for each in comparisons)])


def as_markdown(comparison: Comparison, said: Container[str] = ()) -> str:
    """Title, table, intervals and notes.

    Args:
        said: Notes that stand elsewhere.
    """
    ranked = ranks(comparison)
    rows = []
    for number, entry in enumerate(comparison.entries):
        row = {"system": entry.name, "mode": entry.mode}
        row |= {full_title(c): _marked(entry.text(c), ranked.get((number, c.key)), MARKDOWN) for c in comparison.shown}
        rows.append({**row, "scored": entry.coverage()})
    notes = [f"- {note}" for note in (*comparison.notes, *comparison.remarks()) if note not in said]
    sure = [
        {"system": entry.name} | {full_title(c): ends_text(c.metric, *entry.intervals[c.key]) for c in columns}
        for entry in comparison.entries
        if (columns := [column for column in comparison.shown if column.key in entry.intervals])
    ]
    intervals = ["95 % intervals:", "", markdown(sure), ""] if sure else []
    return "\n".join([f"### {comparison.title}", "", markdown(rows), "", *intervals, *notes, ""])


def pairs_markdown(title: str, compared: Sequence[Pair]) -> str:
    rows = [dict(zip(HEAD, pair.cells(), strict=True)) for pair in compared]
    return "\n".join([f"### {title}", "", markdown(rows), "", f"- {PAIRS_NOTE}", ""])


def full_title(column: Column) -> str:
    """A column's title where nothing stands above it."""
    return f"{column.over} {column.title} {column.arrow}".strip()


def as_latex(comparison: Comparison, said: Container[str] = ()) -> str:
    r"""A table environment for the package booktabs: \textbf is best, \underline second best. The caption is the title;
    what a reader must know beside it stands in comments.

    Args:
        said: Notes that stand elsewhere.
    """
    columns, ranked = comparison.shown, ranks(comparison)
    rows = {
        kind: [
            _latex_row(number, entry, columns, ranked)
            for number, entry in enumerate(comparison.entries)
            if (entry.kind is Kind.run) is kind
        ]
        for kind in (True, False)
    }
    facts = [f"{entry.name}: {entry.mode}, {entry.coverage()}" for entry in comparison.entries if entry.counts]
    notes = [note for note in (*facts, *comparison.notes, *comparison.remarks()) if note not in said]
    titles = [escape_latex(f"{column.title} {column.arrow}".rstrip()) for column in columns]
    lines = [
        *map(latex_comment, notes),
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(comparison.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        *_latex_spans(columns),
        " & ".join(["System", *titles]) + r" \\",
        r"\midrule",
        *rows[True],
        *([r"\midrule"] if rows[True] and rows[False] else []),
        *rows[False],
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def latex_comment(text: str) -> str:
    return f"% {escape_latex(' '.join(text.split()))}"


def spans(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """The titles that neighbours share, with how many they are; none if no column has one."""
    if not any(column.over for column in columns):
        return []
    return [(over, len(list(members))) for over, members in groupby(columns, key=lambda column: column.over)]


def as_csv(comparisons: Iterable[Comparison]) -> str:
    """One line per number, complete and in our units (metres, degrees, shares), for programs."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for comparison in comparisons:
        for entry in comparison.entries:
            writer.writerows(_csv_rows(comparison, entry))
    return out.getvalue()


def escape_latex(text: str) -> str:
    """Make any text safe in a LaTeX paragraph or cell."""
    return "".join(LATEX.get(sign, sign) for sign in text)


def _latex_spans(columns: Sequence[Column]) -> list[str]:
    """A line of titles over several columns, each with a rule below."""
    cells, rules, first = [""], [], 2
    for title, count in spans(columns):
        cells.append(rf"\multicolumn{{{count}}}{{c}}{{{escape_latex(title)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + count - 1}}}")
        first += count
    return [" & ".join(cells) + r" \\", " ".join(rules)] if rules else []


def _latex_row(number: int, entry: Entry, columns: Iterable[Column], ranked: Mapping[tuple[int, str], Rank]) -> str:
    cells = [
        _marked(escape_latex(entry.text(column)) or "--", ranked.get((number, column.key)), IN_LATEX)
        for column in columns
    ]
    return " & ".join([_latex_name(entry), *cells]) + r" \\"


def _latex_name(entry: Entry) -> str:
    """A system with what makes its numbers others than published ones."""
    if entry.kind is not Kind.run:
        return escape_latex(entry.name)
    short = [f"{name} {c.scored}/{c.expected}" for name, c in entry.counts.items() if c.scored < c.expected]
    apart = "; ".join([*([] if entry.mode == "parity" else [entry.mode]), *short])
    return escape_latex(f"{entry.system} ({apart})" if apart else entry.system)


def _marked(text: str, rank: Rank | None, marks: Mapping[Rank, str]) -> str:
    return text if rank is None else marks[rank].format(text)


def _csv_rows(comparison: Comparison, entry: Entry) -> Iterator[tuple[object, ...]]:
    for column in comparison.columns:
        if column.key in entry.values:
            where = (comparison.protocol, column.dataset, comparison.group)
            who = (entry.system, entry.kind.value, entry.source, entry.mode)
            low, high = map(repr, entry.intervals[column.key]) if column.key in entry.intervals else ("", "")
            what = (column.metric, repr(entry.values[column.key]), low, high, int(column.key in entry.uncertain))
            counts = entry.counts.get(column.dataset)
            yield (*where, *who, *what, *(astuple(counts) if counts else [""] * len(COUNTED)))
