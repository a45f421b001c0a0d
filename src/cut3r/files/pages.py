"""Memory that a mapped file takes: pages that were read stay counted as the process's own until they are given back."""

import ctypes
import mmap
import sys
from pathlib import Path

_MAPS = Path("/proc/self/smaps")  # of Linux: "start-end rights offset device inode path", then "Name: number kB" lines


class MappedPages:
    """The places where this process has mapped a file and not written into them.

    Elsewhere than on Linux there are none, and nothing is given back before the mapping ends.
    """

    def __init__(self, path: Path) -> None:
        self._ranges = _ranges(path) if _MAPS.exists() else []

    def release(self) -> None:
        """Give back the pages that were read so far; whoever reads them again gets them from the file."""
        for start, length in self._ranges:
            if _system().madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.MADV_DONTNEED):
                self._ranges = []  # the system keeps them, and can drop them by itself
                return


def _ranges(path: Path) -> list[tuple[int, int]]:
    """Start and length of each place that nobody has written into: what its pages hold is in the file, too."""
    found, place = [], None
    for line in _MAPS.read_text(errors="surrogateescape").splitlines():
        fields = line.split(maxsplit=5)
        if "-" in fields[0]:
            start, end = (int(part, 16) for part in fields[0].split("-"))
            place = (start, end - start) if len(fields) == 6 and fields[5] == str(path.resolve()) else None
        elif place and fields[:2] == ["Anonymous:", "0"]:
            found.append(place)
    return found


def _system() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def give_back_freed() -> None:
    """Give back what has been freed and the C library still holds, between blocks that live on: on Linux with glibc.

    Else a stream that keeps few small things of many large ones seems to grow for ever.
    """
    trim = getattr(_system(), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(ctypes.c_size_t(0))
