"""Rendered frames on disk, for training on a machine that renders more slowly than it learns."""

import hashlib
import logging
import zipfile
from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from cut3r.files.atomic import atomic_path

logger = logging.getLogger(__name__)


class FrameCache:
    """Frames by name, exactly as they were put in. Several processes may share a folder.

    Args:
        folder: Created when the first frame is kept.
        recipe: Everything that decides what a frame looks like, as text; frames of another recipe are not found.
    """

    def __init__(self, folder: Path, recipe: str) -> None:
        self.folder = folder / hashlib.sha256(recipe.encode()).hexdigest()[:16]

    def get(self, name: str) -> RawFrame | None:
        """Return the frame if it is here and whole; a damaged file counts as absent, and is replaced by `put`."""
        path = self._path(name)
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                return RawFrame(file["rgb"], file["depth"], file["intrinsics"], file["world_from_cam"])
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            logger.warning("%s is damaged (%s) and made anew", path, error)
            return None

    def put(self, name: str, frame: RawFrame) -> None:
        with atomic_path(self._path(name)) as temporary:
            np.savez(
                temporary,
                rgb=frame.rgb,
                depth=frame.depth,
                intrinsics=frame.intrinsics,
                world_from_cam=frame.world_from_cam,
            )

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"
