"""Webcams, which OpenCV reads."""

import contextlib
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import UInt8

from cut3r.io.decode import DEFAULT_FPS


class Webcam:
    """Pictures of a camera by its number, in OpenCV's order of colours until `rgb`.

    Raises:
        ValueError: It cannot be opened.
    """

    failed = 0  # OpenCV does not count

    def __init__(self, number: int) -> None:
        self._camera = _open(number)
        w, h = (int(self._camera.get(name)) for name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        fps = self._camera.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else DEFAULT_FPS
        self.description = f"camera:{number}, {w}x{h} at {self.fps:.3g} fps"

    def read(self) -> UInt8[np.ndarray, "h w 3"] | None:
        delivered, bgr = self._camera.read()
        return bgr if delivered else None

    def rgb(self, bgr: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        self._camera.release()


def _open(number: int) -> cv2.VideoCapture:
    with _quiet():
        camera = cv2.VideoCapture(number)
    if not camera.isOpened():
        raise ValueError(
            f"camera:{number} cannot be opened; check that it is plugged in, not in use, and that you may read it"
        )
    return camera


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV from writing to stderr: our own errors say it better."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
