"""One track of a video file or network stream, decoded strictly forwards with PyAV (FFmpeg's libraries).

Never by seeking: it is slow and, for some codecs, lands on another frame. Damage does not end a track: what cannot be
decoded is counted, and frames that the decoder had to guess in part are marked.
"""

import logging
import shlex
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from io import FileIO
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from cut3r.io.deinterlace import Deinterlacer

DEFAULT_FPS = 30.0  # when a container names no plausible rate
NETWORK_TIMEOUT_S = 10.0  # to connect, and to wait for a frame
MAX_FAILED_READS = 100  # before damage of the container counts as its end
_NO_FOOTAGE = Disposition.attached_pic | Disposition.timed_thumbnails  # the cover of an album

logger = logging.getLogger(__name__)


class SaidOnce:
    """Logs each kind of fact about a source once, however often it comes up or the source is opened."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, level: int, message: str, *values: object) -> None:
        if message not in self._said:
            self._said.add(message)
            logger.log(level, message, *values)


@dataclass(frozen=True)
class Picture:
    """A decoded frame, not yet converted.

    Attributes:
        time_s: On the source's own clock; None when it has none.
        aspect: Width over height of one pixel.
        damaged: Part of it is guessed, or it builds on a frame that is.
    """

    frame: av.VideoFrame
    time_s: float | None
    aspect: Fraction
    damaged: bool


class Decoder:
    """The pictures of one video track in the order in which they are shown.

    Not for several threads at once.

    Raises:
        ValueError: No video track, or no decoder for it; FFmpeg's own errors when the source cannot be opened.

    Attributes:
        announced: How many frames the header promises; None when it promises nothing.
        expected: The same, or else an estimate from duration and rate.
        failed: Packets so far that gave no picture.
        codec: Its short name, such as h264.
    """

    def __init__(self, target: Path | str, name: str, say: SaidOnce) -> None:
        self._name, self._say = name, say
        source = open(target, "rb", buffering=0) if isinstance(target, Path) else target  # noqa: SIM115
        with ExitStack() as opened:
            if not isinstance(source, str):
                opened.callback(source.close)
            self._container = opened.enter_context(_open_container(source))
            self._stream = _choose(self._container, name, say)
            self._release = weakref.finalize(self, opened.pop_all().close)  # so that one may also be forgotten
        self._release.atexit = False  # a thread may still be reading
        self._stream.thread_type = "AUTO"
        self.codec = self._stream.codec_context.name
        self.fps = _rate(self._stream)
        self.announced = self._stream.frames or None
        self.expected = self.announced or _estimate(self._container, self._stream, self.fps)
        self.failed = 0
        self._failed_reads = 0
        self._aspect: Fraction | None = self._stream.sample_aspect_ratio
        self._coded_aspect: Fraction | None = self._stream.codec_context.sample_aspect_ratio
        self._packets: Iterator[av.Packet] = self._container.demux(self._stream)
        self._pictures: deque[Picture] = deque()
        self._deinterlacer = Deinterlacer()
        self._damaged = False  # since the last key frame
        self._cut_off: set[int] = set()  # time stamps of packets that the container knows to be incomplete
        self._size: tuple[int, int] | None = None  # (w, h) of the last frame
        self._decoded = 0
        self._ended = False

    def read(self) -> Picture | None:
        """The next picture; None after the last."""
        while not self._pictures and not self._ended:
            self._decode(self._next_packet())
        return self._pictures.popleft() if self._pictures else None

    def peek(self) -> Picture | None:
        """The picture that the next `read` will give."""
        picture = self.read()
        if picture is not None:
            self._pictures.appendleft(picture)
        return picture

    def close(self) -> None:
        """Release the file or connection; there are no pictures any more."""
        self._ended = True
        self._pictures.clear()
        self._release()

    def _next_packet(self) -> av.Packet | None:
        """None when nothing more can be read; the empty packet before it empties the decoder."""
        try:
            return next(self._packets, None)
        except av.error.InvalidDataError:
            self._missing()
            self._failed_reads += 1
        except (av.error.FFmpegError, OSError) as error:
            self._say(logging.WARNING, "%s broke off: %s", self._name, why(error))
            return None
        if self._failed_reads > MAX_FAILED_READS:
            return None
        self._packets = self._container.demux(self._stream)  # a generator ends with its first error
        return self._next_packet()

    def _decode(self, packet: av.Packet | None) -> None:
        if packet is not None and packet.is_discard and self.announced is not None:
            self.announced -= 1  # an edit list cuts it out
        if packet is not None and packet.is_corrupt and packet.pts is not None:
            self._cut_off.add(packet.pts)
        empty = packet is None or packet.size == 0
        last = packet is None or (empty and packet.dts is None and packet.pts is None)
        if empty and not last:
            return  # no news, in AVI; to the decoder it would mean the end
        frames: list[av.VideoFrame] = []
        try:
            frames = self._stream.decode(packet)
        except av.error.EOFError:  # the decoder has been emptied before
            pass
        except (av.error.FFmpegError, NotImplementedError):
            self._missing()
        for frame in frames:
            self._deinterlace(frame)
        if last:
            self._deinterlace(None)
            self._ended = True

    def _missing(self) -> None:
        self.failed += 1
        self._damaged = True

    def _deinterlace(self, frame: av.VideoFrame | None) -> None:
        if frame is not None:
            self._watch_size(frame)
        if frame is not None and frame.interlaced_frame:
            self._say(logging.INFO, "%s is interlaced; its half pictures are made whole (bwdif)", self._name)
        for taken, whole in self._deinterlacer.push(frame):
            self._pictures.append(Picture(whole, _time_s(taken), self._aspect_of(taken), self._is_damaged(taken)))

    def _watch_size(self, frame: av.VideoFrame) -> None:
        size = (frame.width, frame.height)
        if size != (self._size or size):
            message = "the coded size of %s changes from %dx%d to %dx%d at frame %d; each frame is used at its own size"
            self._say(logging.WARNING, message, self._name, *(self._size or size), *size, self._decoded)
        self._size = size
        self._decoded += 1

    def _is_damaged(self, frame: av.VideoFrame) -> bool:
        """Damage lasts until the next key frame: what comes before that builds on damaged pictures."""
        corrupt = frame.is_corrupt or frame.pts in self._cut_off
        self._cut_off -= {frame.pts}
        self._damaged = corrupt or (self._damaged and not frame.key_frame)
        return self._damaged

    def _aspect_of(self, frame: av.VideoFrame) -> Fraction:
        """The container's word counts, until the stream changes its own, which the decoder knows some frames ahead."""
        codec = self._stream.codec_context
        reached = (codec.height, codec.width) == (frame.height, frame.width)
        if reached and codec.sample_aspect_ratio != self._coded_aspect:
            self._coded_aspect = self._aspect = codec.sample_aspect_ratio
        return self._aspect or Fraction(1)


