"""The folder of a finished run, read back: what the run was, what it said of each frame, and its original pictures."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import takewhile, tee
from pathlib import Path

import numpy as np

from cut3r.inference.frame_folder import SUFFIXES, SavedFrame, is_frame_file, read_frame_folder
from cut3r.inference.view import View
from cut3r.io.frame import Frame
from cut3r.io.frames import FrameOptions, FrameStream, SortOrder
from cut3r.run.flags import SOME
from cut3r.run.footage import LIVE, Footage
from cut3r.run.known import Known
from cut3r.run.known_flags import read_intrinsics
from cut3r.run.output_check import MARKER
from cut3r.run.output_folder import THE_INPUT, Marker, RunState, read_marker
from cut3r.run.rig import Rig

EVERY = {"all": 1, "some": SOME}  # --save-frames: one of so many frames has files


class FinishedRun:
    """Frames that a run has written, with its marker `cut3r.json`; a folder of `FrameFolder` alone has none.

    Args:
        stopped: Take a run that was stopped, too, with the frames that it has.

    Raises:
        FileNotFoundError: No such folder, nothing of a run in it, or no files of frames.
        ValueError: The run is not finished, or files are missing.
    """

    def __init__(self, folder: Path, *, stopped: bool = False) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}; expected is the --output_dir of a finished run")
        self.marker: Marker | None = read_marker(folder / MARKER)
        self._check_state(stopped)
        self.count = self._check_files()

    def setting(self, name: str) -> str | None:
        """What a flag of the run was, as text; None if that is unknown, or the flag was not given."""
        value = None if self.marker is None else self.marker.settings.get(name)
        return None if value in (None, "None") else value

    def files(self) -> list[Path]:
        """Everything of the run that nobody else must replace."""
        return [path for path in self.folder.iterdir() if path.is_file()]

    def views(self, known: Known) -> Iterator[tuple[View, Frame]]:
        """Each frame as it was seen, and with what is known of its camera: to the run, unless `known` says more."""
        end = math.inf if self.marker is None else self.marker.frames  # files of others may have frames' names, too
        seen, same = tee(takewhile(lambda frame: frame.number < end, read_frame_folder(self.folder)))
        frames = FrameStream(
            map(partial(_given_to, pictured=known.sky), same), str(self.folder), expected=self.count, skipped=[]
        )
        yield from zip((saved.view() for saved in seen), known.onto(frames, seen=True), strict=True)

    def original_frames(
        self, wanted: Iterable[tuple[int, str]], known: Known, *, source: str | None = None, who: str
    ) -> Iterator[Frame]:
        """The original pictures of some frames, with what is known of them.

        Args:
            wanted: Their places in the source and their names, in the order in which the run read them.
            source: Where they are, if elsewhere than the run read them.
            who: What needs them, for messages.

        Raises:
            FileNotFoundError: They are not where the run read them.
            ValueError: Others are there; or nobody knows where they are.
        """
        with self.open_footage(source, who=who) as footage:
            footage.know(self._first()._undistorting(known))
            yield from those_of(wanted, footage.frames(0))

    def _undistorting(self, known: Known) -> Known:
        """What is known, and the lens by which the run undistorted its pictures."""
        given = self.setting("intrinsics")
        if given is None or known.intrinsics is not None:
            return known
        cameras = read_intrinsics(given, self.setting("distortion"))
        bent = any(camera.any_lens and not camera.any_lens.is_straight for camera in cameras.cameras)
        return replace(known, intrinsics=cameras) if bent else known

    def open_footage(self, source: str | None = None, *, who: str) -> Footage:
        """Open what the run read, or what the run read whose results were aligned; arguments and errors as above."""
        run = self._first()
        place = source or run.setting("seq_path")
        if place is None:
            raise ValueError(
                f"{self.folder} does not say where its pictures are, and {who} needs them; give --seq_path"
            )
        was = run.setting(THE_INPUT)
        if source is None and was == LIVE:
            raise ValueError(
                f"the run read {place}, which nobody can read again, and {who} needs its pictures: --save scene/ keeps "
                "them while a run is going on"
            )
        footage = Footage(place, run._options())
        if source is None and was is not None and footage.contents != was:
            footage.stream.close()
            raise ValueError(
                f"the pictures at {place} are not those that the run read ({was} then, {footage.contents} now), and "
                f"{who} needs them; bring them back, or name a copy with --seq_path"
            )
        return footage

    def source_files(self, source: str | None = None, *, who: str) -> dict[str, Path]:
        """The photos that the run read, by the names of their frames; arguments and errors as above."""
        with self.open_footage(source, who=who) as footage:
            return {path.name: path for path in footage.stream.files}

    def rig(self) -> Rig | None:
        """What keeps views together, if the run cut panoramas into some."""
        count = self._first().setting("panorama")
        return None if count is None else Rig(int(count))

    def _first(self) -> "FinishedRun":
        """The run that read pictures: the folder of an alignment names the run that it has aligned."""
        before = self.setting("folder")
        if self.setting("seq_path") is not None or before is None or not (Path(before) / MARKER).is_file():
            return self
        return FinishedRun(Path(before))._first()

    def _options(self) -> FrameOptions:
        """Which frames the run chose of its source."""

        def number(name: str) -> float | None:
            value = self.setting(name)
            return None if value is None else float(value)

        def whole(name: str) -> int | None:
            value = number(name)
            return None if value is None else int(value)

        return FrameOptions(
            sort=SortOrder(self.setting("sort") or SortOrder.natural.value),
            start=whole("start") or 0,
            end=whole("end"),
            every=whole("every") or 1,
            fps=number("fps"),
            max_frames=whole("max_frames"),
            panorama=whole("panorama"),
            topic=self.setting("topic"),
            skip_bad=self.setting("skip_bad") == "True",
            parity=self.setting("original") == "True",
        )

    def _check_state(self, stopped: bool) -> None:
        fine = {RunState.finished, RunState.stopped} if stopped else {RunState.finished}
        if self.marker is None or self.marker.state in fine:
            return
        said = "was interrupted" if self.marker.state is RunState.stopped else "is still going on, or was killed"
        raise ValueError(
            f"the run in {self.folder} {said} after {self.marker.frames} frames; repeat its command with --resume, and "
            "come back when it is finished"
        )

    def _check_files(self) -> int:
        saved = self.setting("save_frames")
        if saved == "none":
            raise FileNotFoundError(
                f"the run in {self.folder} saved no depth (--save-frames none); run it again with --save-frames all, "
                f"or some for every {SOME}th frame"
            )
        numbers = {
            kind: {int(path.stem) for path in (self.folder / kind).glob(f"*{suffix}") if is_frame_file(path)}
            for kind, suffix in SUFFIXES.items()
        }
        every = EVERY.get(saved or "", 1)
        expected = set(range(0, self.marker.frames, every)) if self.marker is not None else set.union(*numbers.values())
        if not expected:
            raise FileNotFoundError(
                f"{self.folder} holds no frames of a run: no {MARKER} and no camera/000000.npz; expected is the "
                "--output_dir of a finished run with --save-frames all"
            )
        for kind in SUFFIXES:
            if missing := sorted(expected - numbers[kind]):
                raise ValueError(
                    f"{self.folder} lacks {kind}/{missing[0]:06d}{SUFFIXES[kind]} and {len(missing) - 1} more such "
                    "files of frames; run again with --save-frames all"
                )
        return len(expected)


def those_of(wanted: Iterable[tuple[int, str]], frames: Iterator[Frame]) -> Iterator[Frame]:
    """Give those of the frames whose place in the source and name are wanted, in their order.

    Raises:
        ValueError: One is missing, or they come in another order.
    """
    rest = iter(wanted)
    awaited = next(rest, None)
    for frame in frames:
        if awaited is None:
            return
        if (frame.index, frame.name) == awaited:
            yield frame
            awaited = next(rest, None)
    if awaited is not None:
        raise ValueError(f"{awaited[1]} is not among the original frames, or they come in another order")


def _given_to(saved: SavedFrame, *, pictured: bool) -> Frame:
    """The original frame with what the run was given, without its picture.

    Args:
        pictured: Give it that of the network, enlarged: enough to find the sky.
    """
    h, w = saved.original_size or saved.color.shape[:2]
    name = saved.name or f"{saved.number:06d}"
    frame = _black((h, w), saved.number if saved.index is None else saved.index, saved.time_s, name)
    if pictured:
        frame = replace(frame, rgb=saved.view().pixel_map.nearest_to_original(saved.color))
    intrinsics = saved.intrinsics_original if saved.given_intrinsics else None
    return replace(frame, intrinsics=intrinsics, world_from_cam=saved.world_from_cam if saved.given_pose else None)


def stand_in(view: View) -> Frame:
    """The original frame without its picture: of its size, so that what is known of it can be put onto it."""
    return _black(view.pixel_map.original_size, view.index, view.time_s, view.name)


def _black(size: tuple[int, int], index: int, time_s: float | None, name: str) -> Frame:
    return Frame(np.broadcast_to(np.zeros(3, np.uint8), (*size, 3)), index, time_s, name)
