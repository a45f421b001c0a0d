"""Folders for other programs as sinks: of a run that keeps its frames itself, or of any stream."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from cut3r.export.config import ExportConfig
from cut3r.export.frame_store import FrameStore
from cut3r.export.of_run import Progress, RunExport
from cut3r.files.work_folder import work_folder
from cut3r.geometry.registration import Similarity
from cut3r.inference.result import FrameResult
from cut3r.inference.sink import Sink
from cut3r.run.formats import SCENE, parts_of
from cut3r.run.targets import check_folder

logger = logging.getLogger(__name__)


class ExportSink(Sink):
    """Writes a folder for splat trainers and other programs of the results of a stream, when there are no more.

    Until then it keeps depth and pictures on the disk, in a hidden folder beside (2 MB per frame of 512x384, and its
    picture), and nothing but names in memory. What was exported there before is replaced then.

    Args:
        formats: Names of `cut3r.run.formats.FORMATS`.
        on_progress: As for `export_run`.

    Raises:
        ValueError: The folder holds something else, or cannot be made.
    """

    def __init__(
        self,
        folder: str | Path,
        config: ExportConfig | None = None,
        *,
        formats: Sequence[str] = (SCENE,),
        on_progress: Progress | None = None,
    ) -> None:
        self.folder, self.config, self.formats = Path(folder), config or ExportConfig(), formats
        parts_of(formats)
        check_folder(self.folder, replace=True)
        self._on_progress, self._work = on_progress, ExitStack()
        self._store: FrameStore | None = None

    def begin(self, first: int = 0) -> None:
        """Take a stream from its beginning.

        Raises:
            ValueError: It goes on where an earlier one stopped, of which nothing was kept.
        """
        if first:
            raise ValueError(
                f"{self.folder} is made of a whole stream, and this one goes on at frame {first}; make it of the run's "
                "folder, with cut3r export"
            )

    def add(self, result: FrameResult) -> None:
        if self._store is None:
            work = self._work.enter_context(work_folder(self.folder.resolve()))
            self._store = FrameStore(work, pictures=self.config.pictures)
        self._store.add(result)

    def move(self, chunk: int, world_from_chunk: Similarity) -> None:
        if self._store is not None:
            self._store.move(chunk, world_from_chunk)

    def finish(self) -> None:
        """Write the folder; without a frame nothing.

        Raises:
            ValueError: No two frames see the same.
            OSError: There is no room.
        """
        if self._store is None:
            return
        with self._work:
            export = self._store.export(self.config, self._on_progress)
            scene = export.write(self.folder, self.formats, command="cut3r.ExportSink")
        logger.info("%s: %s", self.folder, scene.summary())


class RunFolder(Sink):
    """The same for a run whose files of frames are written elsewhere: this only takes them in the end.

    Args:
        export: Makes what is exported, when the run has ended.
        count: Frames of the run by then; without one, nothing is written.
        stages: Entered while it is written, to show progress.
    """

    def __init__(
        self,
        folder: Path,
        formats: Sequence[str],
        export: Callable[[], RunExport],
        count: Callable[[], int],
        command: str,
        stages: AbstractContextManager[object],
    ) -> None:
        self.folder, self.formats = folder, formats
        self._export, self._count, self._command, self._stages = export, count, command, stages

    def add(self, result: FrameResult) -> None:
        """The run keeps it."""

    def finish(self) -> None:
        if not self._count():
            return
        with self._stages:
            scene = self._export().write(self.folder, self.formats, command=self._command)
        logger.info("%s: %s", self.folder, scene.summary())
