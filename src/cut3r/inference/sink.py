"""Whatever takes the results of a stream, and threads that keep it out of the way of the network."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Protocol, runtime_checkable

from cut3r.geometry.registration import Similarity
from cut3r.inference.background import Background
from cut3r.inference.result import FrameResult

logger = logging.getLogger(__name__)

WAITING = 4  # results that may wait for a sink


@runtime_checkable
class Sink(Protocol):
    """Takes the results of one stream in their order. A class that inherits from it needs no more than `add`.

    A sink keeps as little of the results as it can: they hold the pictures and the points of a frame.
    """

    def begin(self, first: int = 0) -> None:
        """Make ready for the results from number `first` on: 0, or where an earlier run stopped."""
        return

    def add(self, result: FrameResult) -> None:
        """Take in a result."""
        ...

    def move(self, chunk: int, world_from_chunk: Similarity) -> None:
        """An earlier chunk stands elsewhere, after the last result; before, `result.moves` says so."""
        return

    def finish(self) -> None:
        """There are no more results."""
        return


class Sinks:
    """Hands results to several sinks, to each in a thread of its own: `add` returns at once unless one is behind.

    Each sink gets all results in their order. One that raises an error gets no more of them; that is logged with its
    name and the frame, and the others go on. Use it in a `with`: leaving it waits for all sinks, finishes them (also
    those that failed, which may have something open), and raises a RuntimeError if one failed.

    Args:
        sinks: By a name for messages.
        waiting: Results that may wait for a sink; with as many, `add` waits for it. So memory is bounded by these
            results, and one more that each sink works on.
    """

    def __init__(self, sinks: Mapping[str, Sink], *, waiting: int = WAITING) -> None:
        self._members = [_Member(name, sink, waiting) for name, sink in sinks.items()]
        self._finished = False

    def begin(self, first: int = 0) -> None:
        """Begin each sink, before the first `add`."""
        for member in self._members:
            member.attempt(partial(member.sink.begin, first), "could not begin")

    def add(self, result: FrameResult) -> None:
        """Hand over a result; waits for a sink that is behind."""
        for member in self._members:
            if member.error is None:
                member.attempt(partial(member.thread.put, result))

    def move(self, places: Mapping[int, Similarity]) -> None:
        """Tell each sink which chunks stand elsewhere, after all that it got before."""
        for member in self._members:
            member.attempt(member.thread.drain)
            for chunk, place in places.items() if member.error is None else ():
                member.attempt(partial(member.sink.move, chunk, place), "failed when a chunk was moved")

    def finish(self) -> list[str]:
        """Wait until each sink has taken in what it got, and finish it. A second call only repeats the answer.

        Returns:
            One sentence for each sink that failed.
        """
        for member in self._members:
            member.attempt(member.thread.drain)
        for member in [] if self._finished else self._members:
            member.thread.close()
            member.attempt(member.sink.finish, "could not be finished")
        self._finished = True
        return [member.failure for member in self._members if member.error is not None]

    @property
    def good(self) -> list[str]:
        """The names of those that have not failed."""
        return [member.name for member in self._members if member.error is None]

    def __enter__(self) -> "Sinks":
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failures = self.finish()
        if failures and error is None:
            raise RuntimeError("; ".join(failures)) from next(each.error for each in self._members if each.error)


class _Member:
    """A sink, its thread, and the first error that it raised."""

    def __init__(self, name: str, sink: Sink, waiting: int) -> None:
        self.sink = sink
        self.name = name
        self.thread = Background(sink.add, most=waiting, name=name)
        self.error: Exception | None = None
        self.failure = ""

    def attempt(self, call: Callable[[], None], failed: str = "") -> None:
        """Make a call to the sink or its thread, and note an error of the sink: of any kind, for it may be anybody's.

        Args:
            failed: For the message; by default, that the thread failed at a frame.
        """
        try:
            call()
        except Exception as error:
            if self.error is not None:
                return
            if (result := self.thread.failed) is not None:
                failed = f"failed at frame {result.number} ({result.frame.name}) and got no later ones"
            self.error = error
            is_sentence = result is None and isinstance(error, (OSError, ValueError))  # that says what to do
            self.failure = f"{self.name} {failed} ({'' if is_sentence else f'{type(error).__name__}: '}{error})"
            logger.error("%s", self.failure, exc_info=None if is_sentence else error)
