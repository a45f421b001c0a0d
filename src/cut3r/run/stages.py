"""Which stage long work is in, how far, and how long still: a bar in a terminal, elsewhere a line now and then."""

import logging
import time
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)

REPORT_EVERY_S = 10.0


class Stages:
    """Call it with a stage, what is done and what there is to do; a new name begins a new stage. Use it in a `with`."""

    def __init__(self, console: "Console") -> None:
        from rich.progress import Progress  # here, because importing rich draws random numbers

        self._bar = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("")
        self._lines = not console.is_terminal
        self._stage = ""
        self._began = self._told = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began, self._told = stage, now, now
            self._bar.reset(self._task, description=stage)
        self._bar.update(self._task, completed=done, total=total)
        if done >= total:
            logger.info("%s: %.1f s", stage, now - self._began)
        elif self._lines and now - self._told >= REPORT_EVERY_S and done:
            left = timedelta(seconds=round((now - self._began) * (total - done) / done))
            logger.info("%s: %d/%d, %s left", stage, done, total, left)
            self._told = now

    def __enter__(self) -> "Stages":
        self._stage = ""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
