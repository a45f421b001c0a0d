"""What the page shows of unseen views and of pairs of poses."""

from collections.abc import Mapping

from eval.protocols.base import Look
from eval.report.drawing import Line, line_chart
from eval.report.elements import picture
from eval.report.pictures import encoded


def view_pictures(looks: Mapping[str, Look], *, only_middle: bool = False) -> str:
    """For each view, or the middle one, what it shows and what each system expected."""
    keys = sorted({key for look in looks.values() for key in look if key.startswith("view_")}, key=_number)
    keys = keys[len(keys) // 2 :][:1] if only_middle else keys
    return "".join(_row(key, looks) for key in keys)


def pair_chart(looks: Mapping[str, Look], colors: Mapping[str, int]) -> str:
    """The share of pairs below each angle."""
    lines = [Line(label, look["degrees"], 100 * look["share"], colors[label]) for label, look in looks.items()]
    return line_chart("Pairs whose rotation and direction are wrong by less", "degrees", "%", lines) if lines else ""


def _row(key: str, looks: Mapping[str, Look]) -> str:
    number = _number(key)
    truths = [look[f"image_{number}"] for look in looks.values() if f"image_{number}" in look]
    shown = [picture(encoded(truth), "what it shows", f"picture of frame {number}") for truth in truths[:1]]
    shown += [
        picture(encoded(look[key]), f"{label}: unseen view", f"predicted picture of frame {number}")
        for label, look in looks.items()
        if key in look
    ]
    return f'<div class="maps"><div class="shared">{"".join(shown)}</div></div>'


def _number(key: str) -> int:
    return int(key.split("_")[1])
