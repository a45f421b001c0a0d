"""The page's sections about the runs themselves: speed and memory, and everything needed to make them again."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from eval.clock import total_cost
from eval.published import SYSTEM, published
from eval.report.drawing import Line, line_chart
from eval.report.elements import charts, fold, legend, notes, swatch, table
from eval.report.runs import Run
from eval.report.sequences import Drawing
from eval.report.words import PROTOCOLS, set_title

LONG = 30  # frames from which a sequence is worth following
MACHINE = ("gpu", "cpu", "threads", "commit", "date")  # the rest of a run's environment are versions
PAPER_SPEED = (("video_depth", "kitti", "scale", "512x144"), ("mv_recon", "sevenscenes", "published", "512x384"))


def cost_section(runs: Sequence[Run], drawing: Drawing) -> str:
    """How fast each run predicted and how much memory it took."""
    head = ["Run", "Machine", "Frames", "Frames/s", "ms/frame", "90 %", "first", "GPU, MB", "Host, MB"]
    body = table(head, [_cost_row(run, drawing) for run in runs], numbers=range(2, len(head)))
    said = [
        "Frames/s counts all time from a picture to its prediction on the host, reading and resizing included. "
        "ms/frame, its 90th percentile and the first frame, which warms up, are without decoding, of the middle "
        "sequence. Memory is the peak, on the host that of the process so far.",
        _paper_speed(),
    ]
    return f'<section id="speed"><h2>Speed and memory</h2>{body}{notes(said)}{_over_time(runs, drawing)}</section>'


def repeat_section(runs: Sequence[Run], drawing: Drawing) -> str:
    """Commands, versions, weights and machines."""
    folds = "".join(
        fold(f"{PROTOCOLS[run.protocol]} on {set_title(run.dataset)}: {run.label}", _recipe(run), kind="tables")
        for run in runs
    )
    said = notes(["Weights are named by file, sets by their folder on the machine of the run."])
    return f'<section id="repeat"><h2>How to repeat it</h2>{said}{folds}</section>'


def _over_time(runs: Sequence[Run], drawing: Drawing) -> str:
    """How milliseconds and memory go along the longest sequence of each run, where one is long."""
    whole = [run for run in runs if "prefix_of" not in run.facts]
    followed = [(run, cost) for run in whole if (cost := _longest(run)) is not None]
    if not followed:
        return ""
    svgs = []
    for key, title, unit in (("ms", "Milliseconds per frame", "ms"), ("memory_mb", "Memory", "MB")):
        lines = []
        for run, cost in followed:
            y = np.array([np.nan if value is None else value for value in cost["over_time"][key]], dtype=float)
            x = np.array(cost["over_time"]["frame"], dtype=float)
            lines.append(Line(run.label, x, y, drawing.colors[run.label]))
        svgs.append(line_chart(f"{title} along the longest sequence", "frame", unit, lines))
    key = legend({run.label: drawing.colors[run.label] for run, _ in followed})
    said = (
        "Medians of parts of the sequence, without decoding; memory is that of the process with what it holds on a GPU."
    )
    return key + charts(svgs) + notes([said])


def _longest(run: Run) -> dict[str, Any] | None:
    """The cost of the longest sequence of a run; None where that is short, or was predicted elsewhere."""
    known = [each.cost for each in run.sequences.values() if each.cost and each.cost.get("over_time")]
    longest = max(known, key=lambda cost: int(cost["frames"]), default=None)
    return longest if longest is not None and longest["frames"] >= LONG else None


def _cost_row(run: Run, drawing: Drawing) -> list[str]:
    cost = total_cost([each.cost for each in run.sequences.values() if each.cost])
    where = escape(f"{PROTOCOLS[run.protocol]} on {set_title(run.dataset)}")
    name = f'{swatch(drawing.colors[run.label])}{escape(run.label)}<br><span class="source">{where}</span>'
    if not cost:
        return [name, "predicted elsewhere", *["·"] * 7]
    return [
        name,
        escape(machine(run)),
        str(cost["frames"]),
        f"{cost['frames'] / cost['seconds']:.2f}" if cost["seconds"] else "·",
        *(_or_dot(cost[key], 1) for key in ("frame_ms_median", "frame_ms_p90", "frame_ms_first")),
        *(_or_dot(cost[key], 0) for key in ("peak_gpu_memory_mb", "peak_memory_mb")),
    ]


def _or_dot(value: float | None, digits: int) -> str:
    return "·" if value is None else f"{value:.{digits}f}"


def machine(run: Run) -> str:
    """What the run was made on, or last continued on."""
    environment = run.environment
    threads = environment["threads"]
    return str(environment["gpu"] or f"{environment['cpu']}, {threads} thread{'' if threads == 1 else 's'}")


def _recipe(run: Run) -> str:
    environment = run.environment
    facts = [
        ["Command", f"<code>{escape(run.command)}</code>"],
        ["Folder", f"<code>{escape(str(run.folder))}</code>"],
        ["Weights", _weights(run)],
        ["Machine", escape(machine(run))],
        ["Commit", escape(f"{environment['commit']}, {environment['date']}")],
        ["Versions", escape(", ".join(f"{key} {environment[key]}" for key in environment if key not in MACHINE))],
    ]
    settings = {"predictions": run.identity, "scores": run.settings}
    text = f"<pre>{escape(json.dumps(settings, indent=1))}</pre>"
    return table(["", ""], facts) + fold("All settings", text, kind="tables")


def _weights(run: Run) -> str:
    weights = run.facts.get("weights")
    if not weights:
        found = run.facts.get("predictions")
        return "none; a system of its own" if found is None else f"none; predictions in {escape(str(found))}"
    return f"{escape(weights['file'])}, sha256 <code>{escape(weights['sha256'])}</code>"


def _paper_speed() -> str:
    said = []
    for protocol, dataset, group, size in PAPER_SPEED:
        row = next(row for row in published(protocol, dataset, group).rows if row.system == SYSTEM and not row.rerun)
        said.append(f"{row.values['fps']:.2f} frames/s at {size}")
    return f"{SYSTEM}'s paper: {' and '.join(said)}, on one A100."
