"""Comparisons as files: Markdown and LaTeX with numbers rounded as papers print them, CSV with complete ones."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import astuple, fields

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
    "uncertain",
    *COUNTED,
)


def as_markdown(comparison: Comparison) -> str:
    """Title, table and notes."""
    rows = []
    for entry in comparison.entries:
        row = {"system": f"**{entry.name}**" if entry.kind is Kind.run else entry.name, "mode": entry.mode}
        row |= {f"{column.title} {column.arrow}".rstrip(): entry.text(column) for column in comparison.columns}
        rows.append({**row, "scored": entry.coverage()})
    notes = [f"- {note}" for note in (*comparison.notes, *comparison.remarks())]
    return "\n".join([f"### {comparison.title}", "", markdown(rows), "", *notes, ""])


def as_latex(comparison: Comparison) -> str:
    """A table environment for the package booktabs; the notes are in the caption."""
    columns = comparison.columns
    heads = ["System", "Mode", *(escape_latex(f"{c.title} {c.arrow}".rstrip()) for c in columns), "Scored"]
    ours = [_latex_row(entry, columns) for entry in comparison.entries if entry.kind is Kind.run]
    theirs = [_latex_row(entry, columns) for entry in comparison.entries if entry.kind is not Kind.run]
    caption = " ".join(
        f"{escape_latex(note.rstrip('.'))}." for note in (comparison.title, *comparison.notes, *comparison.remarks())
    )
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{ll{'r' * len(columns)}l}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *ours,
        *([r"\midrule"] if ours and theirs else []),
        *theirs,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


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


def _latex_row(entry: Entry, columns: Iterable[Column]) -> str:
    name = escape_latex(entry.name)
    cells = [escape_latex(text) for text in (entry.mode, *(entry.text(column) for column in columns), entry.coverage())]
    return " & ".join([rf"\textbf{{{name}}}" if entry.kind is Kind.run else name, *cells]) + r" \\"


def _csv_rows(comparison: Comparison, entry: Entry) -> Iterator[tuple[object, ...]]:
    for column in comparison.columns:
        if column.key in entry.values:
            where = (comparison.protocol, column.dataset, comparison.group)
            who = (entry.system, entry.kind.value, entry.source, entry.mode)
            what = (column.metric, repr(entry.values[column.key]), int(column.key in entry.uncertain))
            counts = entry.counts.get(column.dataset)
            yield (*where, *who, *what, *(astuple(counts) if counts else [""] * len(COUNTED)))
