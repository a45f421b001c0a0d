"""Pieces of the page: tables, badges, legends, colour bars, foldable sections. Every text is escaped here."""

import re
from collections.abc import Container, Iterable, Sequence
from html import escape

from matplotlib.colors import Colormap

from eval.report.best import Rank, ranks
from eval.report.drawing import DASHES, SERIES, css_gradient
from eval.report.formats import spans
from eval.report.pairs import ends_text
from eval.tables import Column, Comparison, Entry, Kind


def comparison_table(comparison: Comparison, colors: dict[str, int], *, said: Container[str] = ()) -> str:
    """A comparison with its notes; runs are highlighted and marked with the colours of their series, the best and the
    second best number of each column with their rank.

    Args:
        said: Notes that the reader has seen above.
    """
    columns, ranked = comparison.shown, ranks(comparison)
    rows = "".join(
        _entry_row(entry, columns, colors, [ranked.get((number, column.key)) for column in columns])
        for number, entry in enumerate(comparison.entries)
    )
    remarks = comparison.remarks()
    more = fold("Remarks on single numbers", notes(remarks), kind="tables") if remarks else ""
    shown = f'<div class="wide"><table><thead>{_heads(columns)}</thead><tbody>{rows}</tbody></table></div>'
    small_print = notes(note for note in comparison.notes if note not in said)
    return f'<p class="caption">{escape(comparison.title)}</p>{shown}{small_print}{more}'


def _heads(columns: Sequence[Column]) -> str:
    over = spans(columns)
    titles = "".join(f'<th scope="col" class="number">{_column_title(column)}</th>' for column in columns)
    if not over:
        return f'<tr><th scope="col">System</th>{titles}<th scope="col">Mode</th><th scope="col">Scored</th></tr>'
    groups = "".join(f'<th scope="colgroup" class="over" colspan="{count}">{escape(text)}</th>' for text, count in over)
    first, *last = (f'<th scope="col" rowspan="2">{text}</th>' for text in ("System", "Mode", "Scored"))
    return f'<tr>{first}{groups}{"".join(last)}</tr><tr class="under">{titles}</tr>'


def _column_title(column: Column) -> str:
    return f'{escape(column.title)} <span class="arrow">{column.arrow}</span>'


def _entry_row(entry: Entry, columns: Sequence[Column], colors: dict[str, int], ranked: Sequence[Rank | None]) -> str:
    if entry.kind is Kind.run:
        name, kind = f"{swatch(colors[entry.system])}{escape(entry.system)}", "run"
    else:
        rerun = " re-run" if entry.kind is Kind.rerun else ""
        name = f'{escape(entry.system)}{rerun} <span class="source">{escape(entry.source)}</span>'
        kind = "target" if entry.system == "CUT3R" and entry.kind is Kind.paper else entry.kind.value
    cells = "".join(_number(entry, column, rank) for column, rank in zip(columns, ranked, strict=True))
    return (
        f'<tr class="{kind}"><th scope="row">{name}</th>{cells}'
        f'<td class="mode">{escape(entry.mode)}</td><td class="scored">{escape(entry.coverage())}</td></tr>'
    )


def _number(entry: Entry, column: Column, rank: Rank | None) -> str:
    text = escape(entry.text(column)) or "·"
    shown = text if rank is None else f'<span class="{rank.value}">{text}</span>'
    if column.key in entry.intervals:
        shown += f'<span class="interval">{ends_text(column.metric, *entry.intervals[column.key])}</span>'
    return f'<td class="number">{shown}</td>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Container[int] = (), kind: str = "") -> str:
    """A plain table of cells that are HTML already; the first column names the rows.

    Args:
        numbers: Columns that hold numbers.
    """
    kinds = [' class="number"' if column in numbers else "" for column in range(len(head))]
    heads = "".join(f'<th scope="col"{kind}>{escape(text)}</th>' for kind, text in zip(kinds, head, strict=True))
    body = "".join(
        f'<tr><th scope="row">{first}</th>'
        + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], rest, strict=True))
        + "</tr>"
        for first, *rest in rows
    )
    shown = (f"<thead><tr>{heads}</tr></thead>" if any(head) else "") + f"<tbody>{body}</tbody>"
    return f'<div class="wide"><table class="{kind}">{shown}</table></div>'


def notes(texts: Iterable[str]) -> str:
    """Small print, one line each."""
    lines = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="notes">{lines}</ul>' if lines else ""


def badge(text: str, kind: str = "plain") -> str:
    """A short fact; kinds: plain, good, warn, bad."""
    return f'<span class="badge {kind}">{escape(text)}</span>'


def swatch(color: int) -> str:
    return f'<span class="swatch" style="background:var(--series-{color % SERIES})"></span>'


def legend(runs: dict[str, int], *, others: Sequence[tuple[str, int | None]] = ()) -> str:
    """What the lines of charts are: runs by colour; `others` by dash, solid where that is None."""
    items = [f"<li>{swatch(color)}{escape(name)}</li>" for name, color in runs.items()]
    for name, dash in others:
        dashes = "" if dash is None else f' stroke-dasharray="{" ".join(map(str, DASHES[dash % len(DASHES)]))}"'
        line = f'<svg viewBox="0 0 24 4" class="dash" aria-hidden="true"><path d="M0 2h24"{dashes}/></svg>'
        items.append(f"<li>{line}{escape(name)}</li>")
    return f'<ul class="legend">{"".join(items)}</ul>'


def color_bar(title: str, colormap: Colormap, low: str, high: str) -> str:
    return (
        f'<div class="bar"><span class="bar-title">{escape(title)}</span><span>{escape(low)}</span>'
        f'<span class="ramp" style="background:{css_gradient(colormap)}"></span><span>{escape(high)}</span></div>'
    )


def picture(uri: str | None, caption: str, alt: str) -> str:
    """A picture with its caption; says so where there is none."""
    shown = f'<img src="{uri}" alt="{escape(alt)}">' if uri else '<div class="none">not kept</div>'
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def charts(svgs: Iterable[str], beside: str = "") -> str:
    """Charts in a grid, and HTML in its last place."""
    rest = f"<div>{beside}</div>" if beside else ""
    return f'<div class="charts">{"".join(f"<figure>{svg}</figure>" for svg in svgs)}{rest}</div>'


def fold(title: str, body: str, *, name: str = "", extra: str = "", kind: str = "") -> str:
    """A section that opens; `extra` is HTML at the right of its title."""
    identity = f' id="{name}"' if name else ""
    shown = f'<span class="fold-title">{escape(title)}</span>{extra}'
    return f'<details{identity} class="{kind}"><summary>{shown}</summary><div class="folded">{body}</div></details>'


def slug(*parts: str) -> str:
    """A name for links; parts that differ in signs only meet."""
    return "-".join(re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in parts)
