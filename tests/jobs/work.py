"""Jobs that workers in other processes can do."""

import os
import signal
import time
from functools import partial
from pathlib import Path

from cut3r.jobs.claims import Claims
from cut3r.jobs.job import Job
from cut3r.jobs.log import RecordLog
from cut3r.jobs.progress import Tally
from cut3r.jobs.record import Done
from cut3r.jobs.runner import JobRun


def note(folder: Path, name: str, seconds: float = 0.0) -> Done:
    """Leave a file for each time that the job is done, and its process."""
    time.sleep(seconds)
    (folder / f"{name}-{time.monotonic_ns()}").write_text(str(os.getpid()))
    return Done((name,))


def kill_once(folder: Path, name: str) -> Done:
    """Kill the worker the first time."""
    mark = folder / f".killed-{name}"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return note(folder, name)


def kill(folder: Path, name: str) -> Done:
    os.kill(os.getpid(), signal.SIGKILL)
    return note(folder, name)


def jobs(folder: Path, count: int, work=note, **options) -> list[Job]:
    folder.mkdir(exist_ok=True)
    return [Job(f"job{i}", partial(work, folder, f"job{i}", **options)) for i in range(count)]


def times_done(folder: Path) -> dict[str, int]:
    names = [path.name.split("-")[0] for path in folder.iterdir() if not path.name.startswith(".")]
    return {name: names.count(name) for name in sorted(set(names))}


def run_all(todo, status: Path, workers, **options) -> JobRun:
    """Run jobs as converters do; `records` of what is given back are those that this run has done."""
    status.mkdir(parents=True, exist_ok=True)
    log = RecordLog(status, options.pop("name", "log"), since=options.pop("since", None))

    def is_due(job, *, look):
        if look:
            log.refresh()
        return log.arrived(job.name) is None

    with Claims(status / "claims", **options.pop("claims", {})) as claims:
        run = JobRun(todo, claims, workers, keep=log.append, is_due=is_due, tally=Tally(todo), **options)
        run.records = list(run)
    return run
