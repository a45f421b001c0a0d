"""What a converter module fills in: which scenes there are, and how one of them is converted."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cut3r.data.processed import ProcessedDataset
from cut3r.geometry.poses import is_rigid
from cut3r.jobs.record import Record
from datasets_preprocess.writer import Writer


@dataclass(frozen=True)
class RawScene:
    """A unit of work. `name` is unique and serves as a path; `frames` and `facts` are whatever `scenes` found out."""

    name: str
    frames: tuple[Any, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unlisted:
    """A part of the download whose scenes cannot be listed, because a file about them is damaged."""

    name: str
    reason: str


Scenes = Callable[[Path], Iterable[RawScene | Unlisted]]
Sources = Callable[[Path, RawScene], Iterable[Path]]
Convert = Callable[[Path, RawScene, Writer], Iterable[str]]
Finish = Callable[[Path, list[Record]], None]


def nothing_spans_scenes(out: Path, records: list[Record]) -> None:
    """The `finish` of a dataset without files about several scenes."""


def own_folder(raw: Path, scene: RawScene) -> list[Path]:
    """The `sources` of a scene that is made from RAW/<name>."""
    return [raw / scene.name]


@dataclass(frozen=True)
class Converter:
    """What a converter module fills in.

    `scenes(raw)` lists the scenes below the folder of the download. `convert(raw, scene, writer)` writes the files of
    one scene and returns the names of its frames; LeftOut(reason) says that the scene is left out on purpose, any
    other error fails this scene alone. `finish(out, records)` writes what spans scenes, from the records of all that
    are done, in all shards. `sources(raw, scene)` names the files and folders that a scene is made from: it is done
    again when they change. A new `version` says that the output has changed: finished scenes are then done again.
    `options` is a dataclass of what a user may set: whole and real numbers, texts, paths, switches, enumerations, and
    tuples of these.
    """

    reader: type[ProcessedDataset]  # whose layout is written
    version: int
    scenes: Scenes
    convert: Convert
    finish: Finish = nothing_spans_scenes
    sources: Sources = own_folder
    options: type | None = None

    @property
    def name(self) -> str:
        return self.reader.card.slug

    @property
    def about(self) -> str:
        card = self.reader.card
        return f"{card.title}: {card.about}. {card.url}"

    @property
    def spans_scenes(self) -> bool:
        """Whether `finish` does anything."""
        return self.finish is not nothing_spans_scenes


def require_rigid(world_from_cam: np.ndarray, what: str) -> None:
    """Raise ValueError unless the pose is a rotation (orthonormal within 1e-3, not a reflection) and a translation."""
    if not is_rigid(torch.from_numpy(world_from_cam)):
        raise ValueError(f"{what}: its pose is no rigid motion; check the convention of the file")
