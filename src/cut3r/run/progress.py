"""How far, how fast, how long still, and how much memory: what somebody who waits wants to know."""

import logging
import time
from collections import deque
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

import psutil
import torch

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)

WINDOW = 30  # frames that the rate is measured over
REPORT_EVERY_S = 10.0  # where there is no terminal to draw a bar in


class Meter:
    """Counts frames. `text()` is one line such as "12/80 frames, 0.21 fps, 0:05:23 left, 3.9 GB host".

    Args:
        expected: The number of frames if known.
        done: Frames that an earlier run has finished; they count as progress but not for the rate.
    """

    def __init__(self, expected: int | None, *, done: int = 0) -> None:
        self.expected = expected
        self.done = done
        self.new = 0
        self._start = time.monotonic()
        self._times: deque[float] = deque([self._start], maxlen=WINDOW + 1)
        self._process = psutil.Process()

    def tick(self) -> None:
        self.done += 1
        self.new += 1
        self._times.append(time.monotonic())

    @property
    def seconds(self) -> float:
        """Since the meter was made."""
        return time.monotonic() - self._start

    @property
    def fps(self) -> float:
        """Frames per second over the last 30 frames; 0 before the first."""
        passed = self._times[-1] - self._times[0]
        return (len(self._times) - 1) / passed if passed > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        if self.expected is None or self.fps == 0:
            return None
        return max(0, self.expected - self.done) / self.fps

    def memory(self) -> str:
        """The process's memory now, on the host and, if one is used, on the GPU."""
        host = f"{self._process.memory_info().rss / 1e9:.1f} GB host"
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            return f"{host}, {torch.cuda.memory_allocated() / 1e9:.1f} GB GPU"
        return host

    def text(self) -> str:
        count = f"{self.done}" if self.expected is None else f"{self.done}/{self.expected}"
        left = "" if self.seconds_left is None else f", {timedelta(seconds=round(self.seconds_left))} left"
        return f"{count} frames, {self.fps:.2f} fps{left}, {self.memory()}"


class Progress:
    """A live bar in a terminal; elsewhere a line in the log now and then."""

    def __init__(self, console: "Console", expected: int | None, *, done: int = 0) -> None:
        from rich.progress import BarColumn, TextColumn  # here, because importing rich draws random numbers
        from rich.progress import Progress as Bar

        self.meter = Meter(expected, done=done)
        self._bar = Bar(BarColumn(), TextColumn("{task.description}"), console=console, transient=True)
        self._task = self._bar.add_task("the first frame", total=expected, completed=done)
        self._next_report = 0.0

    def advance(self) -> None:
        """One more frame is finished."""
        self.meter.tick()
        self._bar.advance(self._task)
        self.note(self.meter.text())

    def note(self, text: str) -> None:
        """Show a line of text."""
        self._bar.update(self._task, description=text)
        if not self._bar.console.is_terminal and self.meter.seconds >= self._next_report:
            logger.info("%s", text)
            self._next_report = self.meter.seconds + REPORT_EVERY_S

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
