"""One topic with pictures of a robot's recording, read as a video with the time stamps of its messages."""

import logging
import weakref
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from jaxtyping import UInt8

from cut3r.io.convert import Converter
from cut3r.io.decode import Picture, SaidOnce
from cut3r.io.grey import SAMPLES, GreyRange, grey_range, to_8_bits
from cut3r.io.images import WHITE
from cut3r.io.known_cameras import KnownCameras
from cut3r.io.recording import BrokenRecordingError, open_recording
from cut3r.io.ros_camera import camera_of
from cut3r.io.ros_pictures import CODECS, PICTURES, VIDEO, DamagedPictureError, picture_of, stamp_ns
from cut3r.io.topics import choose
from cut3r.io.video import Clock, RepeatableCapture, Stamp, public_name

logger = logging.getLogger(__name__)

GUESSED_FPS = 30.0  # of a topic with one message


class RecordedCapture(RepeatableCapture):
    """Pictures of a recording, one message at a time.

    Args:
        topic: Which of several; by default the only one that is no depth.

    Attributes:
        cameras: The calibration that the recording has for the topic, or None.

    Raises:
        ValueError: No such topic, several to choose from, an encoding that is not known, or damage.
    """

    def __init__(
        self,
        path: Path,
        *,
        topic: str | None = None,
        background: tuple[int, int, int] = WHITE,
        say: SaidOnce | None = None,
    ) -> None:
        self._path, self._wanted, self._background, self._say = path, topic, background, say or SaidOnce()
        self.name = public_name(path)
        self.live = False
        self._recording = open_recording(path)
        self._release = weakref.finalize(self, self._recording.close)  # so that one may also be forgotten
        try:
            self._topic = choose(self._recording.topics, topic, PICTURES, self.name)
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        """Look at the first message and the calibration; then begin, so that nothing else is read meanwhile."""
        topic = self._topic
        first = next(self._recording.messages(topic), None)
        if first is None:
            raise ValueError(f"{topic.name} of {self.name} holds no message; name another topic with --topic")
        self._uses_stamps = stamp_ns(first[1]) > 0
        self._video = _Video(first[1], self.name, self._say, self._background) if topic.kind in VIDEO else None
        shape = self._shape(first[1])
        self._grey = self._measured() if len(shape) == 2 else None
        self.frame_count = self.announced = topic.count
        self.fps = (topic.count - 1) / topic.duration_s if topic.count > 1 and topic.duration_s else GUESSED_FPS
        self._clock = Clock(self.fps)
        self.description = f"{topic.name} of {self.name}, {topic.count} pictures"
        size = (shape[0], shape[1]) if shape else None
        self.cameras: KnownCameras | None = camera_of(self._recording, topic, first[1], size, self.name, self._say)
        self._messages = self._recording.messages(topic)
        self._current: Any = None

    def reopen(self) -> "RecordedCapture":
        return RecordedCapture(self._path, topic=self._wanted, background=self._background, say=self._say)

    def grab(self) -> Stamp | None:
        message = self._following()
        if message is None:
            return None
        recorded_ns, self._current = message
        self.grabbed += 1
        if self._video is not None:
            self._video.push(self._current)
        taken_ns = stamp_ns(self._current) if self._uses_stamps else recorded_ns
        return Stamp(self.grabbed - 1, self._clock(taken_ns / 1e9))

    def retrieve(self) -> UInt8[np.ndarray, "h w 3"] | None:
        if self._current is None:
            return None
        if self._video is not None:
            return self._video.rgb()
        try:
            return self._rgb(self._current)
        except ValueError as error:
            self._say(logging.WARNING, "a picture of %s cannot be decoded: %s", self._topic.name, error)
            return None

    def close(self) -> None:
        self._messages, self._current = iter(()), None
        self._release()

    def _following(self) -> tuple[int, Any] | None:
        try:
            return next(self._messages, None)
        except BrokenRecordingError as error:
            self._say(logging.WARNING, "%s broke off after %d pictures: %s", self.name, self.grabbed, error)
            return None

    def _rgb(self, message: Any) -> UInt8[np.ndarray, "h w 3"]:
        values = picture_of(message, self._topic.kind)
        if values.ndim == 3:
            return values
        self._grey = self._grey or self._measured()
        return np.repeat(to_8_bits(values, self._grey)[..., None], 3, axis=2)

    def _measured(self) -> GreyRange:
        """Of pictures spread over the recording: the same range for every run."""
        begin, end = self._topic.first_ns, self._topic.last_ns
        parts = SAMPLES if self._recording.in_order else 1
        starts = [begin + (end - begin) * part // SAMPLES for part in range(parts)]
        samples = (next(self._recording.messages(self._topic, from_ns=start), None) for start in starts)
        pictures = (picture_of(sample[1], self._topic.kind) for sample in samples if sample is not None)
        found = grey_range(values for values in pictures if values.ndim == 2)
        said = "%s holds grey values of more than 8 bits: %.6g becomes black and %.6g white"
        self._say(logging.WARNING, said, self._topic.name, found.low, found.high)
        return found

    def _shape(self, message: Any) -> tuple[int, ...]:
        """Of the values of a picture; empty if this one is damaged, which is said when its turn comes.

        Raises:
            ValueError: An encoding that is not known, or any other reason that holds for all pictures.
        """
        if self._video is not None:
            return ()
        try:
            return picture_of(message, self._topic.kind).shape
        except DamagedPictureError:
            return ()
        except ValueError as error:
            raise ValueError(f"{self._topic.name} of {self.name} cannot be used: {error}") from error


class _Video:
    """Pictures of a video whose access units are messages. They build on each other, so each one is decoded."""

    def __init__(self, message: Any, name: str, say: SaidOnce, background: tuple[int, int, int]) -> None:
        codec = CODECS.get(str(message.format))
        if codec is None:
            raise ValueError(f"{name} holds video as {message.format!r}; expected {', '.join(CODECS)}")
        context = av.CodecContext.create(codec, "r")
        assert isinstance(context, VideoCodecContext)
        self._context = context
        self._context.thread_type = "SLICE"  # threads over frames would delay them
        self._context.flags |= av.codec.context.Flags.low_delay
        self._convert = Converter(name, say, background, parity=False)
        self._frame: av.VideoFrame | None = None

    def push(self, message: Any) -> None:
        try:
            frames = self._context.decode(av.Packet(bytes(message.data)))
        except (av.error.FFmpegError, NotImplementedError):
            frames = []
        self._frame = frames[-1] if frames else None

    def rgb(self) -> UInt8[np.ndarray, "h w 3"] | None:
        if self._frame is None:
            return None
        return self._convert(Picture(self._frame, None, self._context.sample_aspect_ratio or Fraction(1), False))
