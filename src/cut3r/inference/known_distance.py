"""A distance between two cameras that somebody has measured."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from cut3r.io.frame import Frame


@dataclass(frozen=True)
class KnownDistance:
    """The metres between the centres of two cameras, which are named like their frames."""

    first: str
    second: str
    metres: float

    def __post_init__(self) -> None:
        if not 0 < self.metres < float("inf"):
            raise ValueError(f"a distance of {self.metres} m between cameras says nothing; expected metres above 0")
        if self.first == self.second:
            raise ValueError(f"the distance is from {self.first} to itself; name two frames")

    @classmethod
    def parse(cls, text: str) -> "KnownDistance":
        """Read "IMG_1,IMG_9=1.5".

        Raises:
            ValueError: Something else.
        """
        match = re.fullmatch(r"\s*([^,]+?)\s*,\s*(.+?)\s*=\s*([-+.\deE]+)\s*(?:m\s*)?", text)
        if match is None or not _is_number(match[3]):
            raise ValueError(f"{text!r} is no known distance; expected two frames and metres, as IMG_1,IMG_9=1.5")
        return cls(match[1], match[2], float(match[3]))


def is_called(frame: Frame, name: str) -> bool:
    """Whether a name means this frame: with or without its suffix, or its index in the source."""
    return name in (frame.name, PurePosixPath(frame.name).stem, str(frame.index))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:  # as in "1.5.2"
        return False
    return True
