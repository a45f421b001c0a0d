"""One sequence on the page: what its runs predicted, beside the truth, and where the errors are."""

import json
from dataclasses import dataclass, field

import numpy as np

from eval.protocols.base import Look
from eval.report.clouds import CloudScene, cloud_scene, packed, still_uri
from eval.report.compare import RunSet
from eval.report.drawing import ERROR_MAP, Line, line_chart
from eval.report.elements import charts, color_bar, fold, legend, notes, picture, slug, swatch
from eval.report.maps import depth_maps
from eval.report.paths import CameraPath, path_pictures
from eval.report.ranking import main_group, main_text
from eval.report.runs import PicturesMissingError, Run
from eval.report.views import pair_chart, view_pictures
from eval.report.words import alignment_title


@dataclass
class Drawing:
    """What drawing needs to know, and what it could not draw.

    Attributes:
        colors: Number of the series by label.
        pictured: Sequences of each set that get pictures, the worst ones.
        cloud_points: Of each cloud.
        problems: Sequences whose pictures cannot be read, with the reason.
        scenes: How many rotating views the page has.
        said: Notes that stand above all tables.
        leafed: Sequences of the set being drawn with many small frames to leaf through.
    """

    colors: dict[str, int]
    pictured: int
    cloud_points: int
    problems: list[str] = field(default_factory=list)
    scenes: int = 0
    said: frozenset[str] = frozenset()
    leafed: frozenset[str] = frozenset()


def sequence_fold(runs: RunSet, name: str, drawing: Drawing) -> str:
    """A section that opens: numbers of each run in its title, pictures inside."""
    looks = read_looks(runs, name, drawing)
    by_label = {run.label: run for run in runs.runs if name in run.sequences}
    draw = {"monodepth": _single_depth, "video_depth": _video_depth, "relpose": _pose, "mv_recon": _reconstruction}
    draw |= {"pose_pairs": _pairs, "query": _views}
    body = draw[runs.protocol](name, by_label, looks, drawing)
    body += notes(
        f"There are no pictures of {label}: its file cannot be read." for label in by_label if label not in looks
    )
    numbers = "".join(
        f'<span class="value">{swatch(drawing.colors[label])}{main_text(run, name)}</span>'
        for label, run in by_label.items()
    )
    identity = slug(runs.protocol, runs.dataset, name)
    return fold(name, body, name=identity, extra=f'<span class="values">{numbers}</span>', kind="sequence")


def read_looks(runs: RunSet, name: str, drawing: Drawing) -> dict[str, Look]:
    """The arrays for one sequence's pictures, by system; what cannot be read is noted once."""
    looks: dict[str, Look] = {}
    for run in runs.runs:
        if name in run.sequences:
            try:
                looks[run.label] = run.look(name)
            except PicturesMissingError as error:
                drawing.problems += [str(error)] if str(error) not in drawing.problems else []
    return looks


def _pose(name: str, runs: dict[str, Run], looks: dict[str, Look], drawing: Drawing) -> str:
    if not looks:
        return ""
    pictures = path_pictures([CameraPath(label, drawing.colors[label], look) for label, look in looks.items()])
    paths = [*pictures.together, *(svg for both in pictures.by_error.values() for svg in both)]
    errors = [
        line_chart(
            title, "frame", unit, [_steps(label, look, key, runs[label], drawing) for label, look in looks.items()]
        )
        for title, unit, key in (
            ("Position error by frame", "m", "ate_m"),
            ("Error of the step to the next frame", "m", "rpe_m"),
            ("Error of the turn to the next frame", "degrees", "rpe_deg"),
        )
    ]
    bar = color_bar("position error, m", ERROR_MAP, "0", f"≥ {pictures.limit_m:g}")
    key = legend({label: drawing.colors[label] for label in looks}, others=[("ground truth, its start a dot", None)])
    alone = len(looks) == 1
    drawn = charts([*paths, *errors]) if alone else f'<div class="pose">{charts(paths)}{charts(errors)}</div>'
    return f"{key}{bar}{drawn}{notes(_pose_facts(runs[label], name) for label in looks)}"


def _pairs(name: str, runs: dict[str, Run], looks: dict[str, Look], drawing: Drawing) -> str:
    notes_of = {label: run.sequences[name].score.notes for label, run in runs.items()}
    said = notes(
        f"{label}: {facts['pairs']} pairs, {facts['pairs_that_do_not_move']} of them do not move"
        for label, facts in notes_of.items()
    )
    return legend({label: drawing.colors[label] for label in looks}) + charts([pair_chart(looks, drawing.colors)], said)


def _views(name: str, runs: dict[str, Run], looks: dict[str, Look], drawing: Drawing) -> str:
    """The pictures that were predicted, above the depth maps."""
    return view_pictures(looks) + depth_maps(name, runs, looks, leaf=False)


def _steps(label: str, look: Look, key: str, run: Run, drawing: Drawing) -> Line:
    frames = look["frames"][: len(look[key])] * run.every
    return Line(label, frames.astype(float), look[key], drawing.colors[label])


