"""Depth of one sequence as maps: input and truth once, and a row for each system beside them."""

import json
from collections.abc import Mapping, Sequence
from html import escape

from eval.protocols.base import Look
from eval.report.drawing import DEPTH_MAP, ERROR_MAP
from eval.report.elements import color_bar, notes, picture
from eval.report.pictures import DepthPicture, DepthRow, DepthScales, depth_pictures, small_strips
from eval.report.runs import Run
from eval.report.words import alignment_title

FEWEST_LEAVES = 4  # fewer are seen below at full size


def depth_maps(name: str, runs: Mapping[str, Run], looks: Mapping[str, Look], *, leaf: bool) -> str:
    """Some frames as maps, as they were scored in the alignment that stands for the protocol.

    Args:
        leaf: Also many small ones to leaf through.
    """
    if not looks:
        return ""
    every = {label: run.every for label, run in runs.items()}
    drawn = depth_pictures(looks, every)
    shown = {alignment_title(run.protocol, run.sequences[name].score.notes["pictured"]) for run in runs.values()}
    note = notes(
        [
            f"Maps: {'; '.join(sorted(shown))}. Blank where the truth is unknown or does not count. One scale of depth "
            "and one of errors for the whole sequence."
        ]
    )
    frames = "".join(f"<h4>Frame {row.number}</h4>{frame_maps(name, row)}" for row in drawn.rows)
    strips = small_strips(looks, every, drawn.scales) if leaf else []
    return f"{note}{scale_bars(drawn.scales)}{leaves(strips, list(looks))}{frames}"


def leaves(strips: Sequence[tuple[int, str]], labels: Sequence[str]) -> str:
    """A slider over small frames; without a script the first one is seen."""
    if len(strips) < FEWEST_LEAVES:
        return ""
    number, first = strips[0]
    titles = ["input", "truth", *(title for label in labels for title in (label, "error"))]
    head = "".join(f"<span>{escape(title)}</span>" for title in titles)
    data = json.dumps(strips, separators=(",", ":"))
    return (
        f'<div class="leaves"><p class="controls"><label>Frame <output>{number}</output> '
        f'<input type="range" min="0" max="{len(strips) - 1}" value="0" aria-label="frame"></label></p>'
        f'<div class="leaf-heads">{head}</div><img src="{first}" alt="small pictures of frame {number}">'
        f'<script type="application/json">{data}</script></div>'
    )


def scale_bars(scales: DepthScales) -> str:
    low, high = scales.depth_m
    bars = color_bar("depth, m", DEPTH_MAP, f"{low:.2f}", f"{high:.2f}")
    bars += color_bar("error, % of true depth", ERROR_MAP, "0", f"≥ {100 * scales.error:g}")
    return f'<div class="bars">{bars}</div>'


def frame_maps(name: str, row: DepthRow) -> str:
    image = picture(row.image, "input", f"{name}, frame {row.number}")
    truth = picture(row.truth, "ground truth", f"true depth of frame {row.number}")
    systems = "".join(_system(each, row.number) for each in row.systems)
    several = " several" if len(row.systems) > 1 else ""
    return f'<div class="maps{several}"><div class="shared">{image}{truth}</div><div class="rows">{systems}</div></div>'


def _system(depth: DepthPicture, number: int) -> str:
    predicted = picture(depth.predicted, f"{depth.label}: prediction", f"predicted depth of frame {number}")
    caption = f"{depth.label}: error, mean {100 * depth.mean_error:.1f}\u00a0%"
    return predicted + picture(depth.error, caption, f"error of frame {number}, {escape(depth.label)}")
