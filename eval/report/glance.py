"""What a reader sees before any click: the worst and the median sequence of each set as pictures."""

from collections.abc import Sequence
from html import escape

from eval.protocols.base import Look
from eval.report.clouds import cloud_scene
from eval.report.compare import RunSet
from eval.report.drawing import ERROR_MAP
from eval.report.elements import charts, color_bar, legend, slug
from eval.report.maps import frame_maps, scale_bars
from eval.report.paths import CameraPath, path_pictures
from eval.report.pictures import depth_pictures
from eval.report.ranking import main_text, worst_and_median, worst_first
from eval.report.sequences import Drawing, cloud_stills, read_looks
from eval.report.views import pair_chart, view_pictures

GLANCE_POINTS = 6_000  # of each cloud


def glance(sets: Sequence[RunSet], drawing: Drawing) -> str:
    """A strip for the worst and one for the median sequence of each set."""
    strips = "".join(
        _strip(runs, name, what, drawing)
        for runs in sets
        if drawing.pictured
        for name, what in worst_and_median(worst_first(runs)).items()
    )
    return f'<h3>At a glance</h3><div class="glance">{strips}</div>' if strips else ""


def _strip(runs: RunSet, name: str, what: str, drawing: Drawing) -> str:
    looks = read_looks(runs, name, drawing)
    if not looks:
        return ""
    draw = {"monodepth": _depth, "video_depth": _depth, "relpose": _paths, "mv_recon": _clouds}
    draw |= {"pose_pairs": _pairs, "query": _views}
    body = draw[runs.protocol](runs, name, looks, drawing)
    link = f'<a href="#{slug(runs.protocol, runs.dataset, name)}">{escape(name)}</a>'
    numbers = [f"{run.label} {main_text(run, name)}" for run in runs.runs if name in run.sequences]
    scored = " ".join(f"<span>{escape(text)}</span>" for text in numbers)
    return f'<div class="strip"><h4>{escape(runs.title)}, {what}: {link} <small>{scored}</small></h4>{body}</div>'


def _depth(runs: RunSet, name: str, looks: dict[str, Look], drawing: Drawing) -> str:
    """The worst of the frames that were kept."""
    drawn = depth_pictures(looks, {run.label: run.every for run in runs.runs})
    return "" if drawn.worst is None else frame_maps(name, drawn.worst) + scale_bars(drawn.scales)


def _paths(runs: RunSet, name: str, looks: dict[str, Look], drawing: Drawing) -> str:
    """All systems, or the only one by its error."""
    drawn = path_pictures([CameraPath(label, drawing.colors[label], look) for label, look in looks.items()])
    key = legend({label: drawing.colors[label] for label in looks}, others=[("ground truth, its start a dot", None)])
    if drawn.together:
        return key + charts(drawn.together)
    ((_, views),) = drawn.by_error.items()
    return f"{key}{charts(views)}{color_bar('position error, m', ERROR_MAP, '0', f'≥ {drawn.limit_m:g}')}"


def _pairs(runs: RunSet, name: str, looks: dict[str, Look], drawing: Drawing) -> str:
    return legend({label: drawing.colors[label] for label in looks}) + charts([pair_chart(looks, drawing.colors)])


def _views(runs: RunSet, name: str, looks: dict[str, Look], drawing: Drawing) -> str:
    return view_pictures(looks, only_middle=True)


def _clouds(runs: RunSet, name: str, looks: dict[str, Look], drawing: Drawing) -> str:
    scene = cloud_scene(looks, runs.dataset, GLANCE_POINTS)
    bar = color_bar("distance to the nearest true point, m", ERROR_MAP, "0", f"≥ {scene.limit_m:g}")
    return f'<div class="stills">{"".join(cloud_stills(scene))}</div>{bar}'
