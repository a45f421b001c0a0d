"""Work that another thread does, in order, while the caller goes on: the mirror image of `Prefetch`."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Calls `work(item)` for each item, one after the other, in a thread of its own.

    An error of the work ends it: what still waits is dropped, and `put` and `drain` raise the error from then on.

    Args:
        most: Items that may wait; with as many, `put` waits too. So memory is bounded, and a caller who is faster than
            the work is slowed down to its speed.
        name: Of the thread.

    Attributes:
        failed: The item that the work failed at; None until then.
    """

    def __init__(self, work: Callable[[T], None], *, most: int, name: str) -> None:
        if most < 1:
            raise ValueError(f"most is {most}; at least 1 item must be able to wait")
        self.failed: T | None = None
        self._work = work
        self._most = most
        self._changed = threading.Condition()
        self._waiting: deque[T] = deque()
        self._busy = self._stopped = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand an item over; waits while too many wait.

        Raises:
            BaseException: What an earlier item's work raised.
        """
        with self._changed:
            assert not self._stopped, "nothing can be put after close()"
            self._changed.wait_for(lambda: len(self._waiting) < self._most or self._error is not None)
            self._check()
            self._waiting.append(item)
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until the work of all items is done.

        Raises:
            BaseException: What the work of one of them raised.
        """
        with self._changed:
            self._wait_until_idle()
            self._check()

    def close(self) -> None:
        """Wait until the work of all items is done, and end the thread. Raises nothing; closing twice is allowed."""
        with self._changed:
            self._wait_until_idle()
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def _wait_until_idle(self) -> None:
        self._changed.notify_all()  # a `put` that Ctrl-C broke off may not have come to that
        self._changed.wait_for(lambda: not self._waiting and not self._busy)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (item := self._next()) is not None:
            try:
                self._work(item)
            except BaseException as error:  # of any kind: it belongs to whoever puts the items
                self._fail(item, error)
            del item  # or it would be kept alive until the next one comes
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> T | None:
        """Take the next item; None when there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            if not self._waiting:
                return None
            self._busy = True
            item = self._waiting.popleft()
            self._changed.notify_all()
            return item

    def _fail(self, item: T, error: BaseException) -> None:
        with self._changed:
            self.failed, self._error = item, error
            self._waiting.clear()
