"""From a finished run to a scene for splat trainers."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from cut3r.export.choose import choose
from cut3r.export.config import ExportConfig
from cut3r.export.exported import ExportedFrame
from cut3r.export.scene_folder import Scene, check_target, write_scene
from cut3r.export.tracks import Tracks, find_tracks
from cut3r.export.upright import upright_from_world
from cut3r.inference.keyframes import sharpness
from cut3r.inference.view import View
from cut3r.io.frame import Frame
from cut3r.run.finished import FinishedRun
from cut3r.run.known import Known

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
WHO = "the export"  # needs the original pictures
NAMED = 5  # frames that a message names


def export_run(
    run: FinishedRun,
    folder: Path,
    config: ExportConfig | None = None,
    *,
    masks: Path | None = None,
    source: str | None = None,
    overwrite: bool = False,
    command: str = "cut3r.export",
    on_progress: Progress | None = None,
) -> Scene:
    """Write `folder` for splat trainers (see `scene_folder`), and give what is in it.

    Args:
        masks: A folder of masks, white = use; black pixels have no points.
        source: Where the original pictures are, if elsewhere than the run read them.
        on_progress: Called with what is being done, how much of it is done, and how much there is.

    Raises:
        FileNotFoundError: The original pictures are not there.
        ValueError: No two frames see the same, or something of others is at the folder.
    """
    config, known = config or ExportConfig(), Known(masks=masks)
    progress: Progress = on_progress or (lambda what, done, total: None)
    check_target(folder, overwrite=overwrite)
    run.open_footage(source, who=WHO).stream.close()  # what is wrong with it is said before the long work
    frames = _chosen(run, config, known, progress)
    frames, tracks = _with_points(frames, config, progress)
    poses = np.stack([frame.world_from_cam.numpy() for frame in frames])
    scene = Scene(frames, tracks, upright_from_world(poses), masked=masks is not None)
    write_scene(
        folder,
        scene,
        run.original_frames([frame.origin for frame in frames], known, source=source, who=WHO),
        pictures=config.pictures,
        command=command,
        on_progress=lambda done, total: progress("writing pictures", done, total),
    )
    return scene


def _chosen(run: FinishedRun, config: ExportConfig, known: Known, progress: Progress) -> list[ExportedFrame]:
    numbers, poses, sharp, depths, elsewhere, first = [], [], [], [], 0, None
    for number, (view, _) in enumerate(run.views(Known())):
        progress("choosing frames", number + 1, run.count)
        first = view.chunk if first is None else first
        if view.world_from_chunk is None and view.chunk != first:
            elsewhere += 1
        elif view.camera_is_finite and bool(view.valid.any()):
            numbers.append(number)
            poses.append(view.world_from_cam.double().numpy())
            sharp.append(sharpness(view.image))
            depths.append(float(view.depth[view.valid].median()))
    if elsewhere:
        logger.warning(
            "%d frames came after a reset that nothing joined to what was before, so nobody knows where they are; they "
            "are left out (cut3r align may find out)",
            elsewhere,
        )
    if not numbers:
        raise ValueError(f"no frame of {run.folder} has a finite camera and depth; there is nothing to export")
    places = choose(np.stack(poses), np.array(sharp), np.array(depths), config.frames)
    wanted = {numbers[place] for place in places}
    seen = [pair for number, pair in enumerate(run.views(known)) if number in wanted]
    names = _names([view for view, _ in seen])
    return [
        ExportedFrame.of_view(_masked(view, frame), name, config.confidence, config.edges)
        for (view, frame), name in zip(seen, names, strict=True)
    ]


def _masked(view: View, frame: Frame) -> View:
    if frame.mask is None:
        return view
    return replace(view, valid=view.valid & view.pixel_map.mask_to_image(frame.mask))


def _names(views: Sequence[View]) -> list[str]:
    """Those of the photos, if they are different; else numbers."""
    stems = [PurePosixPath(view.name).stem for view in views]
    if any("#" in view.name for view in views) or len({stem.casefold() for stem in stems}) < len(stems):
        return [f"{view.number:06d}" for view in views]
    return stems


def _with_points(
    frames: list[ExportedFrame], config: ExportConfig, progress: Progress
) -> tuple[list[ExportedFrame], Tracks]:
    """Points, and the frames that see some: an image without 2-D points breaks some readers."""
    tracks = find_tracks(frames, config.tracks, lambda done, total: progress("comparing depth", done, total))
    lonely = [number for number, pixels in enumerate(tracks.pixels) if not len(pixels)]
    if len(lonely) == len(frames):
        raise ValueError(
            f"no {min(config.tracks.views, len(frames))} frames agree on where anything is (of {tracks.tried:,} points "
            "that were tried); align the run first (cut3r align), or allow more: --tolerance 0.05, --views 2"
        )
    if lonely:
        some = ", ".join(frames[number].origin[1] for number in lonely[:NAMED])
        more = f" and {len(lonely) - NAMED} more" if len(lonely) > NAMED else ""
        logger.warning("%d frames see nothing that others confirm, and are left out: %s%s", len(lonely), some, more)
    kept = [number for number in range(len(frames)) if number not in set(lonely)]
    return [frames[number] for number in kept], tracks.of_frames(kept)
