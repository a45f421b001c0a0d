"""Which entry of a file belongs to which frame: by the name of its picture, else by time, else by number.

Decided once for a stream:

    name    an entry has the name of a picture of the source, folders and suffix aside
    time    both have time stamps: the nearest entry within half a frame
    number  as many entries as the source has frames, or as were chosen of it; or time stamps that are frame numbers, as
            we write them for photos

A video's frames are called "kitchen.mp4#000012"; entries may be called so, too.
"""

import logging
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath

import numpy as np

from cut3r.io.frame import Frame

logger = logging.getLogger(__name__)

CLOCK_S = 1e8  # a stamp above it is a date (seconds since 1970), not a time in a video
ALONE_S = 0.02  # how far from a stamp the only frame may be
TIME_NAME = re.compile(r"\d+\.\d+")  # a picture's name that is a time, as in the TUM data set
NAMED = 5  # frames without an entry that a message names


class By(Enum):
    name = "name"
    time = "time"
    number = "number"


@dataclass(frozen=True)
class Source:
    """What is known of a stream before it is read.

    `files` are its pictures (or the video), `chosen` the number of frames that it will give, `total` that of the whole
    source; None if unknown. `skipped`: so many of the chosen ones are left out at the beginning.
    """

    files: Sequence[Path] = ()
    chosen: int | None = None
    total: int | None = None
    skipped: int = 0


class Matcher:
    """Finds the entry of each frame, as the frames come, and counts those that have none.

    Args:
        what: The entries' file, for messages.
        names: The entries' names, None where they have none; their time stamps in seconds likewise.
    """

    def __init__(self, what: str, names: Sequence[str | None], times_s: Sequence[float | None], source: Source) -> None:
        self.what, self.count, self.source = what, len(names), source
        self.without: list[str] = []
        self.frames = 0
        self.by: By | None = None
        self._places = _by_stem(names)
        self._stamps = np.array([math.nan if time_s is None else time_s for time_s in times_s])
        self._clock = 0.0
        self._numbers: dict[int, int] | None = None  # places by numbers of frames, where stamps are such
        self._by_index = False

    def find(self, frame: Frame, number: int, seconds_per_frame: float | None) -> int | None:
        """Give the place of the frame's entry, None if it has none.

        Args:
            number: Of the frame in the stream.
            seconds_per_frame: Between frames of the source; None if unknown.

        Raises:
            ValueError: Neither names nor times nor numbers say which entry it is.
        """
        self.by = self.by or self._decide(frame)
        match self.by:
            case By.name:
                place = self._by_name(frame)
            case By.time:
                place = self._by_time(frame, seconds_per_frame)
            case By.number:
                place = self._by_number(frame, number)
        if place is not None and not 0 <= place < self.count:
            raise self._disagreement()
        self.frames += 1
        if place is None:
            self.without.append(frame.name)
        return place

    def finish(self) -> None:
        """Say how many frames have an entry, and which have none.

        Raises:
            ValueError: None has one; or entries were taken by number, and there are too few frames for them.
        """
        if not self.frames:
            return
        if (
            self.by is By.number
            and not self._by_index
            and self._numbers is None
            and self._number_of_frames != self.count
        ):
            raise self._disagreement()
        if len(self.without) == self.frames:
            raise ValueError(
                f"{self.what} has {self.count} entries, but none for {self._few()}, matched by {self.by_what}"
            )
        matched = self.frames - len(self.without)
        logger.info("%s: matched to %d of %d frames by %s", self.what, matched, self.frames, self.by_what)
        if self.without:
            logger.warning("%s says nothing of %d frames: %s", self.what, len(self.without), self._few())

    @property
    def _number_of_frames(self) -> int:
        return self.frames + self.source.skipped

    @property
    def by_what(self) -> str:
        return "nothing" if self.by is None else self.by.value

    def _few(self) -> str:
        more = len(self.without) - NAMED
        return ", ".join(self.without[:NAMED]) + (f" and {more} more" if more > 0 else "")

    def _decide(self, frame: Frame) -> By:
        if any(_stem(path.name) in self._places for path in self.source.files) or self._by_name(frame) is not None:
            return By.name
        if any(stem.startswith(f"{file.name}#") for file in self.source.files for stem in self._places):
            return By.name
        stamps = self._stamps[np.isfinite(self._stamps)]
        if len(stamps) and time_of(frame) is not None:
            if frame.time_s is not None and stamps.min() > CLOCK_S:
                self._clock = float(stamps.min())
                logger.warning(
                    "the time stamps of %s are dates, those of the video begin with 0: taken as if the first entry was "
                    "at its first frame",
                    self.what,
                )
            return By.time
        if len(stamps) == self.count and (stamps == stamps.round()).all() and stamps.max() < (self.source.chosen or 0):
            self._numbers = {int(stamp): place for place, stamp in enumerate(stamps)}
        elif self.source.total == self.count:  # the index stays right where an unreadable frame is skipped
            self._by_index = True
        elif self.count != self.source.chosen:
            raise self._disagreement()
        return By.number

    def _by_name(self, frame: Frame) -> int | None:
        places = self._places.get(_stem(frame.name), [])
        if len(places) > 1:  # pictures of one name in several folders: the path that has most in common
            path = frame.source or Path(frame.name)
            common = [_common(path.parts[:-1], folders) for _, folders in places]
            places = [place for place, length in zip(places, common, strict=True) if length == max(common)]
        return places[0][0] if len(places) == 1 else None

    def _by_time(self, frame: Frame, seconds_per_frame: float | None) -> int | None:
        time_s = time_of(frame)
        if time_s is None:
            return None
        distance = np.abs(self._stamps - self._clock - time_s)
        nearest = int(np.nanargmin(distance))
        return nearest if distance[nearest] <= (seconds_per_frame / 2 if seconds_per_frame else ALONE_S) else None

    def _by_number(self, frame: Frame, number: int) -> int | None:
        if self._numbers is not None:
            return self._numbers.get(number)
        return frame.index if self._by_index else number

    def _disagreement(self) -> ValueError:
        source = self.source
        known = [f"{count} {word}" for count, word in ((source.total, "in all"), (source.chosen, "chosen")) if count]
        frames = f"{self.frames} or more" if not known else ", ".join(known)
        return ValueError(
            f"{self.what} has {self.count} entries for another number of frames ({frames}), and neither names nor time "
            "stamps say which belong together; give one entry per frame, or entries with the pictures' names"
        )


