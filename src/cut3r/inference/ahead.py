"""Work done ahead of time in another thread: the next frames are read and resized while the network is busy."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Ahead(Generic[A, B]):
    """An iterator over `work(item)` for each item, of which at most `most` are finished and waiting.

    An error of the items or of the work ends the iteration, and `check` raises it, so that what came before it can be
    brought to an end. Use it in a `with`: the thread ends with it, at the latest after the item it works on.
    """

    def __init__(self, items: Iterable[A], work: Callable[[A], B], *, most: int) -> None:
        self._results: queue.Queue[tuple[B | None, BaseException | None]] = queue.Queue(maxsize=most)
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(items, work), name="reading ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[B]:
        while True:
            result, end = self._results.get()
            if end is not None:
                self._error = None if isinstance(end, StopIteration) else end
                return
            yield result  # type: ignore[misc]

    def check(self) -> None:
        """Raise the error that ended the iteration, if there was one."""
        if self._error is not None:
            raise self._error

    def __enter__(self) -> "Ahead[A, B]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        while self._thread.is_alive():
            with suppress(queue.Empty):
                self._results.get(timeout=0.05)  # make room for what it wants to put

    def _run(self, items: Iterable[A], work: Callable[[A], B]) -> None:
        try:
            for item in items:
                result = work(item)
                if self._stopped.is_set():
                    return
                self._results.put((result, None))
        except BaseException as error:  # of any kind: it belongs to whoever iterates
            self._results.put((None, error))
        else:
            self._results.put((None, StopIteration()))
