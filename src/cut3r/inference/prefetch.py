"""Prefetching: another thread reads and resizes the next frames while the network is busy."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")

PATIENCE_S = 2.0  # for an item that is being read when nobody wants it any more


class Prefetch(Generic[A, B]):
    """An iterator over `work(item)` for each item, of which at most `most` are finished and waiting.

    An error of the items or of the work ends the iteration, and `check` raises it, so that what came before it can be
    brought to an end. Use it in a `with`: leaving it ends the thread after the item it works on. A source that does not
    answer (a camera that stalls) is not waited for: its thread ends by itself when the source gives up.
    """

    def __init__(self, items: Iterable[A], work: Callable[[A], B], *, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._ready: deque[B] = deque()
        self._ended = self._stopped = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(items, work), name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[B]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._ended)
                if not self._ready:
                    return
                result = self._ready.popleft()
                self._changed.notify_all()
            yield result

    def check(self) -> None:
        """Raise the error that ended the iteration, if there was one."""
        if self._error is not None:
            raise self._error

    def __enter__(self) -> "Prefetch[A, B]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            logger.warning("the source does not answer, so it is left alone; its thread ends when it does")

    def _run(self, items: Iterable[A], work: Callable[[A], B]) -> None:
        try:
            for item in items:
                if not self._put(work(item)):
                    return
        except BaseException as error:  # of any kind: it belongs to whoever iterates
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, result: B) -> bool:
        """Wait for room; False when nobody wants results any more."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._ready) < self._most or self._stopped)
            self._ready.append(result)
            self._changed.notify_all()
            return not self._stopped
