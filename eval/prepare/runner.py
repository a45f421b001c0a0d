"""Makes the folders of a set, a sequence at a time: atomic, resumable, with a report of what failed and why.

What a sequence consists of is written to hidden siblings and renamed when all of it is there, so a folder under its
proper name is whole. A record, OUT/.prepared/<folder>.json, says by which rule it was made.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cut3r.data.layout import write_json
from cut3r.jobs.claims import Claims
from cut3r.jobs.job import Job as EngineJob
from cut3r.jobs.progress import Room, Tally
from cut3r.jobs.record import Done, Rule
from cut3r.jobs.runner import JobRun
from cut3r.jobs.workers import open_workers
from eval.sequences.prepared import RECORDS

logger = logging.getLogger(__name__)

CLAIMS = ".claims"  # in it


@dataclass(frozen=True)
class Order:
    """What the user wants: `frames` is the length of a long variant, None for the set as published."""

    raw: Path
    out: Path
    frames: int | None = None
    parity: bool = False  # the reference's choice where ours differs


@dataclass(frozen=True)
class Job:
    """One sequence to make.

    Attributes:
        targets: Its folders and files below OUT; they appear in this order.
        make: Writes them, called with one hidden path per target, and gives a remark for the log. Any error fails this
            sequence alone.
    """

    name: str
    targets: tuple[Path, ...]
    make: Callable[[tuple[Path, ...]], str]


@dataclass(frozen=True)
class Preparer:
    """What a module of a set fills in. `raw` says what has to lie in --raw."""

    name: str
    about: str
    raw: str
    jobs: Callable[[Order], Iterable[Job]]
    by_length: bool = False  # whether each long variant has folders of its own


@dataclass(frozen=True)
class Report:
    """What a run did; `failures` and `left_out` hold names and reasons."""

    total: int
    made: int
    failures: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        skipped = self.total - self.made - len(self.failures) - len(self.left_out)
        head = f"{self.total} sequences: {self.made} made now, {skipped} already there, {len(self.failures)} failed"
        lines = [f"  {name}: {reason}" for name, reason in self.failures]
        lines += [f"  left out: {name}: {reason}" for name, reason in self.left_out]
        return "\n".join([head, *lines])


def plan(preparer: Preparer, order: Order, again: Iterable[str] = ()) -> tuple[list[Job], list[Job]]:
    """List the sequences of a set, and those that are still to be made; nothing is written.

    Args:
        again: Sequences to make in any case.

    Raises:
        FileNotFoundError: There is no raw folder.
        ValueError: There is no such sequence to make again.
    """
    if not order.raw.is_dir():
        raise FileNotFoundError(f"there is no folder {order.raw}; pass as --raw a folder with {preparer.raw}")
    jobs, wanted = list(preparer.jobs(order)), set(again)
    unknown = wanted - {job.name for job in jobs}
    if unknown:
        raise ValueError(
            f"there is no sequence {min(unknown)} to make again; the first of {len(jobs)} is {jobs[0].name}"
        )
    return jobs, [job for job in jobs if job.name in wanted or not _is_done(job, order)]


def run(
    preparer: Preparer,
    order: Order,
    *,
    workers: int = 1,
    again: Iterable[str] = (),
    executor: Executor | None = None,
    check_room: bool = True,
) -> Report:
    """Make the sequences that are not there yet, also those that have failed before. Runs that go on at the same time
    share them.

    A folder that this program has not made (it has no record) is left as it is. The arguments are those of
    `datasets_preprocess.runner.run`; but failures end no run, because a set may be downloaded in part.

    Raises:
        FileNotFoundError: There is no raw folder.
        ValueError: There is no such sequence to make again.
        DiskFullError: There is no room, or there will not be; finished sequences stay.
    """
    again = frozenset(again)
    jobs, todo = plan(preparer, order, again)
    logger.info("%s: %d sequences, %d to make", preparer.name, len(jobs), len(todo))
    due = [EngineJob(job.name, partial(_make, job, order), rule=_rule(order)) for job in todo]
    order.out.mkdir(parents=True, exist_ok=True)
    with (
        Claims(order.out / RECORDS / CLAIMS / f"{preparer.name}{order.frames or ''}") as claims,
        open_workers(min(workers, max(len(due), 1)), executor) as pool,
    ):
        jobs_run = JobRun(
            due,
            claims,
            pool,
            keep=lambda record: None,  # _make has written it
            is_due=_StillDue(todo, order, again),
            tally=Tally(due),
            room=Room(order.out) if check_room else None,
            stop_after=0,
        )
        ended = list(jobs_run)
    reasons = [(record.scene, record.reason) for record in ended if record.failed]
    left_out = [(record.scene, record.reason) for record in ended if not record.failed and not record.done]
    return Report(len(jobs), sum(record.done for record in ended), tuple(reasons), tuple(left_out))


def _make(job: Job, order: Order) -> Done:
    hidden = tuple(target.with_name(f".partial-{target.name}") for target in job.targets)
    try:
        for path in hidden:
            _remove(path)  # of a run that was killed
            path.parent.mkdir(parents=True, exist_ok=True)
        remark = job.make(hidden)
        written = sum(_bytes_of(path) for path in hidden)
        for target in job.targets:
            _remove(target)
        # After the removal and before the renaming: at no time does a whole sequence carry the record of another rule.
        write_json(_record_path(job, order.out), {"parity": order.parity, "remark": remark})
        for path, target in zip(hidden, job.targets, strict=True):
            os.replace(path, target)
    finally:
        for path in hidden:
            _remove(path)
    return Done(remark=remark, written=written)


def _is_done(job: Job, order: Order) -> bool:
    if not all(target.exists() for target in job.targets):
        return False
    record = _record_path(job, order.out)
    if not record.is_file():
        logger.info("%s is there already, though not made here; remove %s to make it anew", job.name, job.targets[-1])
        return True
    made_with_parity: bool = json.loads(record.read_text())["parity"]
    return made_with_parity == order.parity


class _StillDue:
    """Tells whether another run has made a sequence meanwhile."""

    def __init__(self, todo: list[Job], order: Order, again: frozenset[str]) -> None:
        self._order = order
        self._jobs = {job.name: job for job in todo}
        self._before = {name: _made_at(job, order) for name, job in self._jobs.items() if name in again}

    def __call__(self, job: EngineJob, *, look: bool) -> bool:
        if not look:
            return True
        mine = self._jobs[job.name]
        if job.name in self._before:
            return _made_at(mine, self._order) == self._before[job.name]
        return not _is_done(mine, self._order)


def _rule(order: Order) -> Rule:
    return Rule(parity=order.parity, options={"frames": order.frames})


def _made_at(job: Job, order: Order) -> int:
    """Tell when a sequence was made here, in nanoseconds; 0 if it was not."""
    record = _record_path(job, order.out)
    return record.stat().st_mtime_ns if record.is_file() and all(target.exists() for target in job.targets) else 0


def _bytes_of(path: Path) -> int:
    files = (each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())


def _record_path(job: Job, out: Path) -> Path:
    return out / RECORDS / f"{job.targets[-1].relative_to(out)}.json"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
