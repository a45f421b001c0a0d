"""Runs a converter over the scenes of a dataset: sharded, in several processes, resumable, with a report.

A converter is a module with two functions and a few facts (`Converter`). Each scene gets one status record, written
last: `OUT/.status/<scene>.json`. A scene with a record is not touched again, unless its raw files have changed since;
one that was interrupted has none and is done again. All files are written atomically, so an interrupted file is either
whole or absent.
"""

import json
import logging
import os
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from cut3r.data.layout import Layout, write_json, write_npz, write_png16
from cut3r.data.processed import ProcessedDataset
from cut3r.files.atomic import atomic_path
from cut3r.files.damaged import read_errors
from cut3r.files.listing import visible
from cut3r.geometry.poses import is_rigid
from cut3r.io.depth import write_depth
from cut3r.io.frames import fingerprint
from cut3r.io.images import write_image

logger = logging.getLogger(__name__)

STATUS = ".status"
JPEG_QUALITY = 75  # Pillow's default, as the original's files


@dataclass(frozen=True)
class RawScene:
    """A unit of work. `name` is unique and serves as a path; `frames` and `facts` are whatever `scenes` found out."""

    name: str
    frames: tuple[Any, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class LeftOut(Exception):
    """Raised by `convert`: this scene is left out on purpose, for the reason that is the message."""


@dataclass(frozen=True)
class Unlisted:
    """A part of the download whose scenes cannot be listed, because a file about them is damaged."""

    name: str
    reason: str


@dataclass(frozen=True)
class Writer:
    """Writes processed files, each atomically, to the places that the layout names."""

    out: Path
    layout: Layout
    parity: bool = False  # with the quirks of the original converter
    options: Any = None  # an instance of the converter's dataclass of options
    left_out: dict[str, str] = field(default_factory=dict)  # frame -> reason, of the scene at hand

    def path(self, kind: str, scene: str, frame: str = "", **fields: Any) -> Path:
        return self.layout.path(self.out, kind, scene, frame, **fields)

    def leave_out(self, frame: str, reason: str) -> None:
        """Record that a frame is not converted, and why; the rest of its scene is."""
        self.left_out[frame] = reason

    def image(self, kind: str, scene: str, frame: str, rgb: np.ndarray, *, quality: int = JPEG_QUALITY) -> None:
        """Write a picture as JPEG or PNG, as the layout says."""
        write_image(self.path(kind, scene, frame), rgb, quality=quality)

    def depth(self, kind: str, scene: str, frame: str, metres: np.ndarray) -> None:
        """Write a depth map in the format that the layout's suffix names: .npy, .png (millimetres), .exr, .npz."""
        write_depth(self.path(kind, scene, frame), np.asarray(metres, np.float32))

    def npy(self, kind: str, scene: str, frame: str, values: np.ndarray) -> None:
        with atomic_path(self.path(kind, scene, frame)) as temporary:
            np.save(temporary, values, allow_pickle=False)

    def json(self, kind: str, scene: str, content: Any) -> None:
        write_json(self.path(kind, scene), content)

    def png8(self, kind: str, scene: str, frame: str, values: np.ndarray) -> None:
        with atomic_path(self.path(kind, scene, frame)) as temporary:
            Image.fromarray(values).save(temporary)

    def png16(self, kind: str, scene: str, frame: str, values: np.ndarray) -> None:
        write_png16(self.path(kind, scene, frame), values)

    def npz(self, kind: str, scene: str, frame: str = "", **arrays: Any) -> None:
        write_npz(self.path(kind, scene, frame), **arrays)

    def copy(self, kind: str, scene: str, frame: str, source: Path) -> None:
        with atomic_path(self.path(kind, scene, frame)) as temporary:
            shutil.copyfile(source, temporary)


@dataclass(frozen=True)
class Record:
    """How the conversion of a scene ended; `reason` says why if it failed. `raw` is the fingerprint of what it was made
    from, empty in records of older versions."""

    scene: str
    done: bool
    frames: tuple[str, ...]
    reason: str
    seconds: float
    version: int
    parity: bool
    raw: str = ""


Scenes = Callable[[Path], Iterable[RawScene | Unlisted]]
Sources = Callable[[Path, RawScene], Iterable[Path]]
Convert = Callable[[Path, RawScene, Writer], Iterable[str]]
Finish = Callable[[Path, list[Record]], None]


def _nothing_spans_scenes(out: Path, records: list[Record]) -> None:
    pass


def _own_folder(raw: Path, scene: RawScene) -> list[Path]:
    return [raw / scene.name]


@dataclass(frozen=True)
class Converter:
    """What a converter module fills in.

    `scenes(raw)` lists the scenes below the folder of the download. `convert(raw, scene, writer)` writes the files of
    one scene and returns the names of its frames; any error fails this scene alone. `finish(out, records)` writes what
    spans scenes, from the records of all that are done, in all shards. `sources(raw, scene)` names the files and
    folders that a scene is made from: it is done again when they change. A new `version` says that the output has
    changed: finished scenes are then done again. `options` is a dataclass of what a user may set.
    """

    reader: type[ProcessedDataset]  # whose layout is written
    version: int
    scenes: Scenes
    convert: Convert
    finish: Finish = _nothing_spans_scenes
    sources: Sources = _own_folder
    options: type | None = None

    @property
    def name(self) -> str:
        return self.reader.card.slug

    @property
    def about(self) -> str:
        card = self.reader.card
        return f"{card.title}: {card.about}. {card.url}"


@dataclass(frozen=True)
class Shard:
    """Number `number` of `count`, from 1: every `count`-th scene."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"there is no shard {self.number}/{self.count}; the first of eight is 1/8, the last 8/8")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        number, _, count = text.partition("/")
        if not (number.isdigit() and count.isdigit()):
            raise ValueError(f"'{text}' is not a shard; write 3/8 for the third of eight")
        return cls(int(number), int(count))


@dataclass(frozen=True)
class Report:
    """What a run found and did; `failures` are all that this shard has, older ones included."""

    total: int
    skipped: int  # done by an earlier run
    converted: int
    failures: list[Record]
    unlisted: list[Unlisted]

    @property
    def complete(self) -> bool:
        return not (self.failures or self.unlisted)

    def __str__(self) -> str:
        head = (
            f"{self.total} scenes: {self.converted} converted now, {self.skipped} already done, "
            f"{len(self.failures)} failed"
        )
        lines = [f"  {record.scene}: {record.reason}" for record in self.failures]
        lines += ["  repaired raw files are noticed; --retry-failed tries all of these again"] if lines else []
        lines += [f"  the scenes of {part.name} are not converted: {part.reason}" for part in self.unlisted]
        return "\n".join([head, *lines])


def run(
    converter: Converter,
    raw: Path,
    out: Path,
    *,
    shard: Shard = Shard(),
    workers: int = 1,
    retry_failed: bool = False,
    again: Iterable[str] = (),
    parity: bool = False,
    options: Any = None,
) -> Report:
    """Convert the scenes of a shard that have no record yet, or whose raw files have changed since.

    Args:
        again: Scenes to convert in any case, by the end of their names.
        options: An instance of the converter's `options`; None takes the defaults.

    Raises:
        FileNotFoundError: There is no raw folder, or no scene in it.
        ValueError: There is no such scene to convert again.
        RuntimeError: A worker process died; finished scenes are recorded, and the same call goes on with the rest.
    """
    if not raw.is_dir():
        raise FileNotFoundError(f"there is no folder {raw}; download {converter.name} first and pass it as --raw")
    listed = list(converter.scenes(raw))
    if not listed:
        raise FileNotFoundError(f"no {converter.name} scene in {raw}; datasets_preprocess/README.md shows its layout")
    unlisted = [part for part in listed if isinstance(part, Unlisted)]
    found = sorted((scene for scene in listed if isinstance(scene, RawScene)), key=lambda scene: scene.name)
    named = _named(found, again)
    mine = found[shard.number - 1 :: shard.count]
    before = {record.scene: record for record in read_records(out) if _is_current(record, converter, parity)}
    changed = {scene.name for scene in mine if _has_changed(before.get(scene.name), converter, raw, scene)}
    todo = [scene for scene in mine if scene.name in changed | named or _is_due(before.get(scene.name), retry_failed)]
    logger.info("%s: %d scenes, %d to convert", converter.name, len(mine), len(todo))
    if changed:
        logger.info("%d of them again, because their raw files have changed: %s", len(changed), min(changed))
    now = [
        record.done
        for record in _progress(_convert_all(converter, raw, out, todo, workers, parity, options), len(todo))
    ]
    records = [record for record in read_records(out) if _is_current(record, converter, parity)]
    converter.finish(out, [record for record in records if record.done])
    names = {scene.name for scene in mine}
    failures = [record for record in records if not record.done and record.scene in names]
    skipped = len(mine) - len(todo) - (len(failures) - now.count(False))
    return Report(len(mine), skipped, now.count(True), failures, unlisted)


def read_records(out: Path) -> list[Record]:
    """Read the status records of a processed folder, of all shards, sorted by scene."""
    paths = sorted(path for path in (out / STATUS).rglob("*.json") if not path.name.startswith("."))
    contents = (json.loads(path.read_text()) for path in paths)
    records = [Record(**{**content, "frames": tuple(content["frames"])}) for content in contents]
    return sorted(records, key=lambda record: record.scene)


def _convert_all(
    converter: Converter, raw: Path, out: Path, todo: list[RawScene], workers: int, parity: bool, options: Any
) -> Iterator[Record]:
    writer = Writer(
        out, converter.reader.layout, parity, options or (converter.options() if converter.options else None)
    )
    if workers <= 1:
        for scene in todo:
            yield _convert_one(converter, raw, scene, writer)
        return
    # Spawned, not forked: a fork copies the locks of OpenCV's and torch's threads.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_die_with_parent) as pool:
        work = partial(_convert_one, converter, raw)
        futures = [pool.submit(work, scene, writer) for scene in todo]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker process was killed, perhaps for memory; run the same command again to go on, "
                "with fewer --workers"
            ) from error


def _convert_one(converter: Converter, raw: Path, scene: RawScene, writer: Writer) -> Record:
    start = time.monotonic()
    made_from = _made_from(converter, raw, scene)
    frames: tuple[str, ...] = ()
    reason = ""
    try:
        frames = tuple(converter.convert(raw, scene, writer))
    except Exception as error:  # whatever it is, it must not stop the other thousand scenes; the record keeps it
        reason = "".join(traceback.format_exception_only(error)).strip()
        known = isinstance(error, read_errors())  # the sentence says it all; anything else may be a fault of ours
        logger.warning("%s failed: %s", scene.name, reason, exc_info=None if known else error)
    seconds = round(time.monotonic() - start, 3)
    record = Record(scene.name, not reason, frames, reason, seconds, converter.version, writer.parity, made_from)
    write_json(writer.out / STATUS / f"{scene.name}.json", asdict(record))
    return record


def require_rigid(world_from_cam: np.ndarray, what: str) -> None:
    """Raise ValueError unless the pose is a rotation (orthonormal within 1e-3, not a reflection) and a translation."""
    if not is_rigid(torch.from_numpy(world_from_cam)):
        raise ValueError(f"{what}: its pose is no rigid motion; check the convention of the file")


def _made_from(converter: Converter, raw: Path, scene: RawScene) -> str:
    """Fingerprint the files of a scene, and those in its folders."""
    sources = converter.sources(raw, scene)
    listed = [[each for each in visible(path, "**/*") if each.is_file()] or [path] for path in sources]
    return fingerprint([path for paths in listed for path in paths])


def _named(scenes: list[RawScene], again: Iterable[str]) -> set[str]:
    names: set[str] = set()
    for wanted in again:
        matching = {scene.name for scene in scenes if f"/{scene.name}".endswith(f"/{wanted}")}
        if not matching:
            raise ValueError(
                f"there is no scene {wanted} to convert again; the first of {len(scenes)} is {scenes[0].name}"
            )
        names |= matching
    return names


def _has_changed(record: Record | None, converter: Converter, raw: Path, scene: RawScene) -> bool:
    return record is not None and record.raw not in ("", _made_from(converter, raw, scene))


def _progress(records: Iterator[Record], total: int) -> Iterator[Record]:
    start = time.monotonic()
    for count, record in enumerate(records, 1):
        left = (time.monotonic() - start) / count * (total - count)
        state = "done" if record.done else "FAILED"
        logger.info("%d/%d %s %s, about %.0f s left", count, total, record.scene, state, left)
        yield record


def _is_current(record: Record, converter: Converter, parity: bool) -> bool:
    return record.version == converter.version and record.parity == parity


def _is_due(record: Record | None, retry_failed: bool) -> bool:
    return record is None or (retry_failed and not record.done)


def _die_with_parent() -> None:
    """End this worker when the runner is killed; it would wait for work for ever."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
