"""Videos as every player shows them: H.264 in an .mp4, frames at the times that they are given."""

import os
from contextlib import ExitStack
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from cut3r.files.atomic import atomic_path

if TYPE_CHECKING:
    from av.packet import Packet

TICKS = 90_000  # per second: every usual frame rate is a whole number of them
QUALITY = "18"  # constant rate factor: the eye sees no difference
MOST_SIDE = 4096  # that hardware decoders take


class VideoWriter:
    """Use it in a `with`: leaving it without an error puts the whole file in its place.

    Args:
        fps: Frames per second of frames that have no time of their own.

    Raises:
        ValueError: Not an .mp4.
    """

    def __init__(self, path: str | os.PathLike[str], *, fps: float = 30.0) -> None:
        check_video_suffix(path)
        self._path, self._step = path, TICKS / fps
        self._first: float | None = None
        self._last = -1
        self._size: tuple[int, int] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> "VideoWriter":
        import av

        temporary = self._stack.enter_context(atomic_path(self._path))
        self._file = self._stack.enter_context(av.open(str(temporary), "w", options={"movflags": "faststart"}))
        self._track = self._file.add_stream("libx264", options={"crf": QUALITY, "preset": "veryfast"})
        self._track.pix_fmt = "yuv420p"
        self._track.time_base = self._track.codec_context.time_base = Fraction(1, TICKS)
        return self

    def add(self, rgb: UInt8[np.ndarray, "h w 3"], time_s: float | None = None) -> None:
        """Append a picture. All have one size; an odd row or column, which H.264 cannot hold, is left out.

        Args:
            time_s: When it is shown; the first one is shown at once. None: at the next step of `fps`.

        Raises:
            ValueError: The picture has another size than the first, or more than 4,096 pixels on a side.
        """
        import av

        h, w = rgb.shape[:2]
        if self._size is None:
            if max(h, w) > MOST_SIDE or min(h, w) < 2:
                raise ValueError(f"a video of {w}x{h} pixels plays nowhere; expected 2 to {MOST_SIDE} on each side")
            self._size, self._track.height, self._track.width = (h, w), h - h % 2, w - w % 2
        elif (h, w) != self._size:
            raise ValueError(f"a picture has {w}x{h} pixels and the first one {self._size[1]}x{self._size[0]}")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb[: h - h % 2, : w - w % 2]), format="rgb24")
        frame.pts, frame.time_base = self._tick(time_s), Fraction(1, TICKS)
        self._mux(self._track.encode(frame))

    def _mux(self, packets: "list[Packet]") -> None:
        for packet in packets:
            packet.duration = round(self._step)  # counts for the last one: the others end when the next begins
        self._file.mux(packets)

    def _tick(self, time_s: float | None) -> int:
        if time_s is None or not np.isfinite(time_s):
            tick = 0 if self._last < 0 else round(self._last + self._step)
        else:
            self._first = time_s if self._first is None else self._first
            tick = round((time_s - self._first) * TICKS)
        self._last = max(tick, self._last + 1)  # times that stand still, or go back, make no video
        return self._last

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is None:
                if self._size is None:
                    raise ValueError(f"there is no picture for {self._path}")
                self._mux(self._track.encode())
            self._stack.pop_all().__exit__(kind, error, trace)


def check_video_suffix(path: str | os.PathLike[str]) -> None:
    """Refuse another suffix than .mp4."""
    if os.path.splitext(path)[1].lower() != ".mp4":
        raise ValueError(f"{path} is no name for a video; expected .mp4")
