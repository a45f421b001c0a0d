"""Many small files in few large ones: plain tar files ("shards"), and one index that says where in them each file lies.

Any program that knows tar reads the shards. The index is mapped into memory, so that a file is one read at a known
place of an open shard, in any order. Names are relative, with "/" between folders, and sorted as bytes: the files of a
folder are neighbours in the index.
"""

import json
import os
import tarfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from cut3r.files.atomic import atomic_path
from cut3r.files.mapped import read_mapped, write_mapped

INDEX = "packed.npz"
FORMAT = 1  # of the index
OPEN_SHARDS = 128  # of a process; the one that was not used for longest is closed for another
_BLOCK = 512  # bytes: tar fills up to whole blocks
_AFTER_SLASH = b"0"  # the byte that follows "/"


@dataclass(frozen=True)
class Packed:
    """Where files lie in a shard: their names, and [offset, size, time of change in ns] of each; and its own bytes."""

    names: list[bytes]
    places: Int64[np.ndarray, "n 3"]
    size: int


class Shards:
    """The files of a packed folder."""

    def __init__(self, folder: Path) -> None:
        """Map the index, and see whether the shards are whole.

        Raises:
            FileNotFoundError: There is no index, or a shard is missing.
            ValueError: The index is damaged or of another format, or a shard is not the one that was packed.
        """
        self.folder = folder
        arrays = {name: np.asarray(array) for name, array in read_mapped(folder / INDEX).items()}
        self.about = _about(folder / INDEX, arrays)
        self._letters, self._ends = arrays["letters"].data, arrays["ends"]
        self._shard, self._places = arrays["shard"], arrays["places"]
        self.shards: list[str] = self.about["shards"]
        for name, size in zip(self.shards, self.about["sizes"], strict=True):
            _check_shard(folder / name, size)
        _opened.cache_clear()  # a shard may have been copied again, and the old one would stay open

    def __len__(self) -> int:
        return len(self._ends)

    def find(self, name: str) -> int | None:
        """Give the number of a file; None if there is none of this name."""
        wanted = os.fsencode(name)
        number = self._first_from(wanted)
        return number if number < len(self) and self._name(number) == wanted else None

    def is_folder(self, name: str) -> bool:
        """Tell whether files lie below this folder; "" is the outermost."""
        prefix = os.fsencode(name) + b"/" if name else b""
        number = self._first_from(prefix)
        return number < len(self) and self._name(number).startswith(prefix)

    def children(self, folder: str) -> Iterator[str]:
        """Name the files and folders in a folder, in the order of their bytes; an absent one holds none."""
        prefix = os.fsencode(folder) + b"/" if folder else b""
        number = self._first_from(prefix)
        while number < len(self) and (name := self._name(number)).startswith(prefix):
            child, slash, _ = name[len(prefix) :].partition(b"/")
            yield os.fsdecode(child)
            number = self._first_from(prefix + child + _AFTER_SLASH) if slash else number + 1

    def size(self, number: int) -> int:
        return int(self._places[number, 1])

    def changed_ns(self, number: int) -> int:
        """The time when the file was last changed, before it was packed."""
        return int(self._places[number, 2])

    def read(self, number: int) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: Its shard is gone.
            ValueError: The shard ends before.
        """
        path = self.folder / self.shards[self._shard[number]]
        offset, size, _ = self._places[number].tolist()
        shard = _opened(str(path), os.getpid())
        parts = []
        while size > 0 and (part := os.pread(shard.descriptor, size, offset)):
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        if size:
            raise ValueError(f"{path} is cut off: {os.fsdecode(self._name(number))} lies behind its end; pack it again")
        return b"".join(parts)

    def _name(self, number: int) -> bytes:
        start = int(self._ends[number - 1]) if number else 0
        return bytes(self._letters[start : int(self._ends[number])])

    def _first_from(self, name: bytes) -> int:
        """Give the number of the first file whose name is not before this one."""
        return bisect_left(range(len(self)), name, key=self._name)


class _Open:
    """A shard that is open for reading, until nobody has it any more."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


