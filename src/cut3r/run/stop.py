"""Ctrl-C that ends a run after the present frame."""

import logging
import signal
from types import FrameType

logger = logging.getLogger(__name__)


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
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked, self.killed = True, number == signal.SIGTERM
        logger.info("finishing this frame, then stopping; once more to stop at once")
