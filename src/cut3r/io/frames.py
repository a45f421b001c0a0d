"""One lazy stream of frames from any source: folder, files, video, webcam or network.

    for frame in open_frames("kitchen.mp4"):
        ...

A stream is consumed once and holds one frame at a time; to see the frames again, call `open_frames` again.
"""

import logging
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import TracebackType

from cut3r.files.fingerprint import fingerprint
from cut3r.io.animation import AnimationCapture
from cut3r.io.frame import Frame
from cut3r.io.images import GreyScale, UnreadableImageError, page_count, read_image
from cut3r.io.joined import Joined, clips_of
from cut3r.io.known_cameras import KnownCameras
from cut3r.io.panorama import views_of
from cut3r.io.recorded import RecordedCapture
from cut3r.io.recording import files_of, is_recording
from cut3r.io.selection import FrameOptions, Selector, SortOrder, spread
from cut3r.io.sources import find_images
from cut3r.io.video import (
    Capture,
    NewestFrameCapture,
    RepeatableCapture,
    SequentialCapture,
    Stamp,
    is_stream,
    open_stream,
    public_name,
)

__all__ = ["Frame", "FrameOptions", "FrameStream", "SortOrder", "open_frames"]

logger = logging.getLogger(__name__)


class FrameStream:
    """An iterator over frames that decodes each one when it is asked for, and nothing ahead.

    Attributes:
        expected: How many frames will probably come, for a progress display; None when unknown. Not a promise.
        live: A webcam or network stream: no known end, and opening it again gives other frames.
        description: One line for people.
        skipped: Names and reasons of the unreadable frames so far (only with `FrameOptions.skip_bad`).
        files: The files that the frames come from; none when live.
        fingerprint: Changes when the files behind the stream do (their names, order, sizes or times), so that a run can
            tell whether it goes on with what it began; None when live.
        cameras: The calibration that the source itself has, as the recording of a robot may; None without one. It is
            put onto frames by `cut3r.run.known.Known`.
    """

    def __init__(
        self,
        frames: Iterator[Frame],
        description: str,
        *,
        expected: int | None,
        skipped: list[str],
        live: bool = False,
        files: Sequence[Path] = (),
        release: Callable[[], None] = lambda: None,
        cameras: KnownCameras | None = None,
    ) -> None:
        self.cameras = cameras
        self.description = description
        self.expected = expected
        self.live = live
        self.skipped = skipped
        self.files = tuple(files)
        self.fingerprint = None if live else fingerprint(files)
        self._frames = frames
        self._release = release

    def __iter__(self) -> "FrameStream":
        return self

    def __next__(self) -> Frame:
        try:
            return next(self._frames)
        except BaseException:  # the end, an unreadable frame, an interrupt: nothing comes after any of them
            self.close()
            raise

    def close(self) -> None:
        """Release the file or camera; the stream is at its end then."""
        self._frames = iter(())
        self._release()

    def __enter__(self) -> "FrameStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_frames(
    source: str | Path | Sequence[str | Path],
    options: FrameOptions | None = None,
    *,
    skip: int = 0,
    check: Callable[[Frame], None] | None = None,
) -> FrameStream:
    """Open a source of frames; nothing is decoded until the first frame is asked for.

    Args:
        source: A folder of images, a list of images, a glob pattern, a text file with one path per line (relative to
            it), one image, a video file, an animated image or one with several pages, the recording of a robot (.mcap,
            ROS bag), a pipe that a video comes through, "camera:0", or a URL (rtsp, http, ...). A path that exists is
            never taken for a pattern. A list, or text file, of videos and folders gives their frames one after the
            other; options hold for each of them.
        options: Selection and decoding; all frames in natural order by default.
        skip: Leave out the first so many frames that would otherwise be given, to resume a run. Cheap: photos are not
            decoded and frames of a video not converted, except with skip_bad, where it must be known which ones count.
        check: Raises ValueError for a frame that cannot be used, such as one that is too narrow; it then counts as
            unreadable.

    Raises:
        FileNotFoundError: No such file or folder, or a pattern without a match.
        ValueError: A source without images, a video that cannot be opened, a selection that the source cannot do.
            While iterating: a frame that cannot be read, unless `options.skip_bad`; a selection that starts after the
            end of a video. Frames that are damaged but can be read are counted and used, unless `options.skip_bad`.
    """
    options = options or FrameOptions()
    bad = _BadFrames(options.skip_bad, check)
    if skip < 0:
        raise ValueError(f"skip is {skip}, expected 0 or more frames")
    if not isinstance(source, (str, Path)) and len(source) == 1:
        source = source[0]
    if options.panorama is not None:
        whole, first = divmod(skip, options.panorama)
        stream = open_frames(source, replace(options, panorama=None), skip=whole, check=check)
        return _cut_stream(stream, options.panorama, first)
    if isinstance(source, str) and is_stream(source):
        if skip:
            raise ValueError(f"{public_name(source)} is live and cannot be resumed; start a new run")
        return _capture_stream(open_stream(source), options, skip, bad)
    if not options.parity and (clips := clips_of(source)) is not None:
        return _joined_stream(clips, options, skip, check)
    found = find_images(source, options)
    if isinstance(found, Path) and is_recording(found):
        recorded = RecordedCapture(found, topic=options.topic, background=options.background)
        return _capture_stream(recorded, options, skip, bad, files=files_of(found), cameras=recorded.cameras)
    if options.topic is not None:
        raise ValueError(f"--topic {options.topic} chooses a stream of a recording (.mcap, ROS bag); {source} is none")
    if isinstance(found, Path):
        return _capture_stream(_open_file(found, options, skip), options, skip, bad, files=[found])
    return _photo_stream(found, options, skip, bad)


