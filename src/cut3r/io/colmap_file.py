"""What COLMAP's files have in common: little-endian numbers one after the other, or lines of text."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def is_binary(path: Path) -> bool:
    """Tell by the number of entries, which comes first, in 8 bytes: that of a real model has zeros in it."""
    with path.open("rb") as file:
        return b"\0" in file.read(8)


class ByteReader:
    """A binary file, read from its beginning; one that ends too early is refused."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.at = path, path.read_bytes(), 0

    def take(self, layout: str) -> tuple:
        start = self.skip(struct.calcsize(layout))
        return struct.unpack_from(layout, self.data, start)

    def word(self) -> str:
        end = self.data.find(b"\0", self.at)
        start = self.skip((end if end >= 0 else len(self.data)) - self.at + 1)
        return self.data[start:end].decode(errors="surrogateescape")

    def skip(self, count: int) -> int:
        """Go on by so many bytes; give where they begin."""
        start = self.at
        self.at += count
        if self.at > len(self.data):
            raise ValueError(
                f"{self.path} is no COLMAP file, or broken off at its {len(self.data)} bytes; copy it again"
            )
        return start


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Give the lines that are no comments, with their numbers, empty ones included.

    Raises:
        ValueError: The file is no text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # splitlines breaks names that hold odd blanks
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is neither a text nor a binary file of COLMAP ({error}); copy it again") from error
    return [(count, text) for count, text in enumerate(lines, start=1) if not text.startswith("#")]


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Let what is wrong begin with where it is."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
