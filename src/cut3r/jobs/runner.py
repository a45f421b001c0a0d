"""Runs jobs: each is claimed, done by a worker, recorded, and given back; lost workers' jobs are handed out again."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cut3r.jobs.claims import Claim, ClaimLostError, Claims
from cut3r.jobs.job import Job, perform
from cut3r.jobs.progress import NoRoomError, Room, Tally
from cut3r.jobs.record import Outcome, Record
from cut3r.jobs.workers import Workers, is_broken, is_lost

logger = logging.getLogger(__name__)

STOP_AFTER = 20  # failures in a row
LOSSES = 3  # workers that a job may take down
POLL_S = 1.0  # between looks at jobs that other runs have


@runtime_checkable
class IsDue(Protocol):
    def __call__(self, job: Job, *, look: bool) -> bool: ...


@dataclass(frozen=True)
class Held:
    """A job that is with a worker; `losses` counts the workers that were lost with it."""

    job: Job
    claim: Claim
    losses: int = 0


class JobRun:
    """A pass over a list of jobs; iterating does it and gives the records of the jobs that this run has done.

    `stopped` says, after it has ended, why it has ended early; empty if it has not.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        claims: Claims,
        workers: Workers,
        *,
        keep: Callable[[Record], None],
        is_due: IsDue,
        tally: Tally,
        room: Room | None = None,
        stop_after: int = STOP_AFTER,
    ) -> None:
        """Make ready.

        Args:
            keep: Called in this process with each record, before the job is given back.
            is_due: Whether a job is still to be done, or another run has done it; with look, after reading what other
                runs have written.
            room: Looked at before jobs are handed out; None: not at all.
            stop_after: End the run when so many jobs in a row have failed; 0: never.
        """
        self._waiting, self._busy = deque(jobs), deque[Job]()
        self._running: dict[Future[Record], Held] = {}
        self._again: deque[Held] = deque()  # were with lost workers
        self._has_waited = False
        self._suspicious = False  # a worker took others with it: hand out one at a time, to find the culprit
        self._claims, self._workers = claims, workers
        self._keep, self._is_due, self._tally, self._room = keep, is_due, tally, room
        self._stop_after, self._failed_in_a_row = stop_after, 0
        self._fatal: BaseException | None = None
        self.stopped = ""

    def __iter__(self) -> Iterator[Record]:
        """Do the jobs. However it ends, jobs that are with workers are finished and recorded first.

        Raises:
            DiskFullError: There is no room for the results, or there will not be.
            RuntimeError: The caller's executor is broken.
        """
        try:
            while self._running or not self._is_over():
                if not self._is_ending():
                    self._hand_out()
                if self._running:
                    yield from self._collect()
                elif self._busy and not self._is_ending():
                    self._wait_for_others()
        finally:
            for future in self._running:
                future.cancel()
        if self._fatal is not None:
            raise self._fatal

    def _is_ending(self) -> bool:
        return bool(self.stopped) or self._fatal is not None

    def _is_over(self) -> bool:
        return self._is_ending() or not (self._waiting or self._busy or self._again)

    def _hand_out(self) -> None:
        try:
            if self._room is not None:
                self._room.check(self._tally)
        except NoRoomError as error:
            self._fatal = error
            return
        if self._suspicious:
            if self._running:
                return
            self._suspicious = bool(self._again)
        limit = 1 if self._suspicious else self._workers.limit()
        while len(self._running) < limit:
            held = self._again.popleft() if self._again else self._next()
            if held is None or not self._submit(held):
                return

    def _next(self) -> Held | None:
        """Claim the next job that is still to be done."""
        while self._waiting:
            job = self._waiting.popleft()
            if not self._is_due(job, look=False):
                self._tally.skip()
                continue
            claim = self._claims.take(job.name)
            if claim is not None and claim.finished is not None:
                self._keep(claim.finished)
                self._claims.release(claim)
                claim = self._claims.take(job.name)  # a clean one: the job may have to be done again
            if claim is None:
                self._busy.append(job)
                continue
            if self._is_due(job, look=True):
                return Held(job, claim)
            self._claims.release(claim)
            self._tally.skip()
        return None

    def _submit(self, held: Held) -> bool:
        try:
            future = self._workers.submit(perform, held.job, held.claim, held.losses)
        except BrokenExecutor:  # a worker was lost a moment ago, and its jobs will say so
            self._again.append(held)
            self._suspicious = True
            if not self._running:
                self._workers.renew()
            return False
        self._running[future] = held
        return True

    def _collect(self) -> Iterator[Record]:
        finished, _ = wait(self._running, return_when=FIRST_COMPLETED)
        broken = False
        for future in finished:
            held = self._running.pop(future)
            error = CancelledError() if future.cancelled() else future.exception()
            if error is None:
                yield self._record(held, future.result())
            elif isinstance(error, ClaimLostError):
                self._claims.release(held.claim)
                self._busy.append(held.job)
            elif not is_lost(error):
                self._claims.release(held.claim)
                self._fatal = error
            else:
                broken = broken or is_broken(error)
                record = self._lost(held)
                if record is not None:
                    yield self._record(held, record)
        if broken:
            self._suspicious = True
            if not self._running:
                self._workers.renew()

    def _lost(self, held: Held) -> Record | None:
        """Hand a job out again whose worker is gone; give its record when it has cost too many."""
        losses = held.losses + 1
        if losses < LOSSES:
            logger.warning("the worker of %s was lost; the job is handed out again", held.job.name)
            self._again.append(Held(held.job, held.claim, losses))
            return None
        rule = held.job.rule
        return Record(
            held.job.name,
            Outcome.failed,
            reason=f"its worker process was killed {losses} times, perhaps for memory; fewer workers need less",
            version=rule.version,
            parity=rule.parity,
            options=rule.options,
            finished=time.time(),
        )

    def _record(self, held: Held, record: Record) -> Record:
        self._keep(record)
        self._claims.release(held.claim)
        self._tally.add(record, held.job)
        logger.info("%s", self._tally.line(record))
        if record.trace:
            logger.warning("%s", record.trace)
        self._failed_in_a_row = self._failed_in_a_row + 1 if record.failed else 0
        if self._stop_after and self._failed_in_a_row >= self._stop_after and not self.stopped:
            self.stopped = (
                f"{self._failed_in_a_row} jobs in a row have failed, the last ({record.scene}) with: {record.reason}"
            )
        return record

    def _wait_for_others(self) -> None:
        if not self._has_waited:
            logger.info("waiting for %d jobs that other runs have", len(self._busy))
            self._has_waited = True
        time.sleep(POLL_S)
        self._waiting.extend(self._busy)
        self._busy.clear()
