"""Video files, webcams and network streams, read strictly forwards."""

import os
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np
from jaxtyping import UInt8

from cut3r.io.convert import Converter
from cut3r.io.decode import Decoder, Picture, SaidOnce, how_to_convert, why
from cut3r.io.images import WHITE
from cut3r.io.webcam import Webcam


@dataclass(frozen=True)
class Stamp:
    """Where a frame stands in its source: index from 0, presentation time in seconds after the first frame.

    `damaged`: the decoder had to guess part of it, or of a frame that it builds on.
    """

    index: int
    time_s: float
    damaged: bool = False


class Capture(ABC):
    """A source that only goes forwards: `grab` moves to the next frame, `retrieve` gives its pixels.

    Attributes:
        name: For logs and frames, without secrets.
        description: One line for people.
        fps: Of the container, or a guess.
        live: No known end, and opening it again gives other frames.
        frame_count: How many frames will probably come; None when unknown.
        announced: How many frames the header promises, which may be wrong; None when it promises nothing.
        grabbed: Frames passed so far, so the index of the next one.
        failed: Packets of the source so far that could not be decoded; their frames are missing.
        advice: What to do when no frame comes.
    """

    name: str
    description: str
    fps: float
    live: bool
    frame_count: int | None = None
    announced: int | None = None
    grabbed: int = 0
    failed: int = 0
    advice: str = "try to play or re-encode it"

    @abstractmethod
    def grab(self) -> Stamp | None:
        """Move to the next frame; None after the last."""

    @abstractmethod
    def retrieve(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """Upright RGB of the current frame; None when it cannot be decoded. Left out for frames that nobody needs."""

    @abstractmethod
    def close(self) -> None: ...


class RepeatableCapture(Capture):
    """A source that can be read again, unless it is `live`."""

    @abstractmethod
    def reopen(self) -> "RepeatableCapture":
        """The same source once more, from its first frame."""


class SequentialCapture(RepeatableCapture):
    """Every frame of a video file, of a pipe, or of a stream that waits for its reader (http).

    It may be closed from another thread than the one that reads it.
    """

    def __init__(
        self,
        target: str | Path,
        *,
        background: tuple[int, int, int] = WHITE,
        parity: bool = False,
        say: SaidOnce | None = None,
    ) -> None:
        self._arguments: dict[str, Any] = {"background": background, "parity": parity, "say": say or SaidOnce()}
        self._target = target
        self.name = public_name(target)
        self._video = _Video(target, **self._arguments)
        self.fps = self._video.fps
        self.is_pipe = isinstance(target, Path) and not target.is_file()
        self.live = isinstance(target, str) or self.is_pipe
        self.description = f"{'pipe ' if self.is_pipe else 'live ' if self.live else ''}{self._video.description}"
        self.frame_count = None if self.live else self._video.decoder.expected
        self.advice = f"its codec is {self._video.decoder.codec}; {how_to_convert(self.name)}"
        self._picture: Picture | None = None
        self._clock = Clock(self.fps)
        self._reading = threading.Lock()
        self._closed = False

    def reopen(self) -> "SequentialCapture":
        return SequentialCapture(self._target, **self._arguments)

    def grab(self) -> Stamp | None:
        with self._reading:
            self._picture = None if self._closed else self._video.decoder.read()
            self.failed, self.announced = self._video.failed, self._video.decoder.announced
        if self._closed:  # while it was being read, and by a thread that could not wait for the end of that
            self.close()
            self._picture = None
        if self._picture is None:
            return None
        self.grabbed += 1
        return Stamp(self.grabbed - 1, self._clock(self._picture.time_s), self._picture.damaged)

    def retrieve(self) -> UInt8[np.ndarray, "h w 3"] | None:
        return None if self._picture is None else self._video.rgb(self._picture)

    def close(self) -> None:
        self._closed = True
        if self._reading.acquire(timeout=1):  # FFmpeg dies when it is closed while it reads
            try:
                self._video.close()
            finally:
                self._reading.release()


class NewestFrameCapture(Capture):
    """A camera that does not wait: a thread reads it all the time and keeps only the newest frame.

    Without the thread a reader slower than the camera would see the past, later and later. Indices count all frames of
    the source, so dropped ones show as gaps; time is the clock's, in seconds since the first frame.
    """

    def __init__(self, target: str | int) -> None:
        self.name = public_name(target)
        self.live = True
        self._source: _Video | Webcam = Webcam(target) if isinstance(target, int) else _Video(target)
        self.fps = self._source.fps
        self.description = f"live {self._source.description}"
        self._arrived = threading.Condition()
        self._newest: tuple[Stamp, Any] | None = None  # waiting to be taken
        self._current: Any = None  # taken by grab()
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
        return None if self._current is None else self._source.rgb(self._current)

    def close(self) -> None:
        self._ended = True
        self._thread.join(timeout=1)  # a read that hangs ends by its own timeout; the thread releases the camera then

    def _read(self) -> None:
        index, start_s = 0, None
        try:
            while not self._ended and (picture := self._source.read()) is not None:
                now_s = time.monotonic()
                start_s = now_s if start_s is None else start_s
                damaged = isinstance(picture, Picture) and picture.damaged
                with self._arrived:
                    self._newest = (Stamp(index, now_s - start_s, damaged), picture)
                    self._arrived.notify()
                index += 1
        finally:
            self.failed = self._source.failed
            with self._arrived:
                self._ended = True
                self._arrived.notify()
            self._source.close()


class _Video:
    """A decoder and the converter of its pictures."""

    def __init__(
        self,
        target: str | Path,
        background: tuple[int, int, int] = WHITE,
        parity: bool = False,
        say: SaidOnce | None = None,
    ) -> None:
        name, say = public_name(target), say or SaidOnce()
        self.decoder = _decoder(target, name, say)
        self.rgb = Converter(name, say, background, parity=parity)
        self.read, self.close, self.fps = self.decoder.read, self.decoder.close, self.decoder.fps
        first = self.decoder.peek()
        size = "" if first is None else "{1}x{0} ".format(*self.rgb.size(first))
        self.description = f"{name}, {size}at {self.fps:.3g} fps"

    @property
    def failed(self) -> int:
        return self.decoder.failed


class Clock:
    """Seconds after the first frame, always rising: what has no time stamp, such as raw H.264, is timed by its rate."""

    def __init__(self, fps: float) -> None:
        self._step_s = 1 / fps
        self._origin_s: float | None = None
        self._last_s: float | None = None

    def __call__(self, time_s: float | None) -> float:
        if self._last_s is None:
            self._origin_s, self._last_s = time_s, 0.0
            return 0.0
        now_s = None if time_s is None or self._origin_s is None else time_s - self._origin_s
        self._last_s = now_s if now_s is not None and now_s > self._last_s else self._last_s + self._step_s
        return self._last_s


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
        return printable(target.name)
    url = urlsplit(target)
    port = f":{url.port}" if url.port else ""
    return f"{url.scheme}://{url.hostname or ''}{port}{url.path}"


def printable(path: str | Path) -> str:
    """The path with a question mark in place of each byte that is not UTF-8, which no log or text file could take."""
    return os.fsencode(path).decode(errors="replace")


def _decoder(target: str | Path, name: str, say: SaidOnce) -> Decoder:
    try:
        return Decoder(target, name, say)
    except (av.error.FFmpegError, OSError) as error:
        reason = why(error)
    if isinstance(target, str):
        raise ValueError(
            f"the stream {name} cannot be opened ({reason}); check the address, the network and the password"
        )
    raise ValueError(
        f"{printable(target)} cannot be opened as a video ({reason}); it is damaged, cut off before its index was "
        "written, or of a kind that FFmpeg does not know: try to play or re-encode it"
    )