def _cut_stream(stream: FrameStream, count: int, first: int) -> FrameStream:
    """The views of panoramas, from the so-manieth view of the first one on."""
    views = (view for frame in stream for view in views_of(frame, count))
    return FrameStream(
        islice(views, first, None),
        f"{count} views each of {stream.description}",
        expected=None if stream.expected is None else max(stream.expected * count - first, 0),
        live=stream.live,
        skipped=stream.skipped,
        files=stream.files,
        release=stream.close,
    )


def _joined_stream(
    clips: Sequence[Path], options: FrameOptions, skip: int, check: Callable[[Frame], None] | None
) -> FrameStream:
    joined = Joined(clips, lambda clip: open_frames(clip, options, check=check))
    return FrameStream(
        islice(joined, skip, None),
        f"{len(clips)} clips, {clips[0].name} to {clips[-1].name}",
        expected=None if joined.expected is None else max(joined.expected - skip, 0),
        skipped=joined.skipped,
        files=joined.files,
        release=joined.close,
    )


def _open_file(path: Path, options: FrameOptions, skip: int) -> Capture:
    if page_count(path) > 1:
        return AnimationCapture(path, background=options.background)
    if not path.is_file() and (skip or options.max_frames is not None):
        raise ValueError(
            f"{public_name(path)} is a pipe and is read only once, so it can be neither resumed nor counted for "
            "--max-frames; use --end or --every, or save it as a file first"
        )
    return SequentialCapture(path, background=options.background, parity=options.parity)


@dataclass
class _BadFrames:
    """Counts unreadable frames where that is allowed, and damaged ones."""

    allowed: bool
    check: Callable[[Frame], None] | None
    skipped: list[str] = field(default_factory=list)
    damaged: int = 0  # used all the same

    def accepts(self, frame: Frame) -> bool:
        try:
            if self.check is not None:
                self.check(frame)
        except ValueError as error:
            self.report(frame.name, str(error))
            return False
        return True

    def accepts_damage(self, name: str, stamp: Stamp) -> bool:
        """Damaged frames are left out where that is allowed; elsewhere they are used, with a warning."""
        if stamp.damaged and self.allowed:
            self.report(name, f"frame {name} is damaged")
        elif stamp.damaged:
            self.damaged += 1
            if self.damaged == 1:
                logger.warning("frame %s is damaged and used all the same; --skip-bad leaves such frames out", name)
        return not (stamp.damaged and self.allowed)

    def report(self, name: str, reason: str) -> None:
        if not self.allowed:
            raise ValueError(f"{reason}; to go on without such frames use --skip-bad (FrameOptions(skip_bad=True))")
        self.skipped.append(f"{name}: {reason}")
        logger.warning("skipped unreadable frame %d: %s", len(self.skipped), reason)


def _photo_stream(paths: list[Path], options: FrameOptions, skip: int, bad: _BadFrames) -> FrameStream:
    if options.fps is not None:
        raise ValueError(
            "fps selects by time stamps, which photos do not have; use --every N or --max-frames N instead"
        )
    selector = Selector(options)
    chosen = [index for index in range(len(paths)) if selector.keeps(index, None)]
    if not chosen:
        raise ValueError(f"the selection starts at frame {options.start}, but there are only {len(paths)} photos")
    if options.max_frames is not None:
        chosen = [chosen[position] for position in spread(len(chosen), options.max_frames)]
    return FrameStream(
        _photos([(index, paths[index]) for index in chosen], GreyScale(paths), options, skip, bad),
        f"{len(chosen)} of {len(paths)} photos from {paths[0].parent}",
        expected=max(len(chosen) - skip, 0),
        skipped=bad.skipped,
        files=[paths[index] for index in chosen],
    )


