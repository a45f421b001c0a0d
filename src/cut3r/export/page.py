"""A scene as one web page, written when a stream has ended."""

import importlib.util
import logging
from pathlib import Path

from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.result import FrameResult
from cut3r.inference.sink import Sink
from cut3r.run.targets import PAGE

logger = logging.getLogger(__name__)


class SavedPage(Sink):
    """A sink that writes the page of a reconstruction in the end, if that has points.

    Args:
        scene: Takes the same results itself, as one sink for all files.
    """

    def __init__(self, scene: Reconstruction, path: Path) -> None:
        self._scene, self._path = scene, path

    def add(self, result: FrameResult) -> None:
        """The scene has it."""

    def finish(self) -> None:
        from cut3r.viewer.page_file import write_page  # viser takes a second to import

        if not len(self._scene):
            logger.warning("%s is not written: there are no points to show", self._path)
            return
        size = write_page(self._path, self._scene.cloud(), self._scene.cameras)
        logger.info("%s: %.1f MB; any browser opens it, without a network", self._path, size / 1e6)


def is_page(path: Path) -> bool:
    return path.suffix.lower() == PAGE


def check_page(path: Path) -> None:
    """See that what writes it is there.

    Raises:
        ValueError: viser is missing.
    """
    if importlib.util.find_spec("viser") is None:
        raise ValueError(f"{path} needs the package viser, which is not installed: pip install 'cut3r[viewer]'")
