"""How far a run is: by bytes of sources where they are known, else by frames, else by jobs."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from cut3r.files.disk import DiskFullError
from cut3r.jobs.job import EXPECTED, Job, measure
from cut3r.jobs.record import Record

SAMPLED = 500  # jobs that are measured for the estimate: a look at every file of a large download takes hours
ENOUGH = 5  # jobs after which results are compared with their sources
LOOK_AGAIN_S = 10.0
UNITS = ((1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"))


class NoRoomError(DiskFullError):
    """The results will not fit on the disk."""

    def __init__(self, folder: Path, needed: float, free: int) -> None:
        super().__init__(folder)
        self.needed, self.free = needed, free
        self.strerror = (
            f"the rest needs about {bytes_text(needed)} and the disk of {folder} has {bytes_text(free)} free; make "
            "room there or choose a folder on another disk; the same command goes on"
        )

    def __reduce__(self) -> tuple[type["NoRoomError"], tuple[Path, float, int]]:  # type: ignore[override]
        return NoRoomError, (self.folder, self.needed, self.free)


class Tally:
    """Counts what is done, and estimates what is left and the room that it needs."""

    def __init__(self, jobs: Sequence[Job], before: Sequence[Record] = ()) -> None:
        """Measure the sources of some jobs.

        Args:
            before: Records of earlier runs, from which the size of the results is known.
        """
        self.left, self.handled, self.failed = len(jobs), 0, 0
        self.amount_done = 0
        self.unit, self._mean = _mean_amount(jobs)
        self._start = time.monotonic()
        done = [record for record in before if record.done and record.written]
        self._size, self._written, self._count = (
            sum(record.size for record in done),
            sum(record.written for record in done),
            len(done),
        )

    def add(self, record: Record, job: Job) -> None:
        self.left -= 1
        self.handled += 1
        self.failed += record.failed
        self.amount_done += {"bytes": record.size, "frames": job.frames}.get(self.unit, 1)
        if record.done and record.written:
            self._size, self._written, self._count = (
                self._size + record.size,
                self._written + record.written,
                self._count + 1,
            )

    def skip(self) -> None:
        """Count a job that another run has done."""
        self.left -= 1

    @property
    def amount_left(self) -> float:
        return self._mean * self.left

    @property
    def room_needed(self) -> float:
        """Bytes that the rest will take; 0 before enough jobs are done."""
        if self._count < ENOUGH:
            return 0.0
        if self.unit == "bytes" and self._size:
            return self._written / self._size * self.amount_left
        return self._written / self._count * self.left

    def line(self, record: Record) -> str:
        """Say how a job ended, and how long the rest may take."""
        state = {"done": "done", "left out": f"left out: {record.reason}", "failed": f"FAILED: {record.reason}"}
        remark = f": {record.remark}" if record.remark else ""
        parts = [f"{self.handled}/{self.handled + self.left} {record.scene} {state[record.outcome.value]}{remark}"]
        seconds = max(time.monotonic() - self._start, 1e-3)
        rate = self.amount_done / seconds
        if self.left and rate:
            parts.append(f"{_rate_text(rate, self.unit)}, about {duration(self.amount_left / rate)} left")
        if self.failed:
            parts.append(f"{self.failed} failed ({100 * self.failed / self.handled:.1f} %)")
        return "; ".join(parts)


class Room:
    """Looks at the free space of a folder's disk, now and then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._looked = -LOOK_AGAIN_S

    def check(self, tally: Tally) -> None:
        """Compare the room that is needed with the room that there is.

        Raises:
            NoRoomError: The rest will not fit.
        """
        if time.monotonic() - self._looked < LOOK_AGAIN_S:
            return
        self._looked = time.monotonic()
        free = shutil.disk_usage(self.folder).free
        if tally.room_needed > free:
            raise NoRoomError(self.folder, tally.room_needed, free)


def bytes_text(count: float | int) -> str:
    """1.5 GB, in powers of 1024."""
    size, unit = next(((size, unit) for size, unit in UNITS if count >= size), (1, "bytes"))
    return f"{count / size:.0f} {unit}" if size == 1 or count >= 10 * size else f"{count / size:.1f} {unit}"


def duration(seconds: float | int) -> str:
    """40 s, 12 min, 3.5 h, 2.1 days."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def size_of(jobs: Sequence[Job]) -> float:
    """Estimate the bytes of the sources of all jobs, from a sample of them."""
    sizes = [_size(job) for job in _sample(jobs)]
    return sum(sizes) / max(len(sizes), 1) * len(jobs)


def _mean_amount(jobs: Sequence[Job]) -> tuple[str, float]:
    size = size_of(jobs)
    if size:
        return "bytes", size / len(jobs)
    frames = sum(job.frames for job in jobs)
    return ("frames", frames / len(jobs)) if frames else ("jobs", 1.0)


def _sample(jobs: Sequence[Job]) -> list[Job]:
    step = max(1, len(jobs) // SAMPLED)
    return list(jobs[::step])


def _size(job: Job) -> int:
    try:
        return measure(job).size
    except EXPECTED:
        return 0  # the job will say so


def _rate_text(rate: float, unit: str) -> str:
    return f"{bytes_text(rate)}/s" if unit == "bytes" else f"{rate:.2g} {unit}/s"
