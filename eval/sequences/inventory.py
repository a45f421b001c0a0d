"""What of an evaluation set lies on the disk, and what is missing.

A set is scored whole: a mean over some of its sequences is another number. So a reader says for each sequence what it
expected, and `gather` refuses a set that lacks anything, unless it was asked to take what is there.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.sequences.sequence import DepthFiles, MissingDataError, Sequence

logger = logging.getLogger(__name__)

LISTED = 10  # missing items that a message names


@dataclass(frozen=True)
class Request:
    """What is asked of a reader.

    Attributes:
        frames: Length of a long variant; None for the set as published.
        parity: Read with the quirks of the reference.
        complete: Refuse a set that lacks sequences or frames. False for miniatures: what is there is used.
    """

    frames: int | None = None
    parity: bool = False
    complete: bool = True


@dataclass(frozen=True)
class Found:
    """One sequence as it lies on the disk; None if nothing of it can be used. `missing` names what is not there."""

    sequence: Sequence | None
    missing: tuple[str, ...] = ()


def gather(
    names: Iterable[str], find: Callable[[str], Found], *, folder: Path, root: Path, advice: str, request: Request
) -> list[Sequence]:
    """Find the sequences of a set, in this order.

    Args:
        folder: Where the set lies; the names of missing items are relative to it.
        root: What the user calls the data root.
        advice: Where to get the set; {root} and {length}, the flag for a long variant, are filled in.

    Raises:
        MissingDataError: Something is missing and the request is for a complete set, or nothing is there at all.
    """
    found = [find(name) for name in names]
    sequences = [each.sequence for each in found if each.sequence is not None]
    missing = [item for each in found for item in each.missing]
    if not missing:
        return sequences
    what = f"{folder} is not complete, {len(missing)} missing: {_shorten(missing)}"
    if sequences and not request.complete:
        logger.warning("%s; the %d sequences that are there are used (complete: false)", what, len(sequences))
        return sequences
    remedy = advice.format(root=root, length="" if request.frames is None else f" --frames {request.frames}")
    if request.parity and "eval.prepare" in remedy:
        remedy += " --parity"
    escape = "; to score what is there, set complete: false" if sequences else ""
    raise MissingDataError(f"{what}; {remedy}{escape}")


def list_files(folder: Path, suffix: str) -> list[Path]:
    """List the files with this ending, sorted by name; none if there is no such folder. Hidden files are left out."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.endswith(suffix) and not path.name.startswith("."))


def number_in_name(path: Path, prefix: str = "") -> float:
    """Read the time stamp or number that a file is named by, after a prefix.

    Raises:
        ValueError: It is named by something else.
    """
    try:
        return float(path.stem.removeprefix(prefix))
    except ValueError as error:
        raise ValueError(
            f"{path} is not named by a number; expected {prefix}NUMBER{path.suffix}; move it elsewhere"
        ) from error


def pair(
    images: list[Path], truths: list[Path], *, by_order: bool = False
) -> tuple[list[tuple[Path, Path]], tuple[str, ...]]:
    """Pair pictures with their truth by name; give the pairs in the order of the names, and the names of the rest.

    Args:
        by_order: Pair the first with the first and so on, whatever their names; the rest is what is left over.
    """
    if by_order:
        pairs = list(zip(images, truths, strict=False))
        rest = [*images[len(pairs) :], *truths[len(pairs) :]]
    else:
        truth_of = {path.stem: path for path in truths}
        pairs = [(image, truth_of[image.stem]) for image in images if image.stem in truth_of]
        paired = {image.stem for image, _ in pairs}
        rest = [path for path in (*images, *truths) if path.stem not in paired]
    return pairs, tuple(f"the partner of {path.parent.parent.name}/{path.parent.name}/{path.name}" for path in rest)


def shortage(name: str, count: int, expected: int, most: int | None = None) -> tuple[str, ...]:
    """Say that a sequence has not the expected number of frames: `expected`, or up to `most` if that is given."""
    if expected <= count <= (expected if most is None else most):
        return ()
    return (f"{name} ({count} of {expected} frames)",)


def depth_reader(paths: Iterable[Path], read: Callable[[Path], np.ndarray]) -> DepthFiles:
    """Read the depth of frame i from path i, when asked."""
    return DepthFiles(tuple(paths), read)


def _shorten(items: list[str]) -> str:
    more = [f"and {len(items) - LISTED} more"] if len(items) > LISTED else []
    return ", ".join([*items[:LISTED], *more])
