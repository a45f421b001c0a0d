"""Claims: files that say which process is at a job, so that any number of processes share a list of jobs.

A claim is created exclusively, before the job is begun, by the process that hands out jobs, and removed when the record
of the job is written. Its second line, if it has one, is the record: whoever finds the claim of a process that is gone
need not do its job again. A claim counts as left behind if its process has ended (on this machine), or has not touched
it for some minutes; one that says nothing, after some seconds.
"""

import hashlib
import json
import logging
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from cut3r.files.disk import DiskFullError, is_disk_full
from cut3r.files.locks import exclusive
from cut3r.jobs.log import append_line
from cut3r.jobs.record import Record

logger = logging.getLogger(__name__)

BEAT_S = 30.0
QUIET_S = 600.0  # without a sign of life; many beats, because network folders and busy machines stall
BLANK_S = 10.0  # from creating a claim to writing it are microseconds; unless the process is killed between
SUFFIX = ".claim"


class ClaimLostError(Exception):
    """A job is not ours (any more): it was given back because it is done, or another process has taken it."""


@dataclass(frozen=True)
class Claim:
    """A job that is ours. `finished` is its record if a process that is gone now has done it already."""

    path: Path
    name: str
    token: str
    finished: Record | None = None


class Claims:
    """The claims of this process in a folder, kept alive while the block runs and given back at its end."""

    def __init__(self, folder: Path, *, quiet_s: float = QUIET_S, beat_s: float = BEAT_S) -> None:
        self.folder, self.quiet_s, self.beat_s = folder, quiet_s, beat_s
        self._held: dict[str, Claim] = {}
        self._lock, self._end = threading.Lock(), threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True, name="claims")

    def __enter__(self) -> "Claims":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._heart.join()
        for claim in list(self._held.values()):
            if finished_in(claim.path) is None:  # else whoever comes next takes the record over
                self.release(claim)

    def take(self, name: str) -> Claim | None:
        """Claim a job; None if a process that is alive has it."""
        path = self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}{SUFFIX}"
        claim = self._create(path, name, None)
        if claim is None and self._is_left(path):
            with exclusive(self.folder / ".takeover.lock"):
                if self._is_left(path):
                    finished = finished_in(path)
                    path.unlink(missing_ok=True)
                    logger.info("%s was left by a process that is gone", name)
                    claim = self._create(path, name, finished)
        return claim

    def release(self, claim: Claim) -> None:
        """Give a job back, or say that its record is written."""
        with self._lock:
            self._held.pop(claim.name, None)
        if _head(claim.path).get("token") == claim.token:  # not if it was taken from us
            claim.path.unlink(missing_ok=True)

    def _create(self, path: Path, name: str, finished: Record | None) -> Claim | None:
        token = secrets.token_hex(8)
        about = {"scene": name, "host": socket.gethostname(), "machine": machine(), "pid": os.getpid()}
        lines = [json.dumps({**about, "token": token, "time": time.time()})]
        lines += [finished.to_json()] if finished else []
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return None
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write("".join(f"{line}\n" for line in lines))
        except OSError as error:
            path.unlink(missing_ok=True)
            raise (DiskFullError(self.folder) if is_disk_full(error, self.folder) else error) from error
        claim = Claim(path, name, token, finished)
        with self._lock:
            self._held[name] = claim
        return claim

    def _is_left(self, path: Path) -> bool:
        """Tell whether the process of a claim is gone; False if the claim itself is."""
        try:
            touched = path.stat().st_mtime
        except FileNotFoundError:
            return False
        about = _head(path)
        if about.get("machine") == machine() and not _is_alive(int(about["pid"])):
            return path.exists()
        return self._now() - touched > (self.quiet_s if about else min(BLANK_S, self.quiet_s))

    def _now(self) -> float:
        """The time as the file system's machine has it."""
        clock = self.folder / f".clock.{os.getpid()}.{threading.get_ident()}"
        clock.touch()
        try:
            return clock.stat().st_mtime
        finally:
            clock.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._end.wait(self.beat_s):
            with self._lock:
                held = list(self._held.values())
            for claim in held:
                with suppress(FileNotFoundError):
                    os.utime(claim.path)


def finish(path: Path, record: Record) -> None:
    """Write the record of a job into its claim, unless the claim was given up meanwhile."""
    with suppress(FileNotFoundError):
        append_line(path, record.to_json(), create=False, sync=False)


def finished_under(claim: Claim) -> Record | None:
    """Give the record that a claim of ours holds, if it holds one.

    Raises:
        ClaimLostError: It is not ours any more.
    """
    if _head(claim.path).get("token") != claim.token:
        raise ClaimLostError(claim.name)
    return finished_in(claim.path)


def finished_in(path: Path) -> Record | None:
    """Give the record that a claim holds, if it holds a whole one."""
    with suppress(FileNotFoundError, ValueError):
        lines = path.read_bytes().splitlines()
        return Record.from_json(lines[1]) if len(lines) > 1 else None
    return None


def read_claims(folder: Path) -> list[dict[str, Any]]:
    """List what claims say: scene, host, pid, time (seconds since 1970)."""
    return [about for path in sorted(folder.glob(f"*{SUFFIX}")) if (about := _head(path))]


@cache
def machine() -> str:
    """Name this machine, since it was started, and this room of process numbers on it (containers have their own)."""
    boot, pids = Path("/proc/sys/kernel/random/boot_id"), "/proc/self/ns/pid"
    with suppress(OSError):
        return f"{boot.read_text().strip()} {os.readlink(pids)}"
    return socket.gethostname()


def _head(path: Path) -> dict[str, Any]:
    """The first line of a claim; empty if it is gone, or not whole yet."""
    with suppress(FileNotFoundError, ValueError):
        with path.open() as file:
            about = json.loads(file.readline())
        return about if isinstance(about, dict) and "pid" in about else {}
    return {}


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