def _open_container(source: FileIO | str) -> InputContainer:
    """A file comes as an open one: its name is then no address, pattern or option, and may hold any bytes."""
    if not isinstance(source, str):
        return av.open(source, "r", metadata_errors="replace")
    options = {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}
    return av.open(source, "r", options=options, timeout=NETWORK_TIMEOUT_S, metadata_errors="replace")


def _choose(container: InputContainer, name: str, say: SaidOnce) -> VideoStream:
    """The track that players show: the largest of those marked as default, or of all when none is."""
    tracks = [track for track in container.streams.video if not track.disposition & _NO_FOOTAGE]
    if not tracks:
        raise ValueError(f"{name} holds no video track; name a video, or a folder of images")
    if all(track.codec_context is None for track in tracks):
        raise ValueError(f"the codec of {name} is unknown to FFmpeg here; {how_to_convert(name)}")
    known = [track for track in tracks if track.codec_context is not None]
    default = [track for track in known if track.disposition & Disposition.default] or known
    chosen = max(default, key=lambda track: track.width * track.height)
    if len(tracks) > 1:
        say(
            logging.INFO,
            "%s holds %d video tracks; number %d is used (%dx%d)",
            name,
            len(tracks),
            tracks.index(chosen) + 1,
            chosen.width,
            chosen.height,
        )
    return chosen


def why(error: av.error.FFmpegError | OSError) -> str:
    """Without the address that FFmpeg's own text holds, and so without its password."""
    if isinstance(error, av.error.ExitError):
        return f"nothing came for {NETWORK_TIMEOUT_S:g} seconds"
    return str(error.strerror)


def how_to_convert(name: str) -> str:
    """The command that makes a readable video of nearly anything."""
    return f"convert it first: ffmpeg -i {shlex.quote(name)} -c:v libx264 -crf 18 -pix_fmt yuv420p converted.mp4"


def _rate(stream: VideoStream) -> float:
    for rate in (stream.guessed_rate, stream.average_rate):
        if rate is not None and 0 < rate <= 1000:
            return float(rate)
    return DEFAULT_FPS


def _estimate(container: InputContainer, stream: VideoStream, fps: float) -> int | None:
    if stream.duration is not None and stream.time_base is not None:
        return round(stream.duration * stream.time_base * Fraction(fps)) or None
    return round(container.duration / av.time_base * fps) or None if container.duration else None


def _time_s(frame: av.VideoFrame) -> float | None:
    ticks = frame.pts if frame.pts is not None else frame.dts
    return None if ticks is None or frame.time_base is None else float(ticks * frame.time_base)