@lru_cache(maxsize=OPEN_SHARDS)
def _opened(path: str, process: int) -> _Open:
    """Open a shard. A process that was forked opens its own."""
    return _Open(path)


def _check_shard(path: Path, size: int) -> None:
    try:
        found = path.stat().st_size
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing; copy it, too, or pack again") from error
    if found != size:
        raise ValueError(f"{path} has {found:,} bytes and was packed with {size:,}; copy it again, or pack again")


def _about(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    try:
        about = dict(json.loads(bytes(arrays["about"])))
        whole = len(arrays["ends"]) == len(arrays["shard"]) == len(arrays["places"])
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is no index of packed files; pack again") from error
    if about.get("format") != FORMAT or not whole:
        raise ValueError(f"{path} has format {about.get('format')}; expected {FORMAT}; pack again with this version")
    return about


def read_about(folder: Path) -> dict[str, Any]:
    """Read what the index of a packed folder remembers: "shards" (names), their "sizes", and what its writer added.

    Raises:
        FileNotFoundError: There is no index.
        ValueError: It is damaged or of another format.
    """
    path = folder / INDEX
    return _about(path, {name: np.asarray(array) for name, array in read_mapped(path).items()})


def write_shard(path: Path, root: Path, names: Sequence[str]) -> Packed:
    """Pack files below `root` into a tar file, in this order, atomically; their bytes stay as they are.

    Raises:
        FileNotFoundError: A file is not there (any more).
        OSError: One cannot be read, or gets shorter meanwhile.
    """
    places = np.zeros((len(names), 3), np.int64)
    with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
        for number, name in enumerate(names):
            with (root / name).open("rb") as file:
                state = os.fstat(file.fileno())
                member = tarfile.TarInfo(name)
                member.size, member.mtime = state.st_size, state.st_mtime_ns // 10**9
                archive.addfile(member, file)
            start = archive.offset - padded(state.st_size)
            places[number] = start, state.st_size, state.st_mtime_ns
    return Packed([os.fsencode(name) for name in names], places, path.stat().st_size)


def padded(size: int) -> int:
    """The bytes that a file of this size takes in a shard, without its header."""
    return -(-size // _BLOCK) * _BLOCK


def write_shard_index(folder: Path, shards: Iterable[tuple[str, Packed]], **about: Any) -> None:
    """Write the index of all shards of a folder, atomically. It must be the last thing that is written.

    Args:
        about: What the index is to remember (JSON).
    """
    names: list[bytes] = []
    places, shard_of, sizes = [], [], {}
    for number, (shard, packed) in enumerate(shards):
        names += packed.names
        places.append(packed.places)
        shard_of.append(np.full(len(packed.names), number, np.int32))
        sizes[shard] = packed.size
    order = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
    content = {"format": FORMAT, "shards": list(sizes), "sizes": list(sizes.values()), **about}
    write_mapped(
        folder / INDEX,
        about=np.frombuffer(json.dumps(content).encode(), np.uint8),
        letters=np.frombuffer(b"".join(names[i] for i in order), np.uint8),
        ends=np.cumsum([len(names[i]) for i in order], dtype=np.int64),
        shard=np.concatenate(shard_of)[order],
        places=np.concatenate(places)[order],
    )


def write_packed(path: Path, packed: Packed) -> None:
    """Keep what `write_shard` gave, until the index of all shards is written."""
    letters = np.frombuffer(b"\0".join(packed.names), np.uint8)
    write_mapped(path, letters=letters, places=packed.places, size=np.array([packed.size]))


def read_packed(path: Path) -> Packed:
    """Read what `write_packed` wrote.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged.
    """
    arrays = read_mapped(path)
    try:
        names = bytes(np.asarray(arrays["letters"])).split(b"\0")
        return Packed(names, np.array(arrays["places"]), int(arrays["size"][0]))
    except KeyError as error:
        raise ValueError(f"{path} lacks {error}; remove it, and it is made again") from error