def _photos(
    photos: list[tuple[int, Path]], grey: GreyScale, options: FrameOptions, skip: int, bad: _BadFrames
) -> Iterator[Frame]:
    if not bad.allowed:
        photos, skip = photos[skip:], 0
    for index, path in photos:
        try:
            rgb = read_image(path, background=options.background, parity=options.parity, grey=grey)
        except (UnreadableImageError, OSError) as error:
            bad.report(path.name, str(error))
            continue
        frame = Frame(rgb, index, None, path.name, path)
        if not bad.accepts(frame):
            continue
        if skip:
            skip -= 1
            continue
        yield frame


def _capture_stream(
    capture: Capture,
    options: FrameOptions,
    skip: int,
    bad: _BadFrames,
    files: Sequence[Path] = (),
    cameras: KnownCameras | None = None,
) -> FrameStream:
    expected = _expected(capture, options)
    return FrameStream(
        _captured(capture, options, skip, bad),
        capture.description,
        expected=None if expected is None else max(expected - skip, 0),
        live=capture.live,
        skipped=bad.skipped,
        files=files,
        release=capture.close,
        cameras=cameras,
    )


def _captured(capture: Capture, options: FrameOptions, skip: int, bad: _BadFrames) -> Iterator[Frame]:
    stamps = _select(capture, options)
    if options.max_frames is not None:
        stamps = _at(_positions(capture, options, options.max_frames), stamps)
    try:
        for stamp in stamps:
            name = f"{capture.name}#{stamp.index:06d}"
            if skip and not bad.allowed:
                skip -= 1
            elif not bad.accepts_damage(name, stamp):
                continue
            elif (rgb := capture.retrieve()) is None:
                bad.report(name, f"frame {stamp.index} of {capture.name} cannot be decoded")
            elif bad.accepts(frame := Frame(rgb, stamp.index, stamp.time_s, name)):
                if skip:
                    skip -= 1
                else:
                    yield frame
    finally:
        if bad.damaged > 1:
            logger.warning("%d frames of %s are damaged and were used all the same", bad.damaged, capture.name)


def _select(capture: Capture, options: FrameOptions) -> Iterator[Stamp]:
    """Grab frame by frame, and stop at each one that start, end, every and fps keep."""
    selector, selected = Selector(options), 0
    while not selector.is_past(capture.grabbed) and (stamp := capture.grab()) is not None:
        if selector.keeps(stamp.index, stamp.time_s):
            selected += 1
            yield stamp
    _check_end(capture, options, selected)


def _at(positions: Iterable[int], stamps: Iterator[Stamp]) -> Iterator[Stamp]:
    """The stamps at the given, increasing positions; what comes after the last is not grabbed."""
    position = -1
    for wanted in positions:
        yield from islice(stamps, wanted - position - 1, wanted - position)
        position = wanted


def _positions(capture: Capture, options: FrameOptions, max_frames: int) -> Sequence[int]:
    """Which of the selected frames max_frames chooses.

    A video is read through once to count them, without colour conversion: the number that its container announces may
    be an estimate and far off (an MKV whose clock starts at 5 s announced 215 frames for 65).
    """
    if capture.live:
        return range(max_frames)
    assert isinstance(capture, RepeatableCapture)
    logger.info("counting the frames of %s, to choose %d of them evenly", capture.name, max_frames)
    counter = capture.reopen()
    try:
        return spread(sum(1 for _ in _select(counter, options)), max_frames)
    finally:
        counter.close()


def _check_end(capture: Capture, options: FrameOptions, selected: int) -> None:
    """Tell a selection that missed the source, a source that broke off and a normal end from each other."""
    if capture.grabbed == 0:
        raise ValueError(f"{capture.name} was opened but no frame of it can be decoded; {capture.advice}")
    if selected == 0:
        raise ValueError(
            f"the selection starts at frame {options.start}, but {capture.name} has only {capture.grabbed}"
        )
    if capture.failed:
        logger.warning(
            "%d packets of %s could not be decoded; their frames are missing",
            capture.failed,
            capture.name,
        )
    announced = min(capture.announced or 0, options.end or sys.maxsize)
    if capture.grabbed < announced:
        logger.warning(
            "%s announces %d frames but only %d could be decoded; it is damaged, or its header is wrong",
            capture.name,
            capture.announced,
            capture.grabbed,
        )
    if isinstance(capture, NewestFrameCapture) and (options.end is None or capture.grabbed < options.end):
        logger.warning("%s ended after %d frames", capture.name, capture.grabbed)


def _expected(capture: Capture, options: FrameOptions) -> int | None:
    if capture.frame_count is None:
        return None
    in_range = max(min(capture.frame_count, options.end or sys.maxsize) - options.start, 0)
    count = math.ceil(in_range / options.every)
    if options.fps is not None:
        count = min(count, math.ceil(in_range / capture.fps * options.fps))
    return count if options.max_frames is None else min(count, options.max_frames)
