"""What a run leaves on disk, written so that an error at any moment loses nothing that was finished."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cut3r.files.disk import DiskFullError
from cut3r.geometry.registration import Similarity
from cut3r.inference.background import Background
from cut3r.inference.chunk_file import CHUNKS, write_chunks
from cut3r.inference.frame_folder import FrameFolder
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.result import FrameResult
from cut3r.inference.session import Session
from cut3r.inference.sink import WAITING, Sinks
from cut3r.inference.snapshot import Packed, Snapshot
from cut3r.run.output_folder import OutputFolder, RunState
from cut3r.run.resume import ResumePoint

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Entry:
    """A result, what the session remembered after it, and that again for a file if it is time for a resume point."""

    result: FrameResult
    after: Snapshot
    packed: Packed | None


class RunWriter:
    """Takes the results of a session: files of each frame, the resume point now and then, what is saved in the end.

    Another thread writes them, one frame after the other: its files, then its points, then, if it is time, a resume
    point. So a frame counts, and a resume point knows of it, when everything of it is there. The files of an earlier
    run are replaced when the first result is there, and not before.

    Args:
        output: Entered, and so locked.
        frames: None writes no files of each frame.
        saving: What --save and --export write, begun here; finished when the folder is complete.
        resume: None where the source cannot be opened again.
        version: Of the program, for the folder's marker.
        settings: Everything that changes the results, for the folder's marker.
    """

    def __init__(
        self,
        session: Session,
        scene: Reconstruction,
        output: OutputFolder,
        frames: FrameFolder | None,
        *,
        saving: Sinks | None = None,
        resume: ResumePoint | None,
        version: str,
        settings: dict[str, str],
    ) -> None:
        self.scene = scene
        self.frames = frames
        self._session = session
        self._output = output
        self._saving = saving or Sinks({})
        self._resume = resume
        self._marker = (version, settings)
        self._kept = session.snapshot()  # after the last frame that is kept
        self._began = self._is_saving = False
        self._chunk = 0  # of the last result
        self._writing = Background(self._write, most=WAITING, name="run writer")
        self._saving.begin(session.frames_seen)

    @property
    def count(self) -> int:
        """Frames that are kept, those of an earlier run that this one goes on from included."""
        return self._kept.number

    @property
    def written(self) -> list[Path]:
        """The folder and what was saved, which people look for in the end."""
        saved = map(Path, self._saving.good)
        return [self._output.folder, *(path for path in saved if path.exists())]  # without what was kept until then

    def add(self, result: FrameResult) -> None:
        """Hand over the result that the session stands at; waits while the writing thread is behind.

        Raises:
            Exception: Of writing an earlier frame. The session's memory of that frame and of later ones is given up by
                `finish`.
        """
        packed = self._session.pack() if self._is_time_to_save() else None
        self._writing.put(_Entry(result, self._session.snapshot(), packed))
        self._saving.add(result)

    def drain(self) -> None:
        """Wait until all frames are written.

        Raises:
            Exception: Of writing one of them, as `add`.
        """
        self._writing.drain()

    def settle(self) -> dict[int, Similarity]:
        """Let the session look for loops once more, after the last frame; gives the chunks that it put elsewhere."""
        self._writing.drain()
        known = self.scene.chunks
        moves = {chunk: place for chunk, place in self._session.settle().items() if chunk in known}
        for chunk, place in moves.items():
            self.scene.move(chunk, place)
        self._saving.move(moves)
        self._kept = self._session.snapshot()
        return moves

    def finish(self, state: RunState) -> list[str]:
        """Write what is written in the end; a file that cannot be written does not keep the others from it.

        Returns:
            One sentence for each file that could not be written, which the log has, too.
        """
        self._writing.close()
        if self.count == 0:
            self._saving.finish()
            return []
        if self._session.frames_seen != self.count:
            self._session.restore(self._kept)
        failures = _attempt(self._output.folder, lambda: self._end(state))
        if self._output.is_ours:
            write = partial(write_chunks, self._output.folder, self._kept.course, self.count)
            failures += _attempt(self._output.folder / CHUNKS, write)
        if self._resume is not None:
            failures += _attempt(self._resume.path, self._save_resume_point)
        return failures + self._saving.finish()

    def give_up(self) -> None:
        """After an error in the middle of the run: write what there is, and say so."""
        self.finish(RunState.stopped)
        if self.count:
            logger.info("%d finished frames are kept in %s; %s", self.count, self._output.folder, self.way_on())

    def way_on(self) -> str:
        """What somebody does to get the frames that are missing: a part of a sentence."""
        return "the same command with --resume goes on" if self._can_go_on() else "start the same command again"

    def way_to_save(self) -> str:
        """What somebody does to get a file that could not be written: a part of a sentence."""
        if self._can_go_on():
            return "the same command with --resume and --save OTHER writes it to another place"
        return f"the files of each frame are in {self._output.folder}"

    def explain_full_disk(self, error: DiskFullError, expected: int | None) -> str:
        """Say which disk is full, what is kept, how much the rest needs and what to do.

        Args:
            expected: Frames of the whole run, if that is known.
        """
        said = f"the disk of {error.folder} is full; {self.count} finished frames are kept in {self._output.folder}"
        if self.count and self.frames is not None:
            size_mb = self.frames.bytes_per_frame(self.count) / 1e6
            left = expected - self.count if expected is not None else 0
            said += f", and each needs about {size_mb:.2f} MB"
            said += f", so the {left} that are left about {left * size_mb:.1f} MB" if left > 0 else ""
        return f"{said}: make room, then {self.way_on()}"

    def _can_go_on(self) -> bool:
        return self._resume is not None and self._output.can_be_resumed

    def _write(self, entry: _Entry) -> None:
        if not self._began:
            self._output.begin(*self._marker, first=entry.result.number)
            self._began = True
        if self.frames is not None:
            self.frames.add(entry.result)
        self.scene.add(entry.result)
        self._kept = entry.after
        if (entry.result.moves or entry.result.chunk != self._chunk) and self._output.is_ours:
            write_chunks(self._output.folder, entry.after.course, entry.after.number)
            self._chunk = entry.result.chunk
        if entry.packed is not None:
            assert self._resume is not None
            self._resume.write(entry.packed, self.scene)
            self._is_saving = False

    def _is_time_to_save(self) -> bool:
        """Once for each resume point: then not before that is written."""
        if self._resume is None or self._is_saving or not self._resume.is_due():
            return False
        self._is_saving = True
        return True

    def _end(self, state: RunState) -> None:
        if self._began:
            self._output.clear(self.count)
        self._output.end(state, self.count)

    def _save_resume_point(self) -> None:
        assert self._resume is not None
        self._resume.save(self._session, self.scene)


def _attempt(path: Path, write: Callable[[], None]) -> list[str]:
    try:
        write()
    except (OSError, ValueError, RuntimeError, MemoryError) as error:  # RuntimeError: a device that has failed
        logger.error("%s could not be written (%s)", path, error)
        return [f"{path} could not be written ({error})"]
    return []
