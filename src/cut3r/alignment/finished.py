"""The folder of a finished run, read back: what the run was, and what it said of each frame."""

from collections.abc import Iterator
from itertools import tee
from pathlib import Path

from cut3r.alignment.streamed import stand_in
from cut3r.inference.frame_folder import SUFFIXES, is_frame_file, read_frame_folder
from cut3r.inference.view import View
from cut3r.io.frame import Frame
from cut3r.io.frames import FrameStream
from cut3r.run.flags import SOME
from cut3r.run.known import Known
from cut3r.run.output_check import MARKER
from cut3r.run.output_folder import Marker, RunState, read_marker

EVERY = {"all": 1, "some": SOME}  # --save-frames: one of so many frames has files


class FinishedRun:
    """Frames that a run has written, with its marker `cut3r.json`; a folder of `FrameFolder` alone has none.

    Raises:
        FileNotFoundError: No such folder, nothing of a run in it, or no files of frames.
        ValueError: The run is not finished, or files are missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}; expected is the --output_dir of a finished run")
        self.marker: Marker | None = read_marker(folder / MARKER)
        self._check_state()
        self.count = self._check_files()

    def setting(self, name: str) -> str | None:
        """What a flag of the run was, as text; None if that is unknown, or the flag was not given."""
        value = None if self.marker is None else self.marker.settings.get(name)
        return None if value in (None, "None") else value

    def files(self) -> list[Path]:
        """Everything of the run that an alignment must not replace."""
        return [path for path in self.folder.iterdir() if path.is_file()]

    def views(self, known: Known) -> Iterator[tuple[View, Frame]]:
        """Each frame as it was seen, and with what is known of its camera."""
        views, same = tee(saved.view() for saved in read_frame_folder(self.folder))
        frames = FrameStream(map(stand_in, same), str(self.folder), expected=self.count, skipped=[])
        yield from zip(views, known.onto(frames), strict=True)

    def _check_state(self) -> None:
        if self.marker is None or self.marker.state is RunState.finished:
            return
        said = "was interrupted" if self.marker.state is RunState.stopped else "is still going on, or was killed"
        raise ValueError(
            f"the run in {self.folder} {said} after {self.marker.frames} frames; repeat its command with --resume, and "
            "align the folder when it is finished"
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
