"""Animated pictures (GIF, WebP, PNG) and TIFF files with several pages, read as a video of all their frames."""

import struct
import weakref
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cut3r.io.grey import GreyScale
from cut3r.io.images import WHITE, page_numbers, to_rgb, turn_upright
from cut3r.io.metadata import orientation
from cut3r.io.video import RepeatableCapture, Stamp, printable, public_name

ANIMATED_FORMATS = ("GIF", "WEBP", "PNG", "TIFF", "AVIF")  # not MPO, a photo with its preview
PAUSE_S = 0.1  # how long browsers show a frame that names no time

MAX_PIXELS = 89_478_485  # of a frame; more are a mistake, or a bomb

# What Pillow's decoders raise on damaged bytes; it documents no common base class.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)


class AnimationCapture(RepeatableCapture):
    """The frames of an animated picture with their times, transparency over `background`.

    Raises:
        ValueError: It cannot be opened, or its frames are too large.
    """

    def __init__(self, path: Path, *, background: tuple[int, int, int] = WHITE) -> None:
        self._path, self._background = path, background
        self.name = public_name(path)
        self.live = False
        try:
            self._image = Image.open(path, formats=ANIMATED_FORMATS)
        except _DAMAGE as error:
            raise ValueError(
                f"{printable(path)} cannot be opened ({error}); it is damaged: copy or export it again"
            ) from error
        self._release = weakref.finalize(self, self._image.close)  # so that one may also be forgotten
        w, h = self._image.size
        if w * h > MAX_PIXELS:
            raise ValueError(
                f"the frames of {printable(path)} have {w}x{h} pixels, expected at most {MAX_PIXELS:,}; "
                "it is damaged, or has to be made smaller first"
            )
        self._numbers = page_numbers(self._image)
        self._grey = GreyScale.of_pages(path, self._numbers)
        self.frame_count = self.announced = len(self._numbers)
        self._next_s = 0.0
        self._loaded = False
        self._load(0)
        self.fps = 1 / self._duration_s()
        self.description = f"{self.name}, {self.frame_count} frames of {w}x{h}"

    def reopen(self) -> "AnimationCapture":
        return AnimationCapture(self._path, background=self._background)

    def grab(self) -> Stamp | None:
        if self.grabbed == self.frame_count:
            return None
        self._load(self.grabbed)
        stamp = Stamp(self.grabbed, self._next_s)
        self._next_s += self._duration_s()
        self.grabbed += 1
        return stamp

    def retrieve(self) -> UInt8[np.ndarray, "h w 3"] | None:
        if not self._loaded:
            return None
        rgb = to_rgb(self._image, self._background, self._path, self._grey)
        return turn_upright(rgb, orientation(self._image))

    def close(self) -> None:
        self.grabbed = len(self._numbers)
        self._release()

    def _load(self, index: int) -> None:
        """Pictures of an animation build on each other, so each is decoded even when nobody needs it."""
        try:
            self._image.seek(self._numbers[index])
            self._image.load()
            self._loaded = True
        except _DAMAGE:
            self._loaded = False

    def _duration_s(self) -> float:
        return (self._image.info.get("duration") or 1000 * PAUSE_S) / 1000