def _pose_facts(run: Run, name: str) -> str:
    facts = run.sequences[name].score.notes
    text = f"{run.label}: {facts['frames']} frames, scale of the alignment {facts['scale']:.4g}"
    if facts["unknown_cameras"]:
        text += f", {facts['unknown_cameras']} true cameras unknown and left out"
    if missing := facts.get("pictures_without_camera"):
        text += f", {missing} pictures without a predicted camera left out"
    if facts["degenerate"]:
        text += ", path without extent in a second direction: the turn about it is arbitrary"
    return text


def _video_depth(name: str, runs: dict[str, Run], looks: dict[str, Look], drawing: Drawing) -> str:
    lines = []
    for label, look in looks.items():
        values = look.get(f"abs_rel_{main_group(runs[label])}")
        if values is not None:
            frames = np.arange(len(values), dtype=float) * runs[label].every
            lines.append(Line(label, frames, 100 * values, drawing.colors[label]))
    chart = line_chart("AbsRel by frame", "frame", "%", lines) if lines else ""
    facts = notes(_fit_facts(run, name) for run in runs.values())
    key = legend({label: drawing.colors[label] for label in looks})
    return f"{key}{charts([chart], facts)}{depth_maps(name, runs, looks, leaf=name in drawing.leafed)}"


def _fit_facts(run: Run, name: str) -> str:
    group = main_group(run) or ""
    fit = run.sequences[name].score.notes.get(group, {})
    numbers = f", scale {fit['scale']:.4g}, shift {fit['shift']:.3g} m" if fit else ""
    return f"{run.label}, by frame: {alignment_title(run.protocol, group)}{numbers}"


def _single_depth(name: str, runs: dict[str, Run], looks: dict[str, Look], drawing: Drawing) -> str:
    lines, worst = [], []
    for label, run in runs.items():
        items = run.sequences[name].score.groups.get(main_group(run) or "", [])
        values = np.array([float(item.metrics.get("abs_rel", np.nan)) for item in items])
        lines.append(Line(label, np.arange(len(values), dtype=float) * run.every, 100 * values, drawing.colors[label]))
        order = np.argsort(-np.nan_to_num(values, nan=np.inf))[:3]
        named = ", ".join(f"{items[number].name} ({100 * values[number]:.1f} %)" for number in order)
        worst.append(f"{label}, worst pictures: {named}")
        unknown = run.sequences[name].score.notes.get("pictures_without_truth")
        worst += [f"{label}: {len(unknown)} pictures have no true depth and no number"] if unknown else []
    key = legend({label: drawing.colors[label] for label in runs})
    chart = line_chart("AbsRel by picture", "picture", "%", lines)
    return f"{key}{charts([chart], notes(worst))}{depth_maps(name, runs, looks, leaf=name in drawing.leafed)}"


def _reconstruction(name: str, runs: dict[str, Run], looks: dict[str, Look], drawing: Drawing) -> str:
    if not looks:
        return ""
    scene = cloud_scene(looks, next(iter(runs.values())).dataset, drawing.cloud_points)
    drawing.scenes += 1
    stills = "".join(cloud_stills(scene))
    bar = color_bar("distance to the nearest true point, m", ERROR_MAP, "0", f"≥ {scene.limit_m:g}")
    cut = [f"{cloud.label} {100 * cloud.outside:.1f} %" for cloud in scene.clouds if cloud.outside > 0]
    said = [f"Points outside the box shown: {', '.join(cut)}."] if cut else []
    shown = {alignment_title(run.protocol, run.sequences[name].settings["alignments"][0]) for run in runs.values()}
    said.append(f"Clouds after alignment and registration: {'; '.join(sorted(shown))}.")
    unknown = {label: run.sequences[name].score.notes.get("unknown_cameras", 0) for label, run in runs.items()}
    said += [f"{label}: {count} frames of unknown cameras were left out." for label, count in unknown.items() if count]
    failed = {label: run.sequences[name].score.notes.get("failed_pixels", 0) for label, run in runs.items()}
    said += [
        f"{label}: {count} pixels without a finite point were left out." for label, count in failed.items() if count
    ]
    sizes = {label: run.sequences[name].score.notes.get("resampled_from") for label, run in runs.items()}
    said += [
        f"{label}: points of {size[0]} × {size[1]} pixels, brought to the size of the truth by the nearest one."
        for label, size in sizes.items()
        if size
    ]
    data = json.dumps(packed(scene), separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<div class="clouds"><div class="stills">{stills}</div>{bar}'
        '<p class="controls"><button type="button" class="rotate">Rotate in 3D</button>'
        '<label hidden><input type="checkbox" class="together" checked> rotate together</label>'
        '<label hidden><input type="checkbox" class="by-error"> colour by error</label></p>'
        f'<div class="scenes" hidden></div><script type="application/json">{data}</script></div>{notes(said)}'
    )


def cloud_stills(scene: CloudScene) -> list[str]:
    drawn = []
    for cloud in scene.clouds:
        drawn.append(picture(still_uri(cloud.points, cloud.colors, scene), cloud.label, f"points: {cloud.label}"))
        if cloud.error_colors is not None:
            uri = still_uri(cloud.points, cloud.error_colors, scene)
            drawn.append(picture(uri, f"{cloud.label}: error", f"errors of points: {cloud.label}"))
    return drawn
