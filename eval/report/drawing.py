"""How the report draws: line charts as SVG that follows the page's colours, colour maps and their scales.

Figures are drawn in placeholder colours; in the SVG these become the page's CSS variables, so that one picture serves
light and dark pages.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, MUTED, GRID = "#010203", "#040506", "#070809"
SERIES = 6
SERIES_COLORS = tuple(f"#0a0b{0x10 + number:02x}" for number in range(SERIES))
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    **{color: f"var(--series-{number})" for number, color in enumerate(SERIES_COLORS)},
}
STYLE: dict[Any, object] = {
    "svg.fonttype": "none",
    "font.size": 8.5,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.5,
}
TIDY = [
    (re.compile(pattern, re.DOTALL), replacement)
    for pattern, replacement in (
        (r"<metadata>.*?</metadata>|<!--.*?-->", ""),
        (r"<style.*?</style>", ""),  # would hold for the whole page
        (r' id="(figure|axes|patch|text|line2d|xtick|ytick|matplotlib|LineCollection|PathCollection)[^"]*"', ""),
        (r"font-family: [^;]*; ", ""),
        (r' transform="rotate\(-0 [^"]*"', ""),
        (r' (width|height)="[\d.]+pt"', ""),
        (r"<g/>|<defs>\s*</defs>", ""),
        (r"\s+", " "),
    )
]
COORDINATES, DIGITS = re.compile(r' (d|x|y)="[^"]*"'), re.compile(r"(\.\d\d)\d+")
PANEL = (3.9, 2.6)  # inches (w, h); the page shows it about this large
WIDE, ROW = (5.2, 0.75), 0.19  # inches: a plot without rows, and a row of it
NAME_LETTERS = 28
CROWDED, WINDOWS = 200, 50  # points from which on a line is averaged, over a 50th of them
DASHES = ((5, 2.5), (1.2, 2.2), (6, 2, 1.5, 2), (9, 3))

# both ends are visible on white and on black
ERROR_MAP = LinearSegmentedColormap.from_list("error", ["#2f7fc1", "#43b3a0", "#f0c04a", "#e8743b", "#b3123f"])
DEPTH_MAP = matplotlib.colormaps["viridis_r"]


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        color: Number of the series; None for published numbers, which are dashed (`dash` tells them apart).
    """

    label: str
    x: Float[np.ndarray, "n"]
    y: Float[np.ndarray, "n"]
    color: int | None = 0
    dash: int = 0
    markers: bool = False


@contextmanager
def panel(title: str, x_label: str, y_label: str, size: tuple[float, float] = PANEL) -> Iterator[tuple[Figure, Axes]]:
    """Give a figure with one chart in the report's style; draw and convert it within the block."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        axes.tick_params(length=0)
        yield figure, axes


def line_chart(title: str, x_label: str, y_label: str, lines: Sequence[Line], *, first: int | None = None) -> str:
    """Draw lines over a common axis that begins at 0, as SVG; the page has the legend.

    Lines of many points are drawn thin, and their moving average bold.

    Args:
        first: The axis of x begins here, and a tick stands there.
    """
    many = max((len(line.y) for line in lines), default=0)
    window = many // WINDOWS if many > CROWDED else 1
    if window > 1:
        title = f"{title}, bold: mean of {window}"
    with panel(title, x_label, y_label) as (figure, axes):
        for line in lines:
            published = line.color is None
            if window > 1:
                axes.plot(line.x, moving_average(line.y, window), color=series_color(line.color))
            axes.plot(
                line.x,
                line.y,
                color=MUTED if published else series_color(line.color),
                marker="o" if line.markers or np.isfinite(line.y).sum() == 1 else None,
                markersize=3,
                linewidth=1.1 if published else 1.5 if window == 1 else 0.4,
                alpha=1 if window == 1 else 0.45,
                dashes=DASHES[line.dash % len(DASHES)] if published else (None, None),
            )
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if first is not None:
            last = max((int(line.x[-1]) for line in lines if len(line.x)), default=first)
            axes.set_xlim(first - 0.03 * max(last - first, 1), last + 0.03 * max(last - first, 1))
            inner = [tick for tick in axes.get_xticks() if first < tick <= last]
            axes.set_xticks([first, *(tick for tick in inner if tick - first > (last - first) / 10)])
        return to_svg(figure, f"{title}: " + ", ".join(line.label for line in lines))


def dot_plot(title: str, x_label: str, names: Sequence[str], dots: Sequence[Line]) -> str:
    """Draw a row for each name, the first on top, with a dot for each line's value (`y`, in the order of the names)."""
    shown = [name if len(name) <= NAME_LETTERS else f"…{name[1 - NAME_LETTERS :]}" for name in names]
    with panel(title, x_label, "", (WIDE[0], WIDE[1] + ROW * len(names))) as (figure, axes):
        rows = np.arange(len(names))
        values = np.array([line.y for line in dots], dtype=float)
        known = np.isfinite(values).sum(axis=0) > 1
        if len(dots) > 1:  # how far apart the systems are
            axes.hlines(
                rows[known], np.nanmin(values[:, known], axis=0), np.nanmax(values[:, known], axis=0), color=GRID
            )
        for line in dots:
            axes.plot(line.y, rows, color=series_color(line.color), marker="o", markersize=4.5, linestyle="")
        axes.set_yticks(rows, shown)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
        return to_svg(figure, f"{title}: " + ", ".join(line.label for line in dots))


def moving_average(values: Float[np.ndarray, "n"], window: int) -> Float[np.ndarray, "n"]:
    """Average each value with its neighbours, fewer of them at the ends; values that are not finite do not count."""
    known = np.isfinite(values)
    box = np.ones(window)
    sums = np.convolve(np.where(known, values, 0), box, mode="same")
    counts = np.convolve(known, box, mode="same")
    average: np.ndarray = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return average


def series_color(number: int | None) -> str:
    return SERIES_COLORS[(number or 0) % SERIES]


def to_svg(figure: Figure, description: str) -> str:
    """The figure as an element of the page, without a fixed size, in the page's colours and fonts."""
    out = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": description}):  # the names of its parts must not meet those of others
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None})
    svg = out.getvalue().decode()
    svg = svg[svg.index("<svg") :]
    for pattern, replacement in TIDY:
        svg = pattern.sub(replacement, svg)
    svg = COORDINATES.sub(lambda match: DIGITS.sub(r"\1", match[0]), svg)
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, variable)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)


def css_gradient(colormap: Colormap, stops: int = 12) -> str:
    """The colour map from left to right, for a colour bar."""
    colors = (matplotlib.colors.to_hex(colormap(x)) for x in np.linspace(0, 1, stops))
    return f"linear-gradient(to right, {', '.join(colors)})"


def round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7 times a power of ten: the end of a scale."""
    if not np.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 1.5, 2, 3, 5, 7, 10) if step * power >= value * (1 - 1e-9)))
