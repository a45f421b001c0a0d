"""Ctrl-C that ends a run after the present frame."""

import logging
import os
import signal
import threading
from types import FrameType

logger = logging.getLogger(__name__)

STDIN = 0
PARENT = "CUT3R_PARENT_HOLDS_STDIN"  # set where the standard input is open as long as whoever asked for the run lives


class Stop:
    """Turns the first Ctrl-C (or polite kill) into a wish, so that no frame is left half done; the second is obeyed.

    Attributes:
        asked: Somebody wants the run to end after the present frame.
        killed: It was a kill, so nobody sits in front of the page.
    """

    def __init__(self) -> None:
        self.asked = self.killed = False

    def __enter__(self) -> "Stop":
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        if os.environ.get(PARENT):
            threading.Thread(target=self._end_with_parent, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _end_with_parent(self) -> None:
        """Stop politely when a worker that was killed cannot say so: its end of the pipe is closed."""
        while os.read(STDIN, 4096):  # not by sys.stdin, whose lock a daemon thread must not hold at the end
            pass
        if not self.asked:
            logger.info("whoever began this run is gone; finishing this frame, then stopping")
        self.asked = self.killed = True

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked, self.killed = True, number == signal.SIGTERM
        logger.info("finishing this frame, then stopping; once more to stop at once")
