"""Who does the jobs: this process, processes of this machine, or an executor of `concurrent.futures` (Dask's)."""

import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context, parent_process
from typing import Any

AHEAD = 2  # jobs per worker that are handed out, so that none waits for the next
CONNECT_S = 30.0
ASK_AGAIN_S = 10.0  # a cluster may have grown or shrunk since
HOW_TO_DASK = "install the package distributed (pip install 'cut3r[dask]')"


class Workers(ABC):
    """Takes jobs, and says how many it can have at a time."""

    @abstractmethod
    def limit(self) -> int: ...

    @abstractmethod
    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]": ...

    def renew(self) -> None:  # noqa: B027
        """Go on after a worker was lost that took the others with it."""

    def close(self) -> None:  # noqa: B027
        """Forget what is waiting."""


class Here(Workers):
    """This process, one job at a time."""

    def limit(self) -> int:
        return 1

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments))
        except Exception as error:  # for whoever asks for the result
            future.set_exception(error)
        return future


class Processes(Workers):
    """Processes of this machine, which end with this one."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = self._start()

    def limit(self) -> int:
        return AHEAD * self.count

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        return self._pool.submit(work, *arguments)

    def renew(self) -> None:
        self.close()
        self._pool = self._start()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        # Spawned, not forked: a fork copies the locks of OpenCV's and torch's threads.
        return ProcessPoolExecutor(self.count, mp_context=get_context("spawn"), initializer=_die_with_parent)


class Given(Workers):
    """An executor that belongs to the caller."""

    def __init__(self, executor: Executor, count: int | None = None) -> None:
        """Args: count: Its workers; None asks it."""
        self._executor, self._count, self._known = executor, count, (-ASK_AGAIN_S, 1)

    def limit(self) -> int:
        if self._count is None and time.monotonic() - self._known[0] > ASK_AGAIN_S:
            self._known = time.monotonic(), max(1, _workers_of(self._executor))
        return AHEAD * (self._known[1] if self._count is None else self._count)

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        return self._executor.submit(work, *arguments)

    def renew(self) -> None:
        raise RuntimeError(
            "a worker process of the executor was killed, perhaps for memory, and the executor is broken; run again "
            "with a new one to go on"
        )


@contextmanager
def open_workers(count: int, executor: Executor | None = None) -> Iterator[Workers]:
    """Give so many processes (this one, if it is one), or the executor's workers.

    Args:
        count: With an executor: how many jobs it does at a time; 1 asks it.
    """
    if executor is not None:
        workers: Workers = Given(executor, count if count > 1 else None)
    else:
        workers = Processes(count) if count > 1 else Here()
    try:
        yield workers
    finally:
        workers.close()


@contextmanager
def open_dask(address: str, *, resource: str = "") -> Iterator[Executor]:
    """Connect to the scheduler of a Dask cluster (tcp://HOST:8786), or start one here ("local:4": four processes).

    Args:
        resource: If some workers have so much as one of it (dask worker --resources GPU=1), jobs take one each.

    Raises:
        ValueError: There is no such cluster, or Dask is not installed.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ValueError(f"{address} needs Dask; {HOW_TO_DASK}") from error
    kind, _, count = address.partition(":")
    if kind == "local" and not (count.isdigit() and int(count) > 0):
        raise ValueError(f"{address!r} says no number of processes; write local:4 for four")
    with ExitStack() as stack:
        cluster = None
        if kind == "local":
            cluster = stack.enter_context(
                LocalCluster(n_workers=int(count), processes=True, threads_per_worker=1, dashboard_address=None)
            )
        try:
            client = stack.enter_context(Client(cluster if cluster is not None else address, timeout=CONNECT_S))
        except (OSError, TimeoutError) as error:
            if cluster is not None:
                raise
            raise ValueError(
                f"there is no Dask scheduler at {address} ({error}); start one with 'dask scheduler', or use local:4"
            ) from error
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        needed = {resource: 1} if any(worker["resources"].get(resource) for worker in workers) else None
        yield client.get_executor(pure=False, resources=needed)


def is_lost(error: BaseException) -> bool:
    """Tell whether a job failed because its worker is gone, not because of the job."""
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    return isinstance(error, BrokenExecutor | CancelledError) or "distributed.KilledWorker" in kinds


def is_broken(error: BaseException) -> bool:
    """Tell whether the executor can do nothing more."""
    return isinstance(error, BrokenExecutor)


def _workers_of(executor: Executor) -> int:
    distributed = sys.modules.get("distributed")
    if distributed is not None and isinstance(executor, distributed.cfexecutor.ClientExecutor):
        return int(sum(executor._client.nthreads().values()))
    return int(getattr(executor, "_max_workers", 0) or os.cpu_count() or 1)


def _die_with_parent() -> None:
    """End this worker when the runner is killed; it would wait for work for ever."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