def with_interval(frames: Iterable[Frame]) -> Iterator[tuple[Frame, float | None]]:
    """Give each frame with the seconds between frames of its source there, None if unknown; reads one ahead."""
    before: Frame | None = None
    interval: float | None = None
    for frame in frames:
        if before is not None:
            interval = _interval(before, frame) or interval
            yield before, interval
        before = frame
    if before is not None:
        yield before, interval


def time_of(frame: Frame) -> float | None:
    """The time stamp of a frame, which may be the name of its picture."""
    if frame.time_s is not None:
        return frame.time_s
    stem = PurePosixPath(frame.name).stem
    return float(stem) if TIME_NAME.fullmatch(stem) else None


def _interval(first: Frame, second: Frame) -> float | None:
    start, end = time_of(first), time_of(second)
    if start is None or end is None or second.index <= first.index:
        return None
    return (end - start) / (second.index - first.index)


def _by_stem(names: Sequence[str | None]) -> dict[str, list[tuple[int, tuple[str, ...]]]]:
    """Places and folders of the entries by name without suffix."""
    places = defaultdict(list)
    for place, name in enumerate(names):
        if name:
            path = PurePosixPath(name.replace("\\", "/"))
            places[_stem(path.name)].append((place, path.parts[:-1]))
    return dict(places)


def _stem(name: str) -> str:
    """Without the suffix of a picture; the digits of a time are none, nor is the number of a video's frame."""
    return re.sub(r"\.[A-Za-z]\w*$", "", name)


def _common(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """How many folders two paths have in common, from the last one on."""
    same = [a == b for a, b in zip(reversed(first), reversed(second), strict=False)]
    return same.index(False) if False in same else len(same)
