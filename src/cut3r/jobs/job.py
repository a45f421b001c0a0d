"""A job, and what a worker does with it."""

import stat
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cut3r.files.disk import DiskFullError
from cut3r.files.fingerprint import Look, fingerprint_of_looks, look
from cut3r.files.listing import visible
from cut3r.jobs import claims
from cut3r.jobs.record import Done, LeftOut, Outcome, Record, Rule

EXPECTED = (OSError, ValueError)  # their sentence says it all; anything else may be a fault of ours


def _no_sources() -> Iterable[Path]:
    return ()


@dataclass(frozen=True)
class Job:
    """A unit of work; both functions are pickled if it is done in another process.

    Attributes:
        name: Unique among the jobs of a folder.
        work: Does it. Raises LeftOut if it is left out on purpose; any other error fails this job alone.
        sources: Names the files and folders that it is made from.
        frames: How many there are, if that is known beforehand; for progress when sizes are not.
    """

    name: str
    work: Callable[[], Done]
    sources: Callable[[], Iterable[Path]] = _no_sources
    frames: int = 0
    rule: Rule = field(default_factory=Rule)


@dataclass(frozen=True)
class Sources:
    """What a job is made from: a fingerprint of names, sizes and times of change, and the bytes of all files."""

    fingerprint: str
    size: int


def measure(job: Job) -> Sources:
    """Look at the sources of a job, and the files in its folders. What is missing has no bytes."""
    listed = [list(filter(_is_file, map(look, visible(path, "**/*")))) or [look(path)] for path in job.sources()]
    looks = [each for found in listed for each in found]
    sizes = (facts.st_size for _, facts in filter(_is_file, looks) if facts is not None)
    return Sources(fingerprint_of_looks(looks), sum(sizes))


def _is_file(seen: Look) -> bool:
    return seen[1] is not None and stat.S_ISREG(seen[1].st_mode)


def perform(job: Job, claim: claims.Claim, attempt: int) -> Record:
    """Do a job, unless its claim says that it is done, and write its record into the claim.

    Args:
        attempt: Tells calls apart: Dask takes equal calls for the same.

    Raises:
        ClaimLostError: Another run has the job, or its record is written: a cluster computes again what
            a lost worker held, also if we have got it.
        DiskFullError: There is no room for its results; that is no failure of the job.
    """
    finished = claims.finished_under(claim)
    if finished is not None:
        return finished  # by a worker that was lost before it could say so
    start = time.monotonic()
    sources, done, reason, trace, outcome = Sources("", 0), Done(), "", "", Outcome.done
    try:
        sources = measure(job)
        done = job.work()
    except LeftOut as error:
        outcome, reason = Outcome.left_out, str(error)
    except DiskFullError:
        raise
    except Exception as error:  # whatever it is, it must not stop the other thousand jobs; the record keeps it
        outcome, reason = Outcome.failed, "".join(traceback.format_exception_only(error)).strip()
        trace = "" if isinstance(error, EXPECTED) else traceback.format_exc()
    record = Record(
        scene=job.name,
        outcome=outcome,
        frames=done.frames,
        reason=reason,
        seconds=round(time.monotonic() - start, 3),
        version=job.rule.version,
        parity=job.rule.parity,
        raw=sources.fingerprint,
        options=job.rule.options,
        left_out=done.left_out,
        facts=done.facts,
        size=sources.size,
        written=done.written,
        finished=time.time(),
        remark=done.remark,
        trace=trace,
    )
    claims.finish(claim.path, record)
    return record
