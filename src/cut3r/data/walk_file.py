"""Rendered walks on disk, all in one memory-mapped file, for training on a machine that renders more slowly than it
learns."""

import hashlib
import logging
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from cut3r.files.disk import DiskFullError, is_disk_full

logger = logging.getLogger(__name__)

STORED = ("rgb", "depth", "intrinsics", "world_from_cam")


class RenderedWalk(Protocol):
    """What a walk must have to be stored: a `cut3r.data.synthetic.Walk`."""

    @property
    def rgb(self) -> Tensor: ...
    @property
    def depth(self) -> Tensor: ...
    @property
    def intrinsics(self) -> Tensor: ...
    @property
    def world_from_cam(self) -> Tensor: ...


def frame_type(size: tuple[int, int]) -> np.dtype:
    """One frame in the file: 8-bit colours, metres, the camera, and what tells that all of it has been written."""
    return np.dtype(
        [
            ("rgb", np.uint8, (*size, 3)),
            ("depth", np.float32, size),
            ("intrinsics", np.float32, (3, 3)),
            ("world_from_cam", np.float32, (4, 4)),
            ("check", np.uint32),
        ]
    )


class WalkFile:
    """Walks by number, exactly as rendered; each is rendered when it is first asked for. Processes may share the file.

    The file has holes where a walk is missing, so it takes only the room of the walks in it. A frame counts as stored
    if its checksum is right: what a killed process has left unfinished, or a disk has damaged, is rendered anew.

    Args:
        folder: Created when the first walk is stored.
        recipe: Everything that decides what a walk looks like, as text; walks of another recipe are in another file.
        render: Gives walk number so and so, of `frames` frames of `size`.
    """

    def __init__(
        self, folder: Path, recipe: str, *, size: tuple[int, int], frames: int, render: Callable[[int], RenderedWalk]
    ) -> None:
        self.path = folder / f"{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.walks"
        self.kind, self.frames, self.render = frame_type(size), frames, render
        self._walks: np.ndarray | None = None  # [walks, frames], as many as the file had when it was mapped

    def walk(self, number: int) -> np.ndarray:
        """Return the records [frames] of a walk, of `frame_type`.

        Raises:
            DiskFullError: There is no room for a walk that is missing.
        """
        found = self._mapped(number)
        if found is None or not all(is_whole(record) for record in found):
            found = self._store(number)
        return found

    def first(self, count: int) -> np.ndarray:
        """Return the records [count, frames] of the first walks, mapped."""
        for number in range(count):
            self.walk(number)
        self._walks = None
        self._mapped(count - 1)
        assert self._walks is not None
        return self._walks[:count]

    def frame(self, number: int, frame: int) -> np.void:
        """Return one record; only its own checksum is looked at."""
        found = self._mapped(number)
        record: np.void = self.walk(number)[frame] if found is None or not is_whole(found[frame]) else found[frame]
        return record

    def _mapped(self, number: int) -> np.ndarray | None:
        """The place of a walk in the file, if the file reaches so far."""
        if self._walks is None or len(self._walks) <= number:
            stored = self.path.stat().st_size // (self.frames * self.kind.itemsize) if self.path.exists() else 0
            if stored <= number:
                return None
            self._walks = np.memmap(self.path, self.kind, "r", shape=(stored, self.frames))
        walk: np.ndarray = self._walks[number]
        return walk

    def _store(self, number: int) -> np.ndarray:
        walk, records = self.render(number), np.zeros(self.frames, self.kind)
        for name in STORED:
            records[name] = getattr(walk, name).numpy()
        for record in records:
            record["check"] = checksum(record)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o666)
            try:
                _write_all(file, records.tobytes(), number * records.nbytes)
            finally:
                os.close(file)
        except OSError as error:
            if is_disk_full(error, self.path.parent):
                raise DiskFullError(self.path.parent) from error
            raise
        return records

    def __getstate__(self) -> dict[str, Any]:
        """For processes that get a copy: they map the file themselves."""
        return vars(self) | {"_walks": None}


def is_whole(record: np.void) -> bool:
    """Whether a frame has been written, completely."""
    return bool(record["check"] == checksum(record))


def checksum(record: np.void) -> int:
    """A number above 0, so that a hole in the file has another."""
    bytes_ = record.tobytes()[: -record.dtype["check"].itemsize]
    return zlib.crc32(bytes_) | 1


def _write_all(file: int, content: bytes, offset: int) -> None:
    left = memoryview(content)
    while left:
        written = os.pwrite(file, left, offset)
        left, offset = left[written:], offset + written
