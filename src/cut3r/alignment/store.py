"""Where predictions are kept while they are made: in memory, or in a folder, where an interrupted alignment goes on.

Of n frames, and of pairs of them, at 512x384 in half precision: 1.6 MB each, so 1,000 frames with 12 pairs each take
21 GB. In a folder they lie in memory-mapped files; what is not looked at takes no memory.
"""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float16, Int, UInt8
from torch import Tensor

from cut3r.alignment.pairs import Predictions
from cut3r.files.atomic import atomic_path
from cut3r.files.disk import DiskFullError, is_disk_full

logger = logging.getLogger(__name__)

RECORD = "predictions.json"
DONE = "done.npy"
LATER = "later.json"  # the pairs that were found later
SELF, PAIR = ("points_self", "conf_self"), ("points_pair", "conf_pair")  # names of arrays, and of their files


class PredictionStore:
    """Room for what a network says of frames and of pairs of them, filled anchor by anchor.

    An anchor, the first frame of pairs, counts as done when all of its points are there. A process that is killed loses
    the anchors that it was busy with.

    Args:
        frames: How many.
        ends: The pairs of frames.
        size: (h, w) of the network's image.
        room: For so many more pairs, which are found later.
        folder: Made if it is missing. None keeps everything in memory.
        key: Everything that decides what is predicted, as text. What lies in the folder by another key is thrown away.

    Raises:
        ValueError: The folder holds something else.
        DiskFullError: The folder's disk has no room for all predictions; the room is taken at once.
    """

    def __init__(
        self,
        frames: int,
        ends: Sequence[tuple[int, int]],
        size: tuple[int, int],
        *,
        room: int = 0,
        folder: Path | None = None,
        key: str = "",
    ) -> None:
        self.ends: Int[Tensor, "e 2"] = torch.tensor(ends, dtype=torch.long).reshape(-1, 2)
        self.room = room
        self.folder = folder
        self._first = len(self.ends)
        counts = {**dict.fromkeys(SELF, frames), **dict.fromkeys(PAIR, len(self.ends) + room)}
        shapes: dict[str, tuple[int, ...]] = {
            name: (count, *size, 3) if name.startswith("points") else (count, *size) for name, count in counts.items()
        }
        self._place = {pair: place for place, pair in enumerate(ends)}
        self._arrays: dict[str, np.ndarray] = {}
        if folder is None:
            self._arrays = {name: np.zeros(shape, np.float16) for name, shape in shapes.items()}
            self.done = np.zeros(frames, bool)
            return
        digest = hashlib.sha256(f"{key} {frames} {list(ends)} {room} {size}".encode()).hexdigest()
        if not self._open(folder, digest, shapes):
            self._make(folder, digest, shapes)

    @property
    def points_self(self) -> Float16[Tensor, "n h w 3"]:
        """What is seen of each frame alone, metres in its camera."""
        return self._tensor("points_self")

    @property
    def conf_self(self) -> Float16[Tensor, "n h w"]:
        return self._tensor("conf_self")

    @property
    def points_pair(self) -> Float16[Tensor, "e h w 3"]:
        """The points of a pair's second frame, metres in the camera of its first one."""
        return self._tensor("points_pair")[: len(self.ends)]

    @property
    def conf_pair(self) -> Float16[Tensor, "e h w"]:
        return self._tensor("conf_pair")[: len(self.ends)]

    def predictions(self, images: UInt8[Tensor, "n h w 3"]) -> Predictions:
        """Everything, without a copy."""
        return _Stored(
            images, self.points_self, self.conf_self, self.ends, self.points_pair, self.conf_pair, store=self
        )

    def append(
        self, ends: Int[Tensor, "k 2"], points: Float16[Tensor, "k h w 3"], conf: Float16[Tensor, "k h w"]
    ) -> None:
        """Take in pairs that were found later. Another run finds them again, unless `keep_later` notes them.

        Raises:
            ValueError: There is no room for so many.
        """
        if len(ends) > self.room:
            raise ValueError(f"there is room for {self.room} more pairs and not for {len(ends)}")
        if self.folder is not None:
            (self.folder / LATER).unlink(missing_ok=True)  # those of other settings, which lie in the same place
        self._make_room(ends)
        for pair, some, sure in zip(ends.tolist(), points, conf, strict=True):
            self.put_pair((pair[0], pair[1]), some, sure)

    def keep_later(self, key: str, said: Any) -> None:
        """Note that all pairs are there that are found later, so that another run need not look for them.

        Args:
            key: Everything that decides what is found, beside the pairs before, as text.
            said: What `found_later` gives back; a JSON file must be able to hold it.
        """
        if self.folder is None:
            return
        self._flush()
        noted = {"key": key, "ends": self.ends[self._first :].tolist(), "said": said}
        with atomic_path(self.folder / LATER) as temporary:
            temporary.write_text(json.dumps(noted) + "\n")

    def found_later(self, key: str) -> Any | None:
        """Go on with the pairs that an earlier run found with this key, and give what it said of them, else None."""
        path = None if self.folder is None else self.folder / LATER
        if path is None or not path.exists():
            return None
        try:
            noted = json.loads(path.read_text())
            if noted["key"] != key:
                return None
            ends: Int[Tensor, "k 2"] = torch.tensor(noted["ends"], dtype=torch.long).reshape(-1, 2)
            said = noted["said"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s is damaged, and its pairs are looked for anew (%s)", path, error)
            return None
        self._make_room(ends)
        return said

    def _make_room(self, ends: Int[Tensor, "k 2"]) -> None:
        for pair in ends.tolist():
            self._place[pair[0], pair[1]] = len(self._place)
        self.ends, self.room = torch.cat((self.ends, ends)), self.room - len(ends)

    def put_alone(self, frame: int, points: Float16[Tensor, "h w 3"], conf: Float16[Tensor, "h w"]) -> None:
        self._arrays["points_self"][frame], self._arrays["conf_self"][frame] = points.numpy(), conf.numpy()

    def put_pair(self, pair: tuple[int, int], points: Float16[Tensor, "h w 3"], conf: Float16[Tensor, "h w"]) -> None:
        place = self._place[pair]
        self._arrays["points_pair"][place], self._arrays["conf_pair"][place] = points.numpy(), conf.numpy()

    def finish(self, anchors: Sequence[int]) -> None:
        """Note that everything of these anchors is there."""
        self._flush()
        self.done[list(anchors)] = True
        if isinstance(self.done, np.memmap):
            self.done.flush()

    def _flush(self) -> None:
        """Before something is noted: a power failure must not leave a note without its points."""
        for array in self._arrays.values():
            if isinstance(array, np.memmap):
                array.flush()

    def _tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self._arrays[name])

    def _open(self, folder: Path, digest: str, shapes: dict[str, tuple[int, ...]]) -> bool:
        """Go on with what lies there; False if that is nothing, or something else."""
        try:
            if json.loads((folder / RECORD).read_text())["key"] != digest:
                logger.info("%s holds predictions of other frames or settings, which are made anew", folder)
                return False
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in shapes}
            self.done = np.load(folder / DONE, mmap_mode="r+")
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            logger.warning("the predictions in %s are damaged and are made anew (%s)", folder, error)
            return False
        if any(arrays[name].shape != shape or arrays[name].dtype != np.float16 for name, shape in shapes.items()):
            logger.warning("the predictions in %s are damaged and are made anew (an array has another shape)", folder)
            return False
        self._arrays = arrays
        logger.info("%d of %d frames are predicted already", int(self.done.sum()), len(self.done))
        return True

    def _make(self, folder: Path, digest: str, shapes: dict[str, tuple[int, ...]]) -> None:
        remove_predictions(folder)
        if folder.exists():
            foreign = min(path.name for path in folder.iterdir())
            raise ValueError(f"{folder} is not a folder of predictions, it holds {foreign}; name another place")
        folder.mkdir(parents=True)
        try:
            self._arrays = {name: _reserve(folder / f"{name}.npy", np.float16, shape) for name, shape in shapes.items()}
            self.done = _reserve(folder / DONE, np.bool_, (shapes["conf_self"][0],))
        except OSError as error:
            remove_predictions(folder)
            if is_disk_full(error, folder.parent):
                raise DiskFullError(folder.parent) from error
            raise
        with atomic_path(folder / RECORD) as temporary:  # last: without it nothing counts
            temporary.write_text(json.dumps({"key": digest}) + "\n")


@dataclass(frozen=True)
class _Stored(Predictions):
    """Predictions that lie in a store, where later pairs find room."""

    store: PredictionStore

    def with_pairs(
        self, ends: Int[Tensor, "k 2"], points: Float[Tensor, "k h w 3"], conf: Float[Tensor, "k h w"]
    ) -> Predictions:
        if len(ends) > self.store.room or len(self.ends) != len(self.store.ends):
            return super().with_pairs(ends, points, conf)
        self.store.append(ends, points, conf)
        return self.store.predictions(self.images)


def remove_predictions(folder: Path) -> None:
    """Remove the files of a store; the folder, too, unless something else is in it. Open arrays can still be read."""
    for name in (RECORD, LATER, DONE, *(f"{name}.npy" for name in SELF + PAIR)):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _reserve(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """A memory-mapped array whose room is taken now: where a disk is full later, writing to memory would be fatal."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate") and array.size:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array
