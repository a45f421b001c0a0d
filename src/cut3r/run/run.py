"""A run: footage through a session into files, with progress, until it ends or somebody stops it. It can be resumed."""

import logging
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cut3r.files.disk import DiskFullError
from cut3r.inference.result import FrameResult
from cut3r.inference.revisit import revisit
from cut3r.inference.session import Session
from cut3r.inference.sink import Sinks
from cut3r.io.frame import Frame
from cut3r.run.corrections import corrected, tell_dropped
from cut3r.run.footage import Footage
from cut3r.run.moving import Moving
from cut3r.run.output_folder import RunState
from cut3r.run.progress import Meter, Progress
from cut3r.run.rig import Rig
from cut3r.run.stop import Stop
from cut3r.run.writer import RunWriter

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)

LOOKAHEAD = 8  # frames of a file that are read before they are needed; a camera's would be late


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    `failures` has a sentence for each file that could not be written, `not_shown` one for each watching sink that
    failed. `stopped`: somebody ended it before its end; `killed`: and does not sit in front of it.
    """

    frames: int
    failures: list[str]
    not_shown: list[str]
    stopped: bool
    killed: bool


class Run:
    """Takes footage through a session.

    Args:
        writer: Brings each result to the disk, and knows where the run goes on.
        watching: Sinks that lose nothing that matters if they fail, such as a page.
        passes: See `revisit`.
        moving: Leaves out what moves, if given.
        rig: Keeps views of one panorama together, if given.
    """

    def __init__(
        self,
        session: Session,
        footage: Footage,
        writer: RunWriter,
        watching: Sinks,
        *,
        passes: int = 1,
        freeze: bool = False,
        moving: Moving | None = None,
        rig: Rig | None = None,
    ) -> None:
        self.session, self.footage, self.writer, self.watching = session, footage, writer, watching
        self.passes, self.freeze, self.moving, self.rig = passes, freeze, moving, rig

    def go(self, console: "Console") -> Outcome:
        """Run to the end, or until Ctrl-C: all files are then written, and a run that can be resumed says so.

        Raises:
            OSError: The disk is full; what is finished is kept.
            Exception: Of reading, of the network, or of writing a frame; likewise.
        """
        session, footage, writer = self.session, self.footage, self.writer
        with Stop() as stop, Progress(console, footage.expected, done=session.frames_seen) as progress:
            try:
                self._take_in(progress, stop)
            except DiskFullError as error:
                writer.give_up()
                raise OSError(writer.explain_full_disk(error, footage.expected)) from error
            except BaseException:
                writer.give_up()
                raise
        seconds = progress.meter.seconds  # what is saved in the end may take long, and is no frame
        stopped = stop.asked and not footage.stream.live  # a webcam has no other end
        if writer.count == 0:
            return Outcome(0, [], [], stopped, stop.killed)
        if not stopped:
            self.watching.move(writer.settle())
        failures = writer.finish(RunState.stopped if stopped else RunState.finished)
        not_shown = self.watching.finish()
        self._tell(progress.meter, seconds)
        return Outcome(writer.count, failures, not_shown, stopped, stop.killed)

    def _take_in(self, progress: Progress, stop: Stop) -> None:
        with closing(self._results(progress, stop)) as results:
            for result in corrected(results, self.rig, self.moving):
                self.writer.add(result)
                self.watching.add(result)
                progress.advance()
                if stop.asked:
                    break
        self.writer.drain()

    def _results(self, progress: Progress, stop: Stop) -> Generator[FrameResult, None, None]:
        def on_absorbed(number: int, frame: Frame) -> None:
            progress.note(f"pass {number + 1} of {self.passes}: {frame.name}")
            if stop.asked:  # nothing to keep yet
                raise KeyboardInterrupt

        return revisit(
            self.session,
            self.footage.frames,
            passes=self.passes,
            freeze=self.freeze,
            done=self.session.frames_seen,
            lookahead=0 if self.footage.stream.live else LOOKAHEAD,
            on_absorbed=on_absorbed,
        )

    def _tell(self, meter: Meter, seconds: float) -> None:
        """Say how fast it was and what came of it."""
        logger.info(
            "%d frames in %.0f s (%.2f per second), %s", meter.new, seconds, meter.new / seconds, meter.memory()
        )
        if skipped := self.footage.stream.skipped:
            logger.warning("%d unreadable frames were skipped: %s", len(skipped), "; ".join(skipped[:5]))
        scene = self.writer.scene
        logger.info("%s", scene.summary())
        tell_dropped(self.footage.known, self.moving)
        joints = [joint for joint in self.session.joints if joint.first < self.writer.count]
        if doubtful := [joint for joint in joints if joint.doubt]:
            logger.warning("%d of %d joints of chunks are doubtful:", len(doubtful), len(joints))
            for joint in doubtful:
                logger.warning("  %s", joint.tell())
        elif joints:
            logger.info("%d chunks, each joined to the one before", len(joints) + 1)
        if loops := self.session.loops:
            kept = sum(not loop.refused for loop in loops)
            logger.info("%d places were seen again; %d more looked like it and were refused", kept, len(loops) - kept)
        if lost := self.session.not_finite:
            logger.warning("%d frames have a pose or points that are not finite, and those are in no file", lost)
        elif not len(scene):
            logger.warning("no point has a confidence above %g; lower --vis_threshold", scene.confidence)
        for path in self.writer.written:
            logger.info("wrote %s", path)
