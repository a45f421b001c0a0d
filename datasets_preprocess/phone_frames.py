"""Frames of SmartPortraits' phone by their time: pictures that were decoded before, or the video."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cut3r.files.listing import visible
from cut3r.io.images import read_image
from cut3r.io.video import SequentialCapture

TIMES = "*_aligned_timestamps.csv"


class PhoneFrames(ABC):
    """The frames of a recording; `times` are those at which they were taken, in nanoseconds."""

    times: list[int]

    @abstractmethod
    def read(self, time: int) -> UInt8[np.ndarray, "h w 3"]:
        """Read a frame; call in the order of time."""

    @abstractmethod
    def finish(self) -> None:
        """Raise ValueError if it turns out that the times are not those of the frames that were read."""

    @abstractmethod
    def close(self) -> None:
        """Release what is open."""


class DecodedFrames(PhoneFrames):
    """Pictures named <time>.png."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.times = sorted(int(path.stem) for path in visible(folder, "*.png") if path.stem.isdigit())

    def read(self, time: int) -> UInt8[np.ndarray, "h w 3"]:
        return read_image(self.folder / f"{time}.png")

    def finish(self) -> None:
        """Names of pictures are their times."""

    def close(self) -> None:
        """Nothing is open."""


class VideoFrames(PhoneFrames):
    """The frames of a video, and a file with one time per line.

    Raises:
        ValueError: Their numbers differ; the video is damaged; or the file holds something else.
    """

    def __init__(self, video: Path, times: Path) -> None:
        self.video, self.times = video, read_times(times)
        self._capture = SequentialCapture(video)
        self._expect(self._capture.announced)

    def read(self, time: int) -> UInt8[np.ndarray, "h w 3"]:
        number = self.times.index(time)
        while self._capture.grabbed <= number:
            stamp = self._capture.grab()
            if stamp is None or stamp.damaged or self._capture.failed:
                raise ValueError(f"{self.video} is damaged before frame {number}; copy or download it again")
        rgb = self._capture.retrieve()
        if rgb is None:
            raise ValueError(f"frame {number} of {self.video} cannot be decoded")
        return rgb

    def finish(self) -> None:
        while self._capture.grab() is not None:
            pass
        self._expect(self._capture.grabbed)

    def close(self) -> None:
        self._capture.close()

    def _expect(self, frames: int | None) -> None:
        if frames is not None and frames != len(self.times):
            raise ValueError(f"{self.video} has {frames} frames and {len(self.times)} times; download both again")


def phone_frames(folder: Path) -> PhoneFrames:
    """Open the frames of a recording, decoded ones first.

    Raises:
        ValueError: There is nothing, or not one video with one file of times.
    """
    decoded = DecodedFrames(folder)
    if decoded.times:
        return decoded
    videos, times = visible(folder, "*.mp4"), visible(folder, TIMES)
    if not len(videos) == len(times) == 1:
        raise ValueError(
            f"{folder} holds {len(videos)} videos and {len(times)} files {TIMES}; expected one of each, or pictures "
            "named <time>.png"
        )
    return VideoFrames(videos[0], times[0])


def read_times(path: Path) -> list[int]:
    """Read one whole number of nanoseconds per line, rising.

    Raises:
        ValueError: A line that holds something else.
    """
    times: list[int] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if text and not (text.isdigit() and int(text) > (times[-1] if times else -1)):
            raise ValueError(f"{path}, line {number}: '{line}'; expected nanoseconds, later than the line before")
        times += [int(text)] if text else []
    return times
