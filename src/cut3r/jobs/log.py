"""Records as lines of JSON: one file per process that runs jobs, and whoever reads joins them.

A record is appended with one write and is on the disk before it counts. The last record of a scene wins.
"""

import gc
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

from cut3r.files.disk import DiskFullError, is_disk_full
from cut3r.jobs.record import Record

logger = logging.getLogger(__name__)

SUFFIX = ".jsonl"
BLOCK = 256  # lines that are decoded together
LINE = 1 << 16  # bytes that are looked at for the end of a line


class RecordLog:
    """The records in a folder: those of other processes as they come, and a file of our own."""

    def __init__(self, folder: Path, name: str, *, since: Mapping[Path, int] | None = None) -> None:
        """Begin behind what the files hold now, or held at an earlier time.

        Args:
            name: Of our file, which no other process may use.
            since: `positions` of before the records were read that decided what is due; what others have written since
                would be missed, and done twice.
        """
        self.path = folder / f"{name}{SUFFIX}"
        self._read = dict(positions(folder) if since is None else since)
        self._arrived: dict[str, Record] = {}

    def append(self, record: Record) -> None:
        """Write a record; it is on the disk when this returns."""
        append_line(self.path, record.to_json())
        self._arrived[record.scene] = replace(record, frames=(), facts={})

    def refresh(self) -> None:
        """Read what other processes have appended since."""
        for path in log_files(self.path.parent):
            with path.open("rb") as file:  # opened each time: network file systems look for news then
                file.seek(self._read.get(path, 0))
                news = file.read()
            whole = news[: news.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            for record in _parsed(path, whole.splitlines(), with_frames=False):
                self._arrived[record.scene] = record

    def arrived(self, scene: str) -> Record | None:
        """Give the record of a scene (without its frames) that has come since the beginning."""
        return self._arrived.get(scene)


def positions(folder: Path) -> dict[Path, int]:
    """Give the size of each file of records, up to its last whole line."""
    return {path: _whole_lines(path) for path in log_files(folder)}


def read_records(folder: Path, *, with_frames: bool = True) -> list[Record]:
    """Read the last record of each scene, sorted by scene. Lines that a crash has cut off do not count.

    Args:
        with_frames: Without, `frames` and `facts` are empty, which takes far less memory for very many scenes.
    """
    return [record for _, record in read_origins(folder, with_frames=with_frames)]


def read_origins(folder: Path, *, with_frames: bool = True) -> list[tuple[Path, Record]]:
    """Read what `read_records` does, each record with the file that it is in."""
    latest: dict[str, tuple[Path, Record]] = {}
    with _collection_paused():
        for path, record in _all_records(folder, with_frames=with_frames):
            before = latest.get(record.scene)
            if before is None or record.finished >= before[1].finished:
                latest[record.scene] = path, record
    return [latest[scene] for scene in sorted(latest)]


def log_files(folder: Path) -> list[Path]:
    """List the files of records in a folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.name.endswith(SUFFIX) and entry.name[0] != ".")


def append_line(path: Path, text: str, *, create: bool = True, sync: bool = True) -> None:
    """Append a line with one write, so that lines of several writers never mix.

    Args:
        sync: Wait until it is on the disk, where no crash of the machine takes it away.

    Raises:
        FileNotFoundError: There is no such file, and none is to be created.
        DiskFullError: There is no room; a part of the line may be there, which does not count.
    """
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | (os.O_CREAT if create else 0), 0o666)
    try:
        _write_all(descriptor, path, f"{text}\n".encode())
        if sync:
            os.fsync(descriptor)
    except OSError as error:
        if is_disk_full(error, path.parent):
            raise DiskFullError(path.parent) from error
        raise
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, path: Path, line: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if size and not _ends_a_line(path):
        line = b"\n" + line  # a crash has cut off the line before
    written = os.write(descriptor, line)
    if written != len(line):  # a disk that is full takes a part
        os.write(descriptor, line[written:])


def _whole_lines(path: Path) -> int:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = size
        while start > 0:
            start = max(0, start - LINE)
            file.seek(start)
            end = file.read(min(LINE, size - start)).rfind(b"\n")
            if end >= 0:
                return start + end + 1
    return 0


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Keep the garbage collector from walking again and again over a list that grows: a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _all_records(folder: Path, *, with_frames: bool) -> Iterator[tuple[Path, Record]]:
    for path in sorted(folder.rglob("*.json")):  # a file per scene, of older versions
        if not path.name.startswith("."):
            yield from ((path, record) for record in _parsed(path, [path.read_bytes()], with_frames=with_frames))
    for path in log_files(folder):
        with path.open("rb") as file:
            yield from ((path, record) for record in _parsed(path, file, with_frames=with_frames))


def _parsed(path: Path, lines: Iterable[bytes], *, with_frames: bool) -> Iterator[Record]:
    for block in _blocks(enumerate(lines, 1)):
        yield from _block(path, block, with_frames=with_frames)


def _blocks(lines: Iterator[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    while block := list(islice(lines, BLOCK)):
        yield [(number, line) for number, line in block if line.strip()]


def _block(path: Path, block: list[tuple[int, bytes]], *, with_frames: bool) -> Iterable[Record]:
    try:
        return Record.from_lines([line for _, line in block], with_frames=with_frames)
    except ValueError:
        return _one_by_one(path, block, with_frames=with_frames)


def _one_by_one(path: Path, lines: Iterable[tuple[int, bytes]], *, with_frames: bool) -> Iterator[Record]:
    for number, line in lines:
        try:
            record = Record.from_json(line, with_frames=with_frames)
        except ValueError:
            logger.warning("%s, line %d is no whole record and does not count", path, number)
            continue
        yield record
