"""The report as one HTML file that works offline: sections, style and script in it, plotly.js only if clouds rotate."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from plotly.offline import get_plotlyjs

from cut3r.speed.machine import now
from eval.published import sources
from eval.report.compare import Family, RunSet, arrange, family_comparisons, general_notes
from eval.report.coverage import overview
from eval.report.elements import comparison_table, notes, slug
from eval.report.glance import glance
from eval.report.pairs import Pair, pairs
from eval.report.paper import paper_tables
from eval.report.ranking import main_group
from eval.report.runinfo import cost_section, repeat_section
from eval.report.runs import Run
from eval.report.sequences import Drawing
from eval.report.sets import family_section, set_comparisons, set_section
from eval.report.words import MEANINGS, PROTOCOLS, family_title, set_title
from eval.tables import Comparison

HERE = Path(__file__).parent
CLOUD_POINTS, ALL_CLOUD_POINTS = 20_000, 1_200_000  # of one cloud, of the page (14 bytes a point)


@dataclass(frozen=True)
class Report:
    """The page, what its tables hold, and what could not be drawn.

    Attributes:
        notes: On all comparisons.
        pairs: Two systems at a time, by title.
    """

    html: str
    comparisons: list[Comparison]
    notes: list[str]
    pairs: dict[str, list[Pair]]
    problems: list[str]


def make_report(runs: Sequence[Run], *, pictured: int) -> Report:
    """Lay out the page.

    Args:
        pictured: Sequences of each set that get pictures; the worst ones.
    """
    sets, families = arrange(runs)
    paper = paper_tables(sets)
    of_sets, of_families = [set_comparisons(each) for each in sets], [family_comparisons(each) for each in families]
    comparisons = [*paper, *(table for tables in (*of_sets, *of_families) for table in tables)]
    said = general_notes(comparisons)
    drawing = Drawing(_colors(runs), pictured, _cloud_points(sets, families, pictured), said=frozenset(said))
    sections = [set_section(each, made, drawing) for each, made in zip(sets, of_sets, strict=True)]
    sections += [family_section(each, made, drawing) for each, made in zip(families, of_families, strict=True)]
    ordered = [*(run for each in sets for run in each.runs), *(run for each in families for run in each.runs)]
    body = "".join(
        [
            _overview(sets, families, paper, said, drawing),
            *sections,
            cost_section(ordered, drawing),
            repeat_section(ordered, drawing),
            _reading(comparisons),
        ]
    )
    html = Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(_title(runs)),
        date=escape(now()[:10]),
        summary=escape(_summary(runs)),
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        navigation=_navigation(sets, families),
        body=body,
        plotly=f"<script>{get_plotlyjs()}</script>" if drawing.scenes else "",
        script=(HERE / "page.js").read_text(encoding="utf-8"),
    )
    compared = {f"{each.title}, pair by pair": _pairs(each) for each in sets}
    return Report(
        html, comparisons, said, {title: found for title, found in compared.items() if found}, drawing.problems
    )


def _pairs(runs: RunSet) -> list[Pair]:
    return [pair for group in dict.fromkeys(map(main_group, runs.runs)) if group for pair in pairs(runs, group)]


def _colors(runs: Sequence[Run]) -> dict[str, int]:
    """A system has the same colour everywhere."""
    return {label: number for number, label in enumerate(dict.fromkeys(run.label for run in runs))}


def _cloud_points(sets: Sequence[RunSet], families: Sequence[Family], pictured: int) -> int:
    """Points of each cloud, so that many clouds do not make a page that no browser opens."""
    shown = [each for each in (*sets, *(family.sets[-1] for family in families)) if each.protocol == "mv_recon"]
    clouds = sum((len(each.runs) + 1) * min(pictured, len(each.runs[0].sequences)) for each in shown)
    return min(CLOUD_POINTS, ALL_CLOUD_POINTS // max(clouds, 1))


def _title(runs: Sequence[Run]) -> str:
    names = list(dict.fromkeys(run.label for run in runs))
    return "Evaluation of " + (", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else ""))


def _summary(runs: Sequence[Run]) -> str:
    sequences = sum(len(run.sequences) for run in runs)
    failed = sum(len(run.failed) for run in runs)
    text = f"{len(runs)} run{'s' * (len(runs) > 1)}, {sequences} scored sequence{'s' * (sequences > 1)}"
    return text + (f", {failed} failed" if failed else "")


def _overview(
    sets: Sequence[RunSet],
    families: Sequence[Family],
    paper: Sequence[Comparison],
    said: Sequence[str],
    drawing: Drawing,
) -> str:
    """All runs, how to read their tables, pictures of the worst and the median sequences, tables over several sets."""
    pictured = [*sets, *(family.sets[-1] for family in families)]
    tables = "".join(comparison_table(each, drawing.colors, said=drawing.said) for each in paper)
    tables = f"<h3>All sets</h3>{tables}" if tables else ""
    shown = f"{overview(sets, families, drawing)}{notes(said)}{glance(pictured, drawing)}{tables}"
    return f'<section id="overview"><h2>Overview</h2>{shown}</section>'


def _navigation(sets: Sequence[RunSet], families: Sequence[Family]) -> str:
    links = [("overview", "Overview")]
    links += [(slug(s.protocol, s.dataset), f"{PROTOCOLS[s.protocol]}: {set_title(s.dataset)}") for s in sets]
    links += [(slug(f.protocol, f.name), f"{PROTOCOLS[f.protocol]}: {family_title(f.name)}, long") for f in families]
    links += [("speed", "Speed"), ("repeat", "Repeat"), ("reading", "Reading")]
    return "".join(f'<a href="#{name}">{escape(text)}</a>' for name, text in links)


def _reading(comparisons: Sequence[Comparison]) -> str:
    """What the metrics mean, and where published numbers come from."""
    metrics = {column.metric for comparison in comparisons for column in comparison.columns}
    meanings = [text for metric, text in MEANINGS.items() if metric in metrics]
    used = {
        code.strip() for comparison in comparisons for entry in comparison.entries for code in entry.source.split(",")
    }
    cited = [f"{code}: {text}" for code, text in sources().items() if code in used]
    text = f'<section id="reading"><h2>How to read it</h2>{notes(meanings)}'
    return text + (f"<h3>Sources of published numbers</h3>{notes(cited)}" if cited else "") + "</section>"
