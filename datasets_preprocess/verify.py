"""Opens every frame of a processed dataset through the reader that training will use, and compares the files that are
there with those that the records name."""

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cut3r.data.card import Card
from cut3r.data.dataset import MultiViewDataset, NoScenesError
from cut3r.data.datasets import PROCESSED
from cut3r.data.layout import Layout
from cut3r.data.made import read_made
from cut3r.data.processed import ALL, INDEX
from cut3r.data.scene import Scene
from cut3r.data.transforms import principal_window
from cut3r.files.damaged import read_errors
from cut3r.files.packed_path import is_packed
from datasets_preprocess.converter import Converter
from datasets_preprocess.finish import finish
from datasets_preprocess.geometry import SCENES, Proof, prove
from datasets_preprocess.pack import what_is_stale
from datasets_preprocess.runner import Record, read_records, require_rigid

logger = logging.getLogger(__name__)

Opened = tuple[MultiViewDataset, Scene]
Place = tuple[str, str, tuple[tuple[str, Any], ...]]  # kind, scene, and other fields of a path


@dataclass(frozen=True)
class Verification:
    """What was found. `without_depth` are frames that are whole but show no depth, which may be right (an object out of
    sight) or not; `original` says which known faults a folder of the original's converter, or of parity, has."""

    scenes: int
    frames: int
    problems: list[str]
    without_depth: list[str]
    proof: Proof = field(default_factory=lambda: Proof([]))
    original: str | None = None

    def __str__(self) -> str:
        lines = [f"{self.scenes} scenes with {self.frames} frames, {len(self.problems)} problems"]
        lines += [f"  {problem}" for problem in self.problems]
        if self.original is not None:
            lines.append(f"  {self.original}")
        if self.problems:
            lines.append(
                "  repair the raw files and run the converter again: it notices which of them have changed; --again "
                "SCENE converts a scene again in any case"
            )
        if self.without_depth:
            lines.append(
                f"  frames that show no depth at all: {len(self.without_depth)}, first {self.without_depth[0]}"
            )
        if self.proof.scenes:
            lines.append(str(self.proof))
        return "\n".join(lines)


def verify(
    name: str,
    out: Path,
    *,
    workers: int = 1,
    converter: Converter | None = None,
    parity: bool = False,
    compared: int = SCENES,
) -> Verification:
    """Read every frame of every split, compare the files with those that the converter recorded, and frames of some
    scenes with each other.

    Data of the original's converters has no records and is read all the same. With records, what spans scenes is
    written first, if the folder can be written to. A packed folder is also compared with the one that was packed, if
    that is still there.

    Args:
        converter: Of the dataset; None: what spans scenes is not written.
        parity: Read as the original does, with its quirks.
        compared: The number of scenes whose frames are compared with each other.
    """
    records = read_records(out)
    problems = [f"{record.scene}: not converted: {record.reason}" for record in records if record.failed]
    if is_packed(out):
        problems += _is_stale(converter, out)
    elif records and converter is not None:
        problems += _finish(converter, out)
    opened, reasons = _scenes_of(name, out, parity=parity)
    problems += reasons
    without_depth: list[str] = []
    with ThreadPoolExecutor(workers) as pool:
        for found in pool.map(_examine, opened):
            problems += found[0]
            without_depth += found[1]
    own_scenes = [] if PROCESSED[name].single_view else [scene for _, scene in opened]  # there, one scene holds all
    files = opened[0][0].root if opened else out
    problems += compare_files(PROCESSED[name].layout, files, records, own_scenes)
    if not opened:
        problems.append(f"no scene of {name} in {out}")
    proof = prove(opened[0][0], [scene for _, scene in opened], count=compared) if opened else Proof([])
    problems += proof.problems
    frames = sum(len(scene.frames) for _, scene in opened)
    original = faults_of_the_original(PROCESSED[name].card, out) if opened else None
    return Verification(len(opened), frames, problems, without_depth, proof, original)


def faults_of_the_original(card: Card, out: Path) -> str | None:
    """Say what a folder has been made with, unless it was made by our converter as it should be: with the known faults
    of the original, which are what ours do otherwise."""
    made = read_made(out)
    if made is not None and not made.parity:
        return None
    by = "in parity mode" if made is not None else "by the converter of the original (it has no dataset.json)"
    return (
        f"this folder was made {by}, so it may have the known faults of the original, some of which our reader puts "
        f"right; converted by us without parity: {'; '.join(card.differs)}"
    )


