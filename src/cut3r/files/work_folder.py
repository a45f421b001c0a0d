"""Hidden folders for work that takes a while, beside the place that gets what comes of it.

A file beside each, locked by its process and removed with it, says that the work goes on. Where a process was killed,
the lock is free and the folder can go: `clean_up`, which each new work does first.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cut3r.files.disk import temporary_name
from cut3r.files.locks import fcntl

LOCK, OLD = ".lock", ".old"


@contextmanager
def work_folder(place: Path) -> Iterator[Path]:
    """Yield a new folder beside `place`; what is left of it is removed when the block ends, however it ends.

    Missing folders above are made.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    clean_up(place.parent)
    work = place.with_name(temporary_name(place))
    lock = _beside(work, LOCK)
    descriptor = _held(lock, place.name)
    try:
        work.mkdir()
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def put_in_place(work: Path, place: Path) -> None:
    """Let a work folder take the place of what is at `place`, which stays if that fails."""
    if not place.exists():
        work.rename(place)
        return
    old = _beside(work, OLD)
    place.rename(old)
    try:
        work.rename(place)
    except OSError:
        old.rename(place)
        raise
    shutil.rmtree(old)


def clean_up(parent: Path) -> None:
    """Remove the work folders in a folder whose processes were killed.

    One that was killed while its folder was put in place had finished it: that is put in place now.
    """
    if fcntl is None or not parent.is_dir():
        return
    for lock in parent.glob(f".*{LOCK}"):
        try:
            descriptor = os.open(lock, os.O_RDWR)
        except FileNotFoundError:  # another process was faster
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(lock, os.read(descriptor, 4096).decode("utf-8", "replace"))
        except BlockingIOError:
            continue  # its process lives
        finally:
            os.close(descriptor)


def _remove(lock: Path, name: str) -> None:
    work = lock.with_name(lock.name.removesuffix(LOCK))
    if not name or name.strip(".") == "" or "/" in name or not work.name.startswith(f".{Path(name).stem}."):
        return  # a lock of others
    place, old = work.with_name(name), _beside(work, OLD)
    if old.is_dir() and not place.exists():
        (work if work.is_dir() else old).rename(place)
    for folder in (work, old):
        shutil.rmtree(folder, ignore_errors=True)
    lock.unlink(missing_ok=True)


def _held(lock: Path, name: str) -> int:
    """Make a lock file, and hold it until its descriptor is closed."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, name.encode())
        try:
            if os.stat(lock).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            os.close(descriptor)  # somebody who cleaned up took it before it was locked
            continue
        os.close(descriptor)


def _beside(work: Path, suffix: str) -> Path:
    return work.with_name(f"{work.name}{suffix}")
