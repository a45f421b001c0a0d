"""Camera paths of one sequence: predicted against true, from above and from the side."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize

from eval.protocols.base import Look
from eval.report.drawing import ERROR_MAP, MUTED, panel, round_up, series_color, to_svg

PIECES = 160  # of a path that is coloured by its error; more would only weigh
VIEWS = {"from above": (0, 1), "from the side": (0, 2)}  # principal axes of the true path


@dataclass(frozen=True)
class CameraPath:
    """One system's path of a sequence; `color` is the number of its series."""

    label: str
    color: int
    look: Look  # eval/protocols/relpose.py


@dataclass(frozen=True)
class PathPictures:
    """Charts of all systems' paths, and of each one's coloured by its error.

    Attributes:
        limit_m: Where the colours end: the middle one of the systems' largest errors, so that a path that is lost does
            not make the others look alike.
    """

    together: list[str]
    by_error: dict[str, list[str]]
    limit_m: float


def path_pictures(paths: list[CameraPath]) -> PathPictures:
    """Draw one sequence. Axes are the directions in which the true camera moves most, second most and least.

    A camera that is carried over ground is thus seen from above and from the side, whatever axes its set has.
    """
    true = paths[0].look["true"]
    center, axes = principal_axes(true)
    limit_m = round_up(float(np.median([np.max(path.look["ate_m"]) for path in paths])))
    together, by_error = [], {}
    if len(paths) > 1:
        together = [_draw(f"All, {view}", center, axes[list(rows)], paths, None) for view, rows in VIEWS.items()]
    for path in paths:
        by_error[path.label] = [
            _draw(f"{path.label}, {view}", center, axes[list(rows)], [path], limit_m) for view, rows in VIEWS.items()
        ]
    return PathPictures(together, by_error, limit_m)


def principal_axes(points: Float[np.ndarray, "n 3"]) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3 3"]]:
    """Give the middle of points, and the unit directions of their largest to smallest spread, as rows.

    The largest component of each direction is positive.
    """
    center = points.mean(axis=0, dtype=np.float64)
    _, _, rows = np.linalg.svd(points - center, full_matrices=True)
    largest = np.abs(rows).argmax(axis=1)
    return center, rows * np.sign(rows[np.arange(3), largest])[:, None]


def pieces(points: Float[np.ndarray, "n 2"], errors: Float[np.ndarray, "n"]) -> Iterator[tuple[np.ndarray, float]]:
    """Cut a path into at most PIECES polylines that share their ends, each with its largest error."""
    step = max(1, -(-(len(points) - 1) // PIECES))
    for start in range(0, len(points) - 1, step):
        part = slice(start, start + step + 1)
        yield points[part], float(errors[part].max())


def _draw(title: str, center: np.ndarray, axes: np.ndarray, paths: list[CameraPath], limit_m: float | None) -> str:
    """Draw paths in the colours of their systems, or by error up to `limit_m`."""
    with panel(title, "m", "m") as (figure, chart):
        true = (paths[0].look["true"] - center) @ axes.T
        chart.plot(*true.T, color=MUTED, linewidth=1.0, zorder=1)
        chart.plot(*true[:1].T, color=MUTED, marker="o", markersize=4, zorder=3)
        for path in paths:
            points = (path.look["predicted"] - center) @ axes.T
            if limit_m is None:
                chart.plot(*points.T, color=series_color(path.color), linewidth=1.4, zorder=2)
            else:
                _colored_path(chart, points, path.look["ate_m"], limit_m)
        chart.margins(0.06)
        chart.set_aspect("equal", adjustable="datalim")
        return to_svg(figure, f"camera paths: {title}")


def _colored_path(chart: Axes, points: np.ndarray, errors: np.ndarray, limit_m: float) -> None:
    lines, values = zip(*pieces(points, errors), strict=True)
    chart.add_collection(
        LineCollection(
            list(lines), array=np.array(values), cmap=ERROR_MAP, norm=Normalize(0, limit_m), linewidths=2, zorder=2
        )
    )
    chart.update_datalim(points)
