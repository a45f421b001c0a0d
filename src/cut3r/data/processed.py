"""The base class of the datasets that a converter has written: an index that is made once, and paths by layout."""

import errno
import hashlib
import logging
import os
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64

from cut3r.data.card import Card
from cut3r.data.dataset import MultiViewDataset
from cut3r.data.layout import Layout
from cut3r.data.made import CORNER, read_made
from cut3r.data.scene import Scene
from cut3r.data.scene_index import ChosenScenes, SceneIndex, write_index
from cut3r.files.locks import exclusive
from cut3r.files.packed_path import as_path, names_in, on_disk, open_root

logger = logging.getLogger(__name__)

INDEX = "index.npz"
ALL = "all"  # the split that holds every scene
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
SCENES_KEPT = 8  # whose data stays in memory


class ProcessedDataset(MultiViewDataset):
    """A processed folder, in the layout of the original's converters.

    A child has a `card` and a `layout` and fills in `list_scenes` and `read`; `scene_data` if a file holds what all
    frames of a scene need. Each dataset also has the split "all".

    Parity: scenes are listed anew and in the original's order, not read from the index.
    """

    card: ClassVar[Card]
    layout: ClassVar[Layout]
    unit_m: ClassVar[float | None] = None  # of a dataset that is trained up to scale although its unit is known: metres

    def __init__(self, root: Path, *, split: str | None = None, metric: bool = False, **options: Any) -> None:
        """Open the index, or make it; everything else is as in the base class.

        Args:
            metric: Read a dataset in metres that is trained up to scale, and say that it is metric.

        Raises:
            ValueError: dataset.json is damaged, the folder was made for another dataset, or nobody knows how long the
                unit of the dataset is.
        """
        if metric and not self.metric and self.unit_m is None:
            raise ValueError(f"{self.name} has no known unit, so it cannot be read with metric=True")
        self.in_metres = metric and not self.metric
        self._kept: OrderedDict[str, Any] = OrderedDict()
        root = open_root(as_path(root))
        self.made = read_made(root)
        if self.made is not None and self.made.converter != self.card.slug:
            raise ValueError(f"{root} was made by the converter of {self.made.converter}; expected {self.card.slug}")
        super().__init__(root, split=split, **options)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "card" in cls.__dict__:
            cls.name, cls.metric = cls.card.label, cls.card.metric

    @abstractmethod
    def list_scenes(self) -> Iterable[Scene]:
        """List the scenes of all splits below `self.root`, by looking at the folders."""

    def made_from(self) -> Iterable[Path]:
        """Name the files and folders whose change makes the index out of date."""
        return [self.root]

    def scene_data(self, scene: Scene) -> Any:
        """Read what the frames of a scene share; `data_of` remembers it."""

    def data_of(self, scene: Scene) -> Any:
        """Give `scene_data` of a scene, read once as long as the scene is among the last few."""
        key = scene.path
        if key not in self._kept:
            self._kept[key] = self.scene_data(scene)
            if len(self._kept) > SCENES_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def metric_of(self, scene: Scene) -> bool:
        return self.metric or self.in_metres

    def file(self, kind: str, scene: Scene, position: int | None = None, **fields: Any) -> Path:
        """Give the path of a file of a frame, or of a scene; the scene's facts fill in the template, too."""
        frame = "" if position is None else scene.frames[position]
        return self.layout.find(self.root, kind, scene.path, frame, **{"split": scene.split, **scene.facts, **fields})

    def centred(self, intrinsics: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3 3"]:
        """Move the principal point of a file of the original's converter to where pixel centres are whole numbers."""
        corner = self.made is None or self.made.pixel_centre == CORNER
        if self.parity or not corner or not self.card.corner_shift:
            return intrinsics
        moved = intrinsics.copy()
        moved[:2, 2] += self.card.corner_shift
        return moved

    def index(self) -> Sequence[Scene]:
        """Give the scenes of this split, from the index file if it is up to date."""
        if self.parity:
            return [scene for scene in self.list_scenes() if self._is_wanted(scene)]
        index = open_index(self)
        if not isinstance(index, SceneIndex):
            return [scene for scene in index if self._is_wanted(scene)]
        if self.split in (None, ALL):
            return index
        return ChosenScenes(index, index.of_split(str(self.split)))

    def _is_wanted(self, scene: Scene) -> bool:
        return self.split in (None, ALL) or scene.split == self.split

    def _splits(self) -> tuple[str | None, ...]:
        return (*self.splits, ALL)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": OrderedDict()}


def open_index(dataset: ProcessedDataset) -> Sequence[Scene]:
    """Open the index of a folder, or list its scenes and write the index for the next time.

    One process writes while others wait. A folder that cannot be written to is listed each time.
    """
    folder = on_disk(dataset.root)
    path, fingerprint = folder / INDEX, fingerprint_of(dataset.made_from())
    index = _current(path, fingerprint)
    if index is not None:
        return index
    try:
        with exclusive(folder / f".{INDEX}.lock"):
            index = _current(path, fingerprint)
            if index is None:
                logger.info(
                    "%s: listing the scenes of %s, once; they are kept in %s", dataset.name, dataset.root, INDEX
                )
                write_index(path, dataset.list_scenes(), fingerprint)
                index = SceneIndex(path)
            return index
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        reason = os.strerror(error.errno)
        logger.warning("%s: no index in %s (%s), so scenes are listed each time", dataset.name, dataset.root, reason)
        return list(dataset.list_scenes())


def fingerprint_of(paths: Iterable[Path]) -> str:
    """Hash the names in folders, and the size and time of files; the index is not among what it is made from."""
    digest = hashlib.sha256()
    for path in paths:
        if INDEX in path.parts:  # a reader has taken it for a folder of scenes
            continue
        if path.is_dir():
            names = (name for name in names_in(path) if not name.startswith(".") and name != INDEX)
            digest.update("\0".join(sorted(names)).encode())
        elif path.is_file():
            state = path.stat()
            digest.update(f"{path.name} {state.st_size} {state.st_mtime_ns}".encode())
        digest.update(b"\1")
    return digest.hexdigest()


def _current(path: Path, fingerprint: str) -> SceneIndex | None:
    try:
        index = SceneIndex(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        logger.warning("%s", error)
        return None
    return index if index.made_from == fingerprint else None