def compare_files(layout: Layout, out: Path, records: Iterable[Record], scenes: Iterable[Scene]) -> Iterator[str]:
    """Say which files of the records are missing, which files of theirs no record names, and which scenes of the reader
    have no record. A reader may leave frames and scenes out. Records of older versions name no files."""
    done = [record for record in records if record.done]
    if not done or any("files" not in record.facts for record in done):
        return
    named: dict[Place, set[str]] = {}
    for record in done:
        missing = []
        for place, frames in _places(record):
            named.setdefault(place, set()).update(frames)
            paths = (_find(layout, out, place, frame) for frame in sorted(frames))
            missing += [path for path in paths if not path.is_file()]
        if missing:
            yield f"{record.scene}: {len(missing)} of its files missing, first {missing[0].relative_to(out)}"
    for place, frames in named.items():
        others = sorted(_frames_there(layout, out, place) - frames)
        if others:
            first = _find(layout, out, place, others[0]).relative_to(out)
            yield f"{place[1]}: {len(others)} files that no record names, first {first}; remove them"
    of_records = {scene for _, scene, _ in named}
    for scene in scenes:
        known = not of_records.isdisjoint((scene.path, scene.name))  # a video of a scene has the name of its folder
        if not known and not any(path.startswith(f"{scene.path}/") for path in of_records):
            yield f"{scene.name}: the reader finds this scene, and no record names it; remove it"


def _places(record: Record) -> Iterator[tuple[Place, set[str]]]:
    for kind, scene, fields, frames in record.facts["files"]:
        yield (kind, scene, tuple(fields.items())), set(record.frames if frames is None else frames)


def _find(layout: Layout, out: Path, place: Place, frame: str) -> Path:
    kind, scene, fields = place
    return layout.find(out, kind, scene, frame, **dict(fields))


def _frames_there(layout: Layout, out: Path, place: Place) -> set[str]:
    """List the frames of a kind of file on the disk, if frames are told apart by the last part of the path."""
    kind, scene, fields = place
    if not all("{frame}" in template.rpartition("/")[2] for template in layout.alternatives(kind)):
        return set()
    if any("{frame}" in template.rpartition("/")[0] for template in layout.alternatives(kind)):
        return set()
    others = {_find(layout, out, (other, scene, fields), "") for other in layout.templates if _is_alone(layout, other)}
    found = layout.frames(out, kind, scene, **dict(fields))
    return {frame for frame in found if _find(layout, out, place, frame) not in others}


def _is_alone(layout: Layout, kind: str) -> bool:
    """Whether a scene has one file of this kind, and not one per frame."""
    return not any("{" in template.replace("{scene}", "") for template in layout.alternatives(kind))


def _finish(converter: Converter, out: Path) -> list[str]:
    try:
        finish(converter, out)
    except OSError as error:
        logger.info("%s cannot be written to (%s), so what spans scenes is taken as it is", out, error.strerror)
    except RuntimeError as error:
        return [str(error)]
    return []


def _is_stale(converter: Converter | None, out: Path) -> list[str]:
    try:
        reason = "" if converter is None else what_is_stale(converter, out)
    except (OSError, ValueError) as error:
        reason = str(error)
    return [reason] if reason else []


def _scenes_of(name: str, out: Path, *, parity: bool) -> tuple[list[Opened], list[str]]:
    """Open all splits, with an index that is made anew; that there is nothing at all shows in the counts."""
    with suppress(OSError):  # of a folder that cannot be written to, the old one counts
        (out / INDEX).unlink(missing_ok=True)
    try:
        dataset = PROCESSED[name](out, split=ALL, num_views=1, sizes=[(1, 1)], parity=parity)
    except NoScenesError:
        return [], []
    except read_errors() as error:
        return [], [repr(error)]
    return [(dataset, scene) for scene in dataset.scenes], []


def _examine(opened: Opened) -> tuple[list[str], list[str]]:
    """Read the frames of a scene: problems, and frames without depth."""
    dataset, scene = opened
    found = [_examine_frame(dataset, scene, position) for position in range(len(scene.frames))]
    without_depth = [
        f"{scene.name}/{frame}" for frame, (_, depth) in zip(scene.frames, found, strict=True) if not depth
    ]
    return [problem for problem, _ in found if problem], without_depth


def _examine_frame(dataset: MultiViewDataset, scene: Scene, position: int) -> tuple[str, bool]:
    """Say what is wrong with a frame, if anything is, and whether it shows depth."""
    frame = scene.frames[position]
    try:
        raw = dataset.read(scene, position)
        require_rigid(raw.world_from_cam, frame)
        principal_window(raw.size, raw.intrinsics)
    except read_errors() as error:
        return f"{scene.name}/{frame}: {error!r}", True
    return "", bool((raw.depth != 0).any())
