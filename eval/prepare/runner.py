"""Makes the folders of a set, one sequence after the other: atomic, resumable, with a report of what failed and why.

What a sequence consists of is written to hidden siblings and renamed when all of it is there, so a folder under its
proper name is whole. A record, OUT/.prepared/<folder>.json, says by which rule it was made.
"""

import json
import logging
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cut3r.data.layout import write_json

logger = logging.getLogger(__name__)

RECORDS = ".prepared"


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
    """What a run did; `failures` holds names and reasons."""

    total: int
    made: int
    failures: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        skipped = self.total - self.made - len(self.failures)
        head = f"{self.total} sequences: {self.made} made now, {skipped} already there, {len(self.failures)} failed"
        return "\n".join([head, *(f"  {name}: {reason}" for name, reason in self.failures)])


def run(preparer: Preparer, order: Order) -> Report:
    """Make the sequences that are not there yet.

    A folder that this program has not made (it has no record) is left as it is.

    Raises:
        FileNotFoundError: There is no raw folder.
    """
    if not order.raw.is_dir():
        raise FileNotFoundError(f"there is no folder {order.raw}; pass as --raw a folder with {preparer.raw}")
    jobs = list(preparer.jobs(order))
    todo = [job for job in jobs if not _is_done(job, order)]
    logger.info("%s: %d sequences, %d to make", preparer.name, len(jobs), len(todo))
    start, failures = time.monotonic(), []
    for count, job in enumerate(todo, 1):
        try:
            outcome = _make(job, order)
        except Exception as error:  # whatever it is, it must not stop the other sequences; the report keeps it
            reason = "".join(traceback.format_exception_only(error)).strip()
            failures.append((job.name, reason))
            outcome = f"FAILED: {reason}"
        left = (time.monotonic() - start) / count * (len(todo) - count)
        logger.info("%d/%d %s: %s; about %.0f s left", count, len(todo), job.name, outcome, left)
    return Report(len(jobs), len(todo) - len(failures), tuple(failures))


def _make(job: Job, order: Order) -> str:
    hidden = tuple(target.with_name(f".partial-{target.name}") for target in job.targets)
    try:
        for path in hidden:
            _remove(path)  # of a run that was killed
            path.parent.mkdir(parents=True, exist_ok=True)
        remark = job.make(hidden)
        for target in job.targets:
            _remove(target)
        # After the removal and before the renaming: at no time does a whole sequence carry the record of another rule.
        write_json(_record_path(job, order.out), {"parity": order.parity, "remark": remark})
        for path, target in zip(hidden, job.targets, strict=True):
            os.replace(path, target)
    finally:
        for path in hidden:
            _remove(path)
    return remark


def _is_done(job: Job, order: Order) -> bool:
    if not all(target.exists() for target in job.targets):
        return False
    record = _record_path(job, order.out)
    if not record.is_file():
        logger.info("%s is there already, though not made here; remove %s to make it anew", job.name, job.targets[-1])
        return True
    made_with_parity: bool = json.loads(record.read_text())["parity"]
    return made_with_parity == order.parity


def _record_path(job: Job, out: Path) -> Path:
    return out / RECORDS / f"{job.targets[-1].relative_to(out)}.json"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
