"""Depth of one sequence as maps: input and truth once, and a row for each system beside them."""

from collections.abc import Mapping
from html import escape

from eval.protocols.base import Look
from eval.report.drawing import DEPTH_MAP, ERROR_MAP
from eval.report.elements import color_bar, notes, picture
from eval.report.pictures import DepthPicture, DepthRow, DepthScales, depth_pictures
from eval.report.runs import Run
from eval.report.words import alignment_title


def depth_maps(name: str, runs: Mapping[str, Run], looks: Mapping[str, Look]) -> str:
    """Some frames as maps, as they were scored in the alignment that stands for the protocol."""
    if not looks:
        return ""
    drawn = depth_pictures(looks, {label: run.every for label, run in runs.items()})
    shown = {alignment_title(run.protocol, run.sequences[name].score.notes["pictured"]) for run in runs.values()}
    note = notes(
        [
            f"Maps: {'; '.join(sorted(shown))}. Blank where the truth is unknown or does not count. One scale of depth "
            "and one of errors for the whole sequence."
        ]
    )
    frames = "".join(f"<h4>Frame {row.number}</h4>{frame_maps(name, row)}" for row in drawn.rows)
    return f"{note}{scale_bars(drawn.scales)}{frames}"


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
    caption = f"{depth.label}: error, mean {100 * depth.mean_error:.1f} %"
    return predicted + picture(depth.error, caption, f"error of frame {number}, {escape(depth.label)}")
