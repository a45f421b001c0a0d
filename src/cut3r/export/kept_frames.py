"""How `Reconstruction.save("room/")` comes by depth and pictures: kept beside the stream, or read and drawn again."""

import tempfile
import weakref
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from cut3r.export.config import ExportConfig
from cut3r.export.drawn import drawn_results
from cut3r.export.frame_store import FrameStore, OpenFrames
from cut3r.files.work_folder import work_folder
from cut3r.geometry.registration import Similarity
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.result import FrameResult
from cut3r.inference.view import View
from cut3r.io.frame import Frame
from cut3r.io.frames import FrameOptions, open_frames
from cut3r.run.formats import SCENE
from cut3r.run.targets import check_folder

Source = str | Path | OpenFrames  # as for `open_frames`, or what opens the same frames once more


class KeptFrames:
    """Keeps the depth and the picture of each frame on the disk: 2 MB per frame of 512x384, and its picture.

    Photos are read from their files again. All of it goes with the object, or with its process.

    Args:
        config: What is exported (default: as the reconstruction has it).
        folder: Where it makes a folder of its own (default: the system's place for temporary files).
        source: Where the pictures can be read again; then only depth is kept.
        options: Which frames of the source were chosen.
    """

    def __init__(
        self,
        config: ExportConfig | None = None,
        *,
        folder: str | Path | None = None,
        source: Source | None = None,
        options: FrameOptions | None = None,
    ) -> None:
        self._config, self._place = config, Path(folder or tempfile.gettempdir()) / "cut3r_frames"
        self._originals = None if source is None else _opener(source, options)
        self._stack = ExitStack()
        self._store: FrameStore | None = None
        weakref.finalize(self, self._stack.close)

    def add(self, result: FrameResult | View) -> None:
        if self._store is None:
            work = self._stack.enter_context(work_folder(self._place))
            pictures = (self._config or ExportConfig()).pictures
            self._store = FrameStore(work, pictures=pictures, originals=self._originals)
        self._store.add(result)

    def move(self, chunk: int, world_from_chunk: Similarity) -> None:
        if self._store is not None:
            self._store.move(chunk, world_from_chunk)

    def save(self, folder: Path, scene: Reconstruction) -> None:
        """Write what splat trainers take; errors as of `export_run`."""
        if self._store is None:
            raise ValueError(f"there are no frames yet, of which {folder} could be made")
        _write(self._store, folder, _config(self._config, scene))

    def close(self) -> None:
        """Remove what is kept."""
        self._stack.close()
        self._store = None


class FramesAgain:
    """Keeps nothing: pictures are read from the source again, and depth is that of the reconstruction's points.

    So it can be given after the stream, too. Depth is as coarse as voxels are, and ends where points do; `KeptFrames`
    has all that the network said.

    Args: as for `KeptFrames`.
    """

    def __init__(
        self, source: Source, *, config: ExportConfig | None = None, options: FrameOptions | None = None
    ) -> None:
        self._config, self._open = config, _opener(source, options)

    def add(self, result: FrameResult | View) -> None:
        """The source has it."""

    def move(self, chunk: int, world_from_chunk: Similarity) -> None:
        """The reconstruction knows."""

    def save(self, folder: Path, scene: Reconstruction) -> None:
        """Write what splat trainers take; errors as of `export_run`, and where the source has none of the frames."""
        config = _config(self._config, scene)
        with work_folder(folder.resolve()) as work:
            store, count = FrameStore(work, pictures=config.pictures), 0
            for result in drawn_results(scene, self._open()):
                store.add(result)
                count += 1
            if not count:
                raise ValueError(f"the source has none of the {scene.frame_count} frames of the reconstruction")
            _write(store, folder, config)


def _write(store: FrameStore, folder: Path, config: ExportConfig) -> None:
    check_folder(folder, replace=True)
    store.export(config).write(folder, (SCENE,), command="cut3r.Reconstruction.save")


def _config(config: ExportConfig | None, scene: Reconstruction) -> ExportConfig:
    return config or replace(ExportConfig(), confidence=scene.confidence, edges=scene.edges)


def _opener(source: Source, options: FrameOptions | None) -> OpenFrames:
    if callable(source):
        return source

    def opened() -> Iterable[Frame]:
        with open_frames(str(source), options or FrameOptions()) as stream:
            yield from stream

    return opened
