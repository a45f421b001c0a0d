"""Video files, webcams and network streams, read strictly forwards through OpenCV.

Never by seeking: it is slow and, for some codecs, lands on another frame. Rotation metadata is applied by OpenCV.
"""

import contextlib
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
from jaxtyping import UInt8

DEFAULT_FPS = 30.0  # when a container names no plausible rate
NETWORK_TIMEOUT_S = 10.0  # to connect, and to wait for a frame


@dataclass(frozen=True)
class Stamp:
    """Where a frame stands in its source: index from 0, presentation time in seconds after the first frame."""

    index: int
    time_s: float


class Capture(ABC):
    """A source that only goes forwards: `grab` moves to the next frame, `retrieve` gives its pixels.

    Attributes:
        live: No known end, and opening it again gives other frames.
        frame_count: What the container announces, which may be wrong; None when it announces nothing.
        grabbed: Frames passed so far, so the index of the next one.
    """

    def __init__(self, target: str | Path | int, *, live: bool) -> None:
        self._capture = _open(target)
        self.name = public_name(target)
        self.live = live
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else DEFAULT_FPS
        w, h = (int(self._capture.get(name)) for name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        self.description = f"{'live ' if live else ''}{self.name}, {w}x{h} at {self.fps:.3g} fps"
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frame_count = count if count > 0 and not live else None
        self.grabbed = 0

    @abstractmethod
    def grab(self) -> Stamp | None:
        """Move to the next frame; None after the last."""

    @abstractmethod
    def retrieve(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """Upright RGB of the current frame; None when it cannot be decoded. Left out for frames that nobody needs."""

    @abstractmethod
    def close(self) -> None: ...


class SequentialCapture(Capture):
    """Every frame of a video file, or of a stream that waits for its reader (http)."""

    def __init__(self, target: str | Path) -> None:
        super().__init__(target, live=isinstance(target, str))
        self._target = target
        self._time_s = 0.0

    def reopen(self) -> "SequentialCapture":
        """The same source once more, from its first frame."""
        return SequentialCapture(self._target)

    def grab(self) -> Stamp | None:
        if not self._capture.grab():
            return None
        # Asked for after grab(), it is the stamp of the frame that was grabbed; before, of the one before it.
        time_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self.grabbed > 0 and time_s <= self._time_s:  # a container without time stamps, such as raw H.264
            time_s = self._time_s + 1 / self.fps
        self._time_s = time_s
        self.grabbed += 1
        return Stamp(self.grabbed - 1, time_s)

    def retrieve(self) -> UInt8[np.ndarray, "h w 3"] | None:
        decoded, bgr = self._capture.retrieve()
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB) if decoded else None

    def close(self) -> None:
        self._capture.release()


class NewestFrameCapture(Capture):
    """A camera that does not wait: a thread reads it all the time and keeps only the newest frame.

    Without the thread a reader slower than the camera would see the past, later and later. Indices count all frames of
    the source, so dropped ones show as gaps; time is the clock's, in seconds since the first frame.
    """

    def __init__(self, target: str | int) -> None:
        super().__init__(target, live=True)
        self._arrived = threading.Condition()
        self._newest: tuple[Stamp, np.ndarray] | None = None  # waiting to be taken
        self._current: np.ndarray | None = None  # taken by grab()
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="newest-frame", daemon=True)
        self._thread.start()

    def grab(self) -> Stamp | None:
        with self._arrived:
            self._arrived.wait_for(lambda: self._newest is not None or self._ended)
            if self._newest is None:
                return None
            (stamp, self._current), self._newest = self._newest, None
        self.grabbed = stamp.index + 1
        return stamp

    def retrieve(self) -> UInt8[np.ndarray, "h w 3"] | None:
        return None if self._current is None else cv2.cvtColor(self._current, cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        self._ended = True
        self._thread.join(timeout=1)  # a read that hangs ends by its own timeout; the thread releases the camera then

    def _read(self) -> None:
        index, start_s = 0, None
        try:
            while not self._ended:
                delivered, bgr = self._capture.read()
                if not delivered:
                    break
                now_s = time.monotonic()
                start_s = now_s if start_s is None else start_s
                with self._arrived:
                    self._newest = (Stamp(index, now_s - start_s), bgr)
                    self._arrived.notify()
                index += 1
        finally:
            with self._arrived:
                self._ended = True
                self._arrived.notify()
            self._capture.release()


def is_stream(source: str) -> bool:
    """`camera:0`, or any URL but a file's."""
    return source.startswith("camera:") or ("://" in source and not source.startswith("file:"))


def open_stream(source: str) -> Capture:
    """Open a webcam (`camera:0`) or a network address.

    Raises:
        ValueError: It cannot be opened.
    """
    if source.startswith("camera:"):
        number = source.removeprefix("camera:")
        if not number.isdecimal():
            raise ValueError(f"'{source}' names no camera; expected a number as in camera:0, the first one")
        return NewestFrameCapture(int(number))
    if source.startswith(("http://", "https://")):
        return SequentialCapture(source)
    return NewestFrameCapture(source)


def public_name(target: str | Path | int) -> str:
    """Name a source in logs and frames: file name, camera:0, or a URL (the str) without user, password and query."""
    if isinstance(target, int):
        return f"camera:{target}"
    if isinstance(target, Path):
        return target.name
    url = urlsplit(target)
    port = f":{url.port}" if url.port else ""
    return f"{url.scheme}://{url.hostname or ''}{port}{url.path}"


def _open(target: str | Path | int) -> cv2.VideoCapture:
    with _quiet():
        if isinstance(target, int):
            capture = cv2.VideoCapture(target)
        else:
            # FFmpeg by name: left to choose, OpenCV takes "frame_01.jpg" for an image sequence.
            timeout_ms = int(1000 * NETWORK_TIMEOUT_S)
            timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms]
            capture = cv2.VideoCapture(str(target), cv2.CAP_FFMPEG, timeouts if isinstance(target, str) else [])
    if not capture.isOpened():
        raise ValueError(_why_not_open(target))
    return capture


def _why_not_open(target: str | Path | int) -> str:
    if isinstance(target, int):
        return f"camera:{target} cannot be opened; check that it is plugged in, not in use, and that you may read it"
    if isinstance(target, str):
        return f"the stream {public_name(target)} cannot be opened; check the address, the network and the password"
    return (
        f"{target} cannot be opened as a video; it is damaged, cut off before its index was written, or of a kind that "
        "FFmpeg does not know: try to play or re-encode it"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV and FFmpeg from writing to stderr: our own errors say it better."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read by OpenCV when it first opens a video
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
