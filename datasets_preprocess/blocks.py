"""Datasets that are one large folder of pictures: blocks of them are what is converted at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from cut3r.files.listing import visible
from datasets_preprocess.runner import RawScene

BLOCK = 200  # pictures: a minute or so of work


def blocks(frames: Sequence[str]) -> Iterator[RawScene]:
    """Divide frames, in order, into scenes for the runner."""
    for start in range(0, len(frames), BLOCK):
        yield RawScene(f"block_{start // BLOCK:04d}", tuple(frames[start : start + BLOCK]))


def stems(folder: Path, *, prefix: str = "") -> set[str]:
    """Name the files in a folder, without the prefix and without what follows the first point."""
    names = (path.name.partition(".")[0] for path in visible(folder, f"{prefix}*"))
    return {name.removeprefix(prefix) for name in names}
