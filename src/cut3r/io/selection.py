"""Which frames of a source are used, and in which order.

The order of selection is fixed: `start` and `end` cut out a range of the source, `every` thins it by count, `fps` by
time, `max_frames` spreads its choice evenly over what is left. Indices count from 0 in the source before any selection.
"""

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cut3r.io.images import WHITE
from cut3r.io.panorama import check_views

logger = logging.getLogger(__name__)

# Containers round time stamps to milliseconds: frame 1 of 30 per second may say 0.033 instead of 0.0333...
TIME_TOLERANCE_S = 0.001


class SortOrder(Enum):
    natural = "natural"  # runs of digits compare as numbers: frame_2 before frame_10
    name = "name"  # plain string comparison: frame_10 before frame_2
    mtime = "mtime"  # oldest modification time first


@dataclass
class FrameOptions:
    """What `open_frames` takes from a source, and how it decodes pictures."""

    sort: SortOrder = SortOrder.natural  # of folders and glob patterns; lists keep their own order
    start: int = 0  # first source index
    end: int | None = None  # source index to stop before
    every: int = 1  # of those, every n-th
    fps: float | None = (
        None  # of those, the first frame at or after each multiple of 1/fps seconds since the first of them
    )
    max_frames: int | None = None  # of those, so many spread evenly; the first so many of a live source
    panorama: int | None = None  # pictures are equirectangular, and each is cut into so many pinhole views
    topic: str | None = None  # of a recording with several streams of pictures: which one
    skip_bad: bool = False  # log and count unreadable frames instead of stopping
    background: tuple[int, int, int] = WHITE  # rgb, 0 to 255, under transparent pixels
    parity: bool = False  # as the original: sorted by name, its extensions only, alpha dropped, 16-bit grey clipped

    def __post_init__(self) -> None:
        if self.parity:
            self.sort = SortOrder.name
        if self.start < 0:
            raise ValueError(f"start is {self.start}, expected 0 or more; count from the beginning of the source")
        if self.end is not None and self.end <= self.start:
            raise ValueError(
                f"end is {self.end} and start is {self.start}, which leaves no frame; end must be larger than start"
            )
        if self.every < 1:
            raise ValueError(f"every is {self.every}, expected 1 or more; 1 uses all frames")
        if self.fps is not None and not (self.fps > 0 and math.isfinite(self.fps)):
            raise ValueError(f"fps is {self.fps}, expected a positive number; leave it out to use all frames")
        if self.max_frames is not None and self.max_frames < 1:
            raise ValueError(f"max_frames is {self.max_frames}, expected 1 or more; leave it out to use all frames")
        if self.panorama is not None:
            check_views(self.panorama)
        if len(self.background) != 3 or not all(0 <= value <= 255 for value in self.background):
            raise ValueError(f"background is {self.background}, expected three values (r, g, b) from 0 to 255")


class Selector:
    """Decides frame by frame whether `start`, `end`, `every` and `fps` keep it; call it with increasing indices.

    Indices may jump, as those of a live source do when frames are dropped: then the next frame that comes is taken.
    """

    def __init__(self, options: FrameOptions) -> None:
        self._options = options
        self._next_index = options.start
        self._next_tick = 0  # multiple of 1 / fps
        self._first_time_s: float | None = None

    def keeps(self, index: int, time_s: float | None) -> bool:
        if self.is_past(index) or index < self._next_index:
            return False
        start, every = self._options.start, self._options.every
        self._next_index = start + ((index - start) // every + 1) * every
        return self._options.fps is None or self._is_due(time_s, self._options.fps)

    def is_past(self, index: int) -> bool:
        """Neither this frame nor any later one is kept."""
        return self._options.end is not None and index >= self._options.end

    def _is_due(self, time_s: float | None, fps: float) -> bool:
        assert time_s is not None, "a source without time stamps is refused when it is opened"
        if self._first_time_s is None:
            self._first_time_s = time_s
        ticks = (time_s - self._first_time_s + TIME_TOLERANCE_S) * fps
        if ticks < self._next_tick:
            return False
        self._next_tick = math.floor(ticks) + 1
        return True


def spread(count: int, chosen: int) -> list[int]:
    """Choose positions evenly over `range(count)`, first and last included: round(i (count - 1) / (chosen - 1))."""
    if chosen >= count:
        return list(range(count))
    if chosen == 1:
        return [0]
    return [round(i * (count - 1) / (chosen - 1)) for i in range(chosen)]


def sort_paths(paths: Sequence[Path], order: SortOrder) -> list[Path]:
    """Sort files; a warning says so when natural and plain order differ, because other tools may take the other."""
    if order is SortOrder.mtime:
        return sorted(paths, key=lambda path: (path.stat().st_mtime_ns, natural_key(path.as_posix())))
    by_name = sorted(paths, key=str)
    natural = sorted(paths, key=lambda path: natural_key(path.as_posix()))
    if by_name != natural:
        logger.warning(
            "natural order (2 before 10) and plain name order (10 before 2) differ for these %d files; using %s order, "
            "choose with --sort natural|name|mtime",
            len(paths),
            order.value,
        )
    return natural if order is SortOrder.natural else by_name


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key under which runs of digits compare as numbers and case does not matter; ties by plain comparison."""
    parts: list[str | int] = list(re.split(r"(\d+)", name.casefold()))  # text and digits alternate, text first
    parts[1::2] = [int(part) for part in parts[1::2]]
    return parts, name
