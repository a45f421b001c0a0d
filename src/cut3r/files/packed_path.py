"""Paths into packed folders (`cut3r.files.shards`): a reader opens `root / "scene/0001.jpg"` as if it were a file.

`open_root` is the only door. What a `PackedPath` can do is what readers of folders need: look, list, open for reading.
Functions that hand a path to a library that opens files by name use `named_file`.
"""

import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOENT, EROFS
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cut3r.files.shards import INDEX, Shards

UNFINISHED = ".packing"  # the folder that holds what a packing needs to go on
_READ_MODES = ("r", "rb", "br", "rt", "tr")
_mounted: dict[str, Shards] = {}  # by the folder, as posix


class PackedFile(io.BytesIO):
    """The content of a packed file, with what else an open file has."""

    mode = "rb"

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


class PackedPath(type(Path())):  # type: ignore[misc]
    """A path below a packed folder, of a file in its shards. It remembers nothing, so that all paths that are made from
    it are of its kind, in this process or another."""

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        shards, name = _locate(self)
        number = shards.find(name) if name else None
        if number is None and name and not shards.is_folder(name):
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), str(self))
        kind, size, changed = stat.S_IFDIR | 0o555, 0, 0
        if number is not None:
            kind, size, changed = stat.S_IFREG | 0o444, shards.size(number), shards.changed_ns(number)
        seconds = changed // 10**9
        return os.stat_result((kind, 0, 0, 1, 0, 0, size, *3 * (seconds,)), {"st_mtime_ns": changed})

    def lstat(self) -> os.stat_result:
        return self.stat()

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        return self.is_file() or self.is_dir()

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        shards, name = _locate(self)
        return bool(name) and shards.find(name) is not None

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        shards, name = _locate(self)
        return not name or shards.is_folder(name)

    def is_symlink(self) -> bool:
        return False

    def read_bytes(self) -> bytes:
        shards, name = _locate(self)
        number = shards.find(name) if name else None
        if number is None:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), str(self))
        return shards.read(number)

    def read_text(self, *options: Any, **named: Any) -> str:
        with self.open("r", -1, *options, **named) as file:
            return str(file.read())

    def open(self, mode: str = "r", buffering: int = -1, *options: Any, **named: Any) -> PackedFile | io.TextIOWrapper:
        if mode not in _READ_MODES:
            raise OSError(EROFS, "is in a packed folder, where nothing is written", str(self))
        content = PackedFile(self.read_bytes(), str(self))
        return content if "b" in mode else io.TextIOWrapper(content, *options, **named)

    def iterdir(self) -> Iterator["PackedPath"]:
        return (self / name for name in names_in(self))

    def glob(self, pattern: str, **options: Any) -> Iterator["PackedPath"]:
        parts = pattern.split("/")
        if "**" in parts:
            raise ValueError(f"'{pattern}' looks into all depths, which packed folders cannot; name the depth")
        found: list[PackedPath] = [self]
        for part in parts:
            found = [folder / name for folder in found for name in _matching(folder, part)]
        return iter(found)


def open_root(folder: Path) -> Path:
    """Give the path through which the files of a folder are read: the folder, or, if it is packed, a way into it.

    Raises:
        FileNotFoundError: A shard is missing.
        ValueError: It is packed, and its index or a shard is damaged, or packing was interrupted.
    """
    if isinstance(folder, PackedPath):
        return folder
    if is_packed(folder):
        _mounted[folder.as_posix()] = Shards(folder)
        return PackedPath(folder)
    if (folder / UNFINISHED).is_dir():
        raise ValueError(f"{folder} is not packed completely; go on with the same command: datasets_preprocess pack")
    return folder


def is_packed(folder: Path) -> bool:
    """Tell whether a folder on the disk holds packed files."""
    return isinstance(folder, PackedPath) or (folder / INDEX).is_file()


def require_plain(folder: Path) -> None:
    """Raises ValueError if a folder is packed, for those who would write files into it."""
    if is_packed(folder):
        raise ValueError(f"{folder} is packed, and nothing is written there; write into another folder, then pack it")


def as_path(path: str | os.PathLike[str]) -> Path:
    """Make a path of what a caller gives; what is one stays of its kind."""
    return path if isinstance(path, Path) else Path(path)


def on_disk(path: Path) -> Path:
    """Give a path on the disk itself, beside the shards of a packed folder."""
    return Path(os.fspath(path))


def names_in(folder: Path) -> list[str]:
    """Name the files and folders in a folder, in any order.

    Raises:
        FileNotFoundError: No such folder.
    """
    if not isinstance(folder, PackedPath):
        return os.listdir(folder)
    shards, name = _locate(folder)
    if name and not shards.is_folder(name):
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT), str(folder))
    return list(shards.children(name))


@contextmanager
def named_file(path: Path) -> Iterator[Path]:
    """Give a file on the disk for libraries that open files by name: a packed one is copied for as long as needed."""
    if not isinstance(path, PackedPath):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="cut3r-") as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(path.read_bytes())
        yield copy


def _locate(path: Path) -> tuple[Shards, str]:
    """Give the packed folder that a path leads into, and the name in it."""
    whole = path.as_posix()
    root = whole
    while root not in _mounted and root:
        root = root.rpartition("/")[0]
    if not root:  # another process has made the path
        root = next((each.as_posix() for each in (path, *path.parents) if (on_disk(each) / INDEX).is_file()), "")
        if not root:
            raise FileNotFoundError(ENOENT, f"there is no {INDEX} above it (any more)", str(path))
        _mounted[root] = Shards(Path(root))
    return _mounted[root], whole[len(root) :].lstrip("/")


def _matching(folder: PackedPath, part: str) -> list[str]:
    if any(letter in part for letter in "*?["):
        shards, name = _locate(folder)
        return [child for child in shards.children(name) if fnmatchcase(child, part)]
    return [part] if (folder / part).exists() else []
