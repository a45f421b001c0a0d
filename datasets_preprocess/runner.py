"""Runs a converter over its scenes: in several processes, on several machines, resumable, with a record of each.

A scene is the unit of work. Its files go to the places that its reader's layout names; its record is written last, as
a line of a file in `OUT/.status`. A scene with a record is not touched again, unless its raw files or the options have
changed since; one that was interrupted has none and is done again. All files are written atomically, so an interrupted
file is either whole or absent. Runs that go on at the same time, also on other machines, share the scenes.
"""

import logging
import os
import socket
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cut3r.jobs.claims import Claims
from cut3r.jobs.job import Job
from cut3r.jobs.log import RecordLog
from cut3r.jobs.log import read_records as _read_records
from cut3r.jobs.progress import Room, Tally
from cut3r.jobs.record import LeftOut, Outcome, Record, Rule
from cut3r.jobs.runner import STOP_AFTER, JobRun
from cut3r.jobs.workers import open_workers
from datasets_preprocess.converter import Convert, Converter, Finish, RawScene, Scenes, Sources, Unlisted, require_rigid
from datasets_preprocess.finish import finish
from datasets_preprocess.plan import CLAIMS, STATUS, WHOLE, Plan, Shard, current_records, make_plan
from datasets_preprocess.writer import JPEG_QUALITY, Writer

__all__ = [
    "JPEG_QUALITY",
    "STATUS",
    "Convert",
    "Converter",
    "Finish",
    "LeftOut",
    "Outcome",
    "RawScene",
    "Record",
    "Report",
    "Scenes",
    "Shard",
    "Sources",
    "Unlisted",
    "Writer",
    "make_plan",
    "read_records",
    "require_rigid",
    "run",
]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What a run found and did; `failures` are all that this shard has, older ones included.

    `skipped` were done by an earlier run, or meanwhile by another. `stopped` and `unfinished` say why the run has ended
    early, or why what spans scenes was not written; empty if all is well.
    """

    total: int
    skipped: int
    converted: int
    failures: list[Record]
    unlisted: list[Unlisted]
    left_out: list[Record] = field(default_factory=list)
    stopped: str = ""
    unfinished: str = ""

    @property
    def complete(self) -> bool:
        return not (self.failures or self.unlisted or self.stopped or self.unfinished)

    def __str__(self) -> str:
        head = (
            f"{self.total} scenes: {self.converted} converted now, {self.skipped} already done, "
            f"{len(self.failures)} failed"
        )
        head += f", {len(self.left_out)} left out" if self.left_out else ""
        lines = [f"  {record.scene}: {record.reason}" for record in self.failures]
        lines += ["  repaired raw files are noticed; --retry-failed tries all of these again"] if lines else []
        lines += [f"  left out: {record.scene}: {record.reason}" for record in self.left_out]
        lines += [f"  the scenes of {part.name} are not converted: {part.reason}" for part in self.unlisted]
        return "\n".join([head, *lines, *(text for text in (self.stopped, self.unfinished) if text)])


def run(
    converter: Converter,
    raw: Path,
    out: Path,
    *,
    shard: Shard = WHOLE,
    workers: int = 1,
    retry_failed: bool = False,
    again: Iterable[str] = (),
    parity: bool = False,
    options: Any = None,
    executor: Executor | None = None,
    stop_after: int = STOP_AFTER,
    check_room: bool = True,
) -> Report:
    """Convert the scenes of a shard that have no record yet, or whose raw files have changed since.

    Args:
        workers: Processes; with an executor, how many scenes it converts at a time (1 asks it).
        again: Scenes to convert in any case, by the end of their names.
        options: An instance of the converter's `options`; None takes the defaults.
        executor: Who converts instead of processes of this machine; its workers see the same folders.
        stop_after: End when so many scenes in a row have failed; 0 goes on whatever happens.
        check_room: End as soon as the results, by their size so far, will not fit on the disk.

    Raises:
        FileNotFoundError: There is no raw folder, or no scene in it.
        ValueError: There is no such scene to convert again.
        DiskFullError: There is no room, or there will not be; finished scenes are recorded.
        RuntimeError: The executor is broken.
    """
    plan = make_plan(
        converter, raw, out, shard=shard, retry_failed=retry_failed, again=again, parity=parity, options=options
    )
    logger.info("%s: %d scenes, %d to convert", converter.name, len(plan.jobs), len(plan.due))
    if plan.changed:
        logger.info("%d of them again, because their raw files have changed: %s", len(plan.changed), min(plan.changed))
    now, stopped = _convert_all(plan, raw, out, _log_name(shard), workers, executor, stop_after, check_room)
    try:
        finish(converter, out, plan.rule, changed=bool(now))
        unfinished = ""
    except RuntimeError as error:
        unfinished = str(error)
    return _report(plan, now, current_records(out, plan.rule), stopped, unfinished)


def read_records(out: Path) -> list[Record]:
    """Read the last record of each scene of a processed folder, of all shards, sorted by scene."""
    return _read_records(out / STATUS)


def _convert_all(
    plan: Plan,
    raw: Path,
    out: Path,
    log_name: str,
    workers: int,
    executor: Executor | None,
    stop_after: int,
    check_room: bool,
) -> tuple[list[Record], str]:
    """Convert what is due: the records of what this run has done, and why it has stopped early."""
    status = out / STATUS
    status.mkdir(parents=True, exist_ok=True)
    log = RecordLog(status, log_name, since=plan.since)
    tally = Tally(plan.due, list(plan.records.values()))
    with Claims(status / CLAIMS) as claims, open_workers(min(workers, max(len(plan.due), 1)), executor) as pool:
        jobs = JobRun(
            plan.due,
            claims,
            pool,
            keep=log.append,
            is_due=partial(_is_due_now, log, plan.rule),
            tally=tally,
            room=Room(out) if check_room else None,
            stop_after=stop_after,
        )
        now = list(jobs)
    if not jobs.stopped:
        return now, ""
    return now, f"{jobs.stopped}; so this run has ended. Is {raw} the right folder? --stop-after 0 goes on all the same"


def _is_due_now(log: RecordLog, rule: Rule, job: Job, *, look: bool) -> bool:
    """Tell whether no record of a scene has come since the plan was made."""
    if look:
        log.refresh()
    record = log.arrived(job.name)
    return record is None or not record.follows(rule)


def _report(plan: Plan, now: list[Record], records: dict[str, Record], stopped: str, unfinished: str) -> Report:
    mine = [records[job.name] for job in plan.jobs if job.name in records]
    converted = {record.scene for record in now if record.done}
    return Report(
        total=len(plan.jobs),
        skipped=sum(record.done and record.scene not in converted for record in mine),
        converted=len(converted),
        failures=[record for record in mine if record.failed],
        unlisted=plan.unlisted,
        left_out=[record for record in mine if record.outcome is Outcome.left_out],
        stopped=stopped,
        unfinished=unfinished,
    )


def _log_name(shard: Shard) -> str:
    """Name the file of our records: by the shard, and by the process, because several may do the same shard."""
    part = f"{shard.number}-of-{shard.count}." if shard.count > 1 else ""
    return f"{part}{socket.gethostname()}-{os.getpid()}"
