"""A training that must be over at a time, and whose folder holds complete small files whenever it ends."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cut3r.weights.parts import renamed_into

END_S = 20.0  # for the last judgement and the last files


class TimeBox:
    """Time since this object was made, and a stop that comes in time whatever happens."""

    def __init__(self, minutes: float) -> None:
        self.total_s = 60 * minutes
        self.end_s = min(END_S, 0.2 * self.total_s)
        self.stopped = False
        self._began = time.monotonic()

    @property
    def left_s(self) -> float:
        """For learning."""
        return self.total_s - self.end_s - (time.monotonic() - self._began)

    @property
    def goes_on(self) -> bool:
        return self.left_s > 0 and not self.stopped

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Let SIGTERM and Ctrl-C end the training well. SIGTERM comes by itself when the time for learning is over; if
        even that does not help, the process ends a little before its time, with the files that are there."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        term = threading.Timer(self.left_s + 1, os.kill, (os.getpid(), signal.SIGTERM))
        kill = threading.Timer(self.left_s + 0.9 * self.end_s, os._exit, (1,))
        for timer in (term, kill):
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            term.cancel()
            kill.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        self.stopped = True


class SmallFiles:
    """What is brought back from another machine. Files are begun in a folder beside theirs, which holds no others.

    Args:
        anew: Begin a new log; otherwise the old one is continued.
    """

    def __init__(self, folder: Path, *, anew: bool) -> None:
        self.folder, self.rows = folder, list[dict[str, Any]]()
        self.scratch = folder.absolute().parent / f".{folder.absolute().name}.unfinished"
        for needed in (folder, self.scratch):  # at once: what cannot be written should fail before the training
            needed.mkdir(parents=True, exist_ok=True)
        if anew:
            (folder / "log.jsonl").unlink(missing_ok=True)

    def log(self, kind: str, values: dict[str, Any]) -> None:
        """Add a line to log.jsonl."""
        self.rows.append({"kind": kind, **values})
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(self.rows[-1]) + "\n")

    def write(self, name: str, content: bytes) -> None:
        with renamed_into(self.folder / name, self.scratch) as temporary:
            temporary.write_bytes(content)

    def curve(self, kind: str, name: str) -> list[tuple[float, float]]:
        """Give a logged number against minutes."""
        return [(row["seconds"] / 60, row[name]) for row in self.rows if row["kind"] == kind and name in row]

    def close(self) -> None:
        with suppress(OSError):  # something else is in it
            self.scratch.rmdir()
