"""A file that is written when a stream has ended."""

from pathlib import Path

from cut3r.inference.reconstruction import Reconstruction, check_suffix
from cut3r.inference.result import FrameResult
from cut3r.inference.sink import Sink


class SavedFile(Sink):
    """A sink that saves a reconstruction when there are no more results. Without a frame it writes nothing.

    Args:
        scene: Takes the same results itself, as one sink for all files.
        path: Its suffix says what is written, see `Reconstruction.save`.

    Raises:
        ValueError: No writer has this suffix.
    """

    def __init__(self, scene: Reconstruction, path: Path) -> None:
        check_suffix(path)
        self._scene, self._path = scene, path

    def add(self, result: FrameResult) -> None:
        """The scene has it."""

    def finish(self) -> None:
        if self._scene.frame_count:
            self._scene.save(self._path)
