"""From a finished run to folders in the formats of other programs."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

import numpy as np

from cut3r.export.choose import choose
from cut3r.export.config import ExportConfig, Progress
from cut3r.export.exported import ExportedFrame
from cut3r.export.formats import MESHES, NEED_POINTS, OF_FRAMES, check_packages, check_size
from cut3r.export.mesh import MeshConfig, Surface, fuse
from cut3r.export.of_frames import OF_RUN
from cut3r.export.scene import CameraPath, Scene
from cut3r.export.scene_folder import write_folder
from cut3r.export.tracks import Tracks, find_tracks
from cut3r.export.upright import upright_from_world
from cut3r.inference.keyframes import sharpness
from cut3r.inference.view import View
from cut3r.io.frame import Frame
from cut3r.io.images import capture_time_of
from cut3r.run.finished import FinishedRun
from cut3r.run.formats import SCENE, Part, parts_of
from cut3r.run.known import Known
from cut3r.run.targets import check_folder

logger = logging.getLogger(__name__)

Originals = Callable[[Sequence[tuple[int, str]]], Iterator[Frame]]
WHO = "the export"  # needs the original pictures
NAMED = 5  # frames that a message names


def export_run(
    run: FinishedRun,
    folder: Path,
    config: ExportConfig | None = None,
    *,
    formats: Sequence[str] = (SCENE,),
    masks: Path | None = None,
    source: str | None = None,
    overwrite: bool = False,
    command: str = "cut3r.export",
    on_progress: Progress | None = None,
) -> Scene:
    """Write `folder` in some formats (see `FORMATS`), and give what is in it.

    Args:
        masks: A folder of masks, white = use; black pixels have no points.
        source: Where the original pictures are, if elsewhere than the run read them.
        on_progress: Called with what is being done, how much of it is done, and how much there is.

    Raises:
        FileNotFoundError: The original pictures are not there.
        ValueError: No two frames see the same, or something of others is at the folder.
    """
    check_folder(folder, replace=overwrite)
    export = RunExport(run, config, masks=masks, source=source, on_progress=on_progress)
    return export.write(folder, formats, command=command)


class RunExport:
    """What is exported of a run. Frames and points are found once, for all folders that are written.

    Args:
        originals: Gives the original pictures of frames by their places in the source and their names, in order; by
            default they are read again from where the run had them. Others are as for `export_run`.
        masked: They have masks.

    Raises:
        ValueError: The run was made with --original: its files do not say how to get back to the original pictures.
    """

    def __init__(
        self,
        run: FinishedRun,
        config: ExportConfig | None = None,
        *,
        masks: Path | None = None,
        source: str | None = None,
        originals: Originals | None = None,
        masked: bool = False,
        on_progress: Progress | None = None,
    ) -> None:
        if run.setting("original") == "True":
            raise ValueError(
                f"{run.folder} was written with --original, which leaves out how to get back to the original pictures; "
                "run again without it"
            )
        self.run, self.config, self._masked = run, config or ExportConfig(), masked or masks is not None
        self._known, self._source, self._originals = Known(masks=masks), source, originals
        self._progress: Progress = on_progress or (lambda what, done, total: None)

    def write(self, folder: Path, formats: Sequence[str], *, command: str) -> Scene:
        """Write a folder; what was exported there before is replaced. Errors as of `export_run`."""
        parts = parts_of(formats)
        check_packages(parts)
        if parts == {Part.masks} and not self._masked:
            raise ValueError("there are no masks that could be exported; name a folder of them with --masks")
        with_originals = Part.pictures in parts or (self._masked and bool(parts & OF_FRAMES))
        if with_originals and self._originals is None:  # what is wrong with it is said before the long work
            self.run.open_footage(self._source, who=WHO).stream.close()
        scene = self.scene(parts)
        write_folder(
            folder,
            parts,
            scene,
            self._read_originals(scene.frames) if with_originals else None,
            pictures=self.config.pictures,
            command=command,
            on_progress=lambda done, total: self._progress("writing pictures", done, total),
            of_run={
                part: partial(OF_RUN[part], self.run, config=self.config, on_progress=self._progress)
                for part in parts & OF_RUN.keys()
            },
        )
        return scene

    def scene(self, parts: set[Part]) -> Scene:
        """What some parts of a folder hold."""
        frames: Sequence[ExportedFrame] = []
        tracks: Tracks | None = None
        if parts & NEED_POINTS:
            frames, tracks = self._with_points
        elif parts & (OF_FRAMES | MESHES):
            frames = self._chosen
        walk = self._walk
        upright = upright_from_world(walk.known_poses)
        surface = self._surface(frames, upright) if parts & MESHES else None
        path = CameraPath(walk.world_from_cam, self._times() if Part.tum in parts else walk.times_s)
        return Scene(frames, tracks, path, upright, masked=self._masked, surface=surface)

    def _surface(self, frames: Sequence[ExportedFrame], upright: np.ndarray) -> Surface:
        asked = self.config.tracks
        config = MeshConfig(self.config.voxel_m, asked.views, asked.tolerance, asked.neighbours)
        tell = partial(self._progress, "joining surfaces")
        return fuse(frames, upright, config, tell, self._pictures(frames))

    def _pictures(self, frames: Sequence[ExportedFrame]) -> Iterator[np.ndarray | None]:
        """The original pictures, where they can be read again; from where they cannot on, None."""
        given = 0
        try:
            for original, frame in zip(self._read_originals(frames), frames, strict=True):
                check_size(original, frame)
                yield original.rgb
                given += 1
        except (FileNotFoundError, ValueError) as error:
            logger.warning("%d of %d pictures colour the surface: %s", given, len(frames), error)
            yield from [None] * (len(frames) - given)

    def _read_originals(self, frames: Sequence[ExportedFrame]) -> Iterator[Frame]:
        wanted = [frame.origin for frame in frames]
        if self._originals is not None:
            return self._originals(wanted)
        return self.run.original_frames(wanted, self._known, source=self._source, who=WHO)

    def _times(self) -> np.ndarray:
        """Time stamps of all frames: of photos, when they were taken, if all of them say so and they follow in time."""
        walk = self._walk
        if self._originals is not None or not np.isnan(walk.times_s).all():
            return walk.times_s
        try:
            files = self.run.source_files(self._source, who=WHO)
        except (FileNotFoundError, ValueError) as error:
            logger.warning("%s has frame numbers for time stamps: %s", Part.tum.value, error)
            return walk.times_s
        taken = [capture_time_of(files[name]) if name in files else None for name, _ in walk.labels]
        times = np.array([np.nan if time is None else time for time in taken])
        return times if (np.diff(times) > 0).all() else walk.times_s

    @cached_property
    def _walk(self) -> "_Walk":
        labels, poses, times, sharp, depths, first, elsewhere = [], [], [], [], [], None, 0
        for number, (view, _) in enumerate(self.run.views(Known())):
            self._progress("reading frames", number + 1, self.run.count)
            first = view.chunk if first is None else first
            is_elsewhere = view.world_from_chunk is None and view.chunk != first
            elsewhere += is_elsewhere
            is_known, is_seen = view.camera_is_finite and not is_elsewhere, bool(view.valid.any())
            labels.append((view.name, view.number))
            poses.append(view.world_from_cam.double().numpy() if is_known else np.full((4, 4), np.nan))
            times.append(np.nan if view.time_s is None else view.time_s)
            sharp.append(sharpness(view.image))
            depths.append(float(view.depth[view.valid].median()) if is_known and is_seen else np.nan)
        if elsewhere:
            logger.warning(
                "%d frames came after a reset that nothing joined to what was before, so nobody knows where they are; "
                "they are left out (cut3r align may find out)",
                elsewhere,
            )
        walk = _Walk(labels, np.stack(poses), np.array(times), np.array(sharp), np.array(depths))
        if not np.isfinite(walk.depths).any():
            raise ValueError(f"no frame of {self.run.folder} has a finite camera and depth; there is nothing to export")
        return walk

    @cached_property
    def _chosen(self) -> list[ExportedFrame]:
        walk, config = self._walk, self.config
        useful = np.flatnonzero(np.isfinite(walk.depths))
        places = choose(walk.world_from_cam[useful], walk.sharp[useful], walk.depths[useful], config.frames)
        numbers = useful[places].tolist()
        names = dict(zip(numbers, _names([walk.labels[number] for number in numbers]), strict=True))
        return [
            ExportedFrame.of_view(_masked(view, frame), names[number], config.confidence, config.edges)
            for number, (view, frame) in enumerate(self.run.views(self._known))
            if number in names
        ]

    @cached_property
    def _with_points(self) -> tuple[list[ExportedFrame], Tracks]:
        """Points, and the frames that see some: an image without 2-D points breaks some readers."""
        frames, config = self._chosen, self.config.tracks
        tracks = find_tracks(frames, config, lambda done, total: self._progress("comparing depth", done, total))
        lonely = [number for number, pixels in enumerate(tracks.pixels) if not len(pixels)]
        if len(lonely) == len(frames):
            raise ValueError(
                f"no {min(config.views, len(frames))} frames agree on where anything is (of {tracks.tried:,} points "
                "that were tried); align the run first (cut3r align), or allow more: cut3r export with --tolerance "
                "0.05, --views 2"
            )
        if lonely:
            some = ", ".join(frames[number].origin[1] for number in lonely[:NAMED])
            more = f" and {len(lonely) - NAMED} more" if len(lonely) > NAMED else ""
            logger.warning("%d frames see nothing that others confirm, and are left out: %s%s", len(lonely), some, more)
        kept = [number for number in range(len(frames)) if number not in set(lonely)]
        return [frames[number] for number in kept], tracks.of_frames(kept)


@dataclass(frozen=True)
class _Walk:
    """All frames of the run: names and numbers, poses (nan where nobody knows them), time stamps, sharpness, and a
    usual depth (nan where there is none)."""

    labels: list[tuple[str, int]]
    world_from_cam: np.ndarray
    times_s: np.ndarray
    sharp: np.ndarray
    depths: np.ndarray

    @property
    def known_poses(self) -> np.ndarray:
        return self.world_from_cam[np.isfinite(self.world_from_cam).all(axis=(1, 2))]


def _masked(view: View, frame: Frame) -> View:
    if frame.mask is None:
        return view
    return replace(view, valid=view.valid & view.pixel_map.mask_to_image(frame.mask))


def _names(labels: Sequence[tuple[str, int]]) -> list[str]:
    """Those of the photos, if they are different; else numbers."""
    stems = [PurePosixPath(name).stem for name, _ in labels]
    if any("#" in name for name, _ in labels) or len({stem.casefold() for stem in stems}) < len(stems):
        return [f"{number:06d}" for _, number in labels]
    return stems
