"""A teacher looks at footage, once: what it predicts is kept on disk, and is the truth of a training.

What is kept belongs to the teacher's weights, to the files of the footage (names, sizes, times of change) and to how
they were looked at; if any of these changes, the teacher looks again. A segment's file appears when the segment is
finished, so an interrupted teacher goes on with the next one.
"""

import hashlib
import json
import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, count, islice
from pathlib import Path

import torch

from cut3r.data.layout import write_json
from cut3r.data.taught import Taught, TaughtFrame, segment_names, write_segment
from cut3r.data.transforms import Size
from cut3r.data.view import RawFrame
from cut3r.inference.engine import Engine
from cut3r.inference.preprocess import FitConfig, fit
from cut3r.inference.result import FrameResult
from cut3r.inference.session import Session, trained_size
from cut3r.io.frames import Frame, FrameOptions, open_frames
from cut3r.run.progress import REPORT_EVERY_S, Meter
from cut3r.training.data_config import DataConfig
from cut3r.training.footage_list import Source, find_sequences
from cut3r.weights.checkpoint import confidence_threshold, load, resolve
from cut3r.weights.zoo import sha256

logger = logging.getLogger(__name__)

FORMAT = 1  # another number whenever the same teacher and footage give other files
USUAL_CONFIDENCE = 1.5  # of the official weights, as in the demo


@dataclass(frozen=True)
class Lesson:
    """A sequence of footage, and where the teacher's predictions of it are kept.

    `share` of its segments are looked at, evenly spread. `expected` is how many frames it probably has.
    """

    source: Source
    options: FrameOptions
    folder: Path
    expected: int
    share: float = 1.0

    def path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.safetensors"

    def has(self, number: int) -> bool:
        """Whether segment `number` is to be looked at."""
        return math.ceil((number + 1) * self.share) > math.ceil(number * self.share)

    @property
    def total(self) -> int | None:
        """Count the segments of the sequence; None before its end has been seen."""
        end = self.folder / "end.json"
        return int(json.loads(end.read_text())["segments"]) if end.is_file() else None

    def finished(self) -> list[Path]:
        """List the files of its segments, as far as they follow each other from the first."""
        total = self.total
        numbers = filter(self.has, count() if total is None else range(total))
        files: list[Path] = []
        while (number := next(numbers, None)) is not None and _is_whole(self.path(number)):
            files.append(self.path(number))
        return files

    def next_segment(self) -> int | None:
        """Give the first segment that is to be looked at and has no file; None when all have one."""
        numbers = filter(self.has, count() if self.total is None else range(self.total or 0))
        return next((number for number in numbers if not _is_whole(self.path(number))), None)


class Teaching:
    """All lessons of a training.

    Args:
        config: Its footage, and how it is looked at. Pictures are kept at the size that the training needs.
        teacher: A file, or a name of the zoo.

    Raises:
        FileNotFoundError: There is no such teacher, or no such footage.
        ValueError: No footage, or some that cannot be used.
    """

    def __init__(self, config: DataConfig, teacher: Path) -> None:
        self.config, self.how = config, config.teaching
        self.teacher = resolve(teacher)
        self.cover = _largest_size(config)
        sources = find_sequences(config.footage)
        digest = sha256(self.teacher)
        lessons = {lesson.folder: lesson for lesson in (self._plan(source, digest) for source in sources)}
        share = min(1.0, self.how.max_frames / sum(lesson.expected for lesson in lessons.values()))
        self.lessons = [replace(lesson, share=share) for lesson in lessons.values()]
        if share < 1:
            logger.warning(
                "the teacher sees %.0f%% of the footage, spread evenly: data.teaching.max_frames is %d",
                *(100 * share, self.how.max_frames),
            )

    def run(self, device: torch.device | str, *, rank: int = 0, world: int = 1) -> None:
        """Look at what is not finished; process `rank` of `world` takes every so many-th sequence.

        Raises:
            ValueError: The teacher is no network, or a video cannot be read.
        """
        lessons = [lesson for lesson in self.lessons[rank::world] if lesson.next_segment() is not None]
        if not lessons:
            return
        engine = Engine(load(self.teacher, device=device, dtype=None))
        frames = sum(math.ceil(lesson.expected * lesson.share) for lesson in lessons)
        done = sum(self.how.segment * len(lesson.finished()) for lesson in lessons)
        logger.info(
            "the teacher %s looks at %d sequences of about %d frames; what it says is kept in %s",
            *(self.teacher.name, len(lessons), frames, self.how.folder),
        )
        report = _Report(Meter(frames, done=min(done, frames)))
        try:
            for lesson in lessons:
                self._hold(lesson, engine, report)
        except KeyboardInterrupt:
            logger.warning("interrupted after %d frames; the same command goes on from there", report.meter.done)
            raise
        logger.info("the teacher is done: %s", report.meter.text())

    def taught(self) -> Taught:
        """Give what the training reads, when all processes are done.

        Raises:
            ValueError: Too little footage for a sample, or a teacher that is sure of nothing.
        """
        segments = [path for lesson in self.lessons for path in lesson.finished()]
        longest = max((len(segment_names(path)) for path in segments), default=0)
        if longest < self.config.num_views and not self.config.allow_repeat:
            raise ValueError(
                f"the footage gives at most {longest} consecutive frames (data.teaching.fps is {self.how.fps}), and a "
                f"sample needs data.num_views {self.config.num_views}; give longer footage, raise the one or lower the "
                "other"
            )
        taught = Taught(self.how.folder, segments, self._confidence())
        _check_confidence(taught)
        return taught

    def _confidence(self) -> float:
        own = self.how.confidence
        own = confidence_threshold(self.teacher) if own is None else own
        return USUAL_CONFIDENCE if own is None else own

    def _plan(self, source: Source, digest: str) -> Lesson:
        is_video = isinstance(source, Path)
        options = FrameOptions(fps=self.how.fps if is_video else None, skip_bad=True)
        with open_frames(source, options) as stream:
            record = [FORMAT, digest, stream.fingerprint, options.fps, self.how.segment, list(self.cover)]
            expected = stream.expected or self.how.segment
        key = hashlib.sha256(json.dumps(record).encode()).hexdigest()[:12]
        name = source.stem if isinstance(source, Path) else source[0].parent.resolve().name
        readable = re.sub(r"[^\w.-]", "_", name)[:40]
        return Lesson(source, options, self.how.folder / f"{readable}-{key}", expected)

    def _hold(self, lesson: Lesson, engine: Engine, report: "_Report") -> None:
        first = lesson.next_segment()
        assert first is not None
        length = self.how.segment
        check = _fits(FitConfig(size=trained_size(engine.model)))
        with open_frames(lesson.source, lesson.options, skip=first * length, check=check) as frames:
            for number in count(first):
                if (head := next(frames, None)) is None:
                    break
                segment = chain([head], islice(frames, length - 1))
                if not lesson.has(number) or _is_whole(lesson.path(number)):
                    for _ in segment:
                        pass
                    continue
                # a session of its own, so that a segment does not depend on those before it
                taught = self._predictions(Session(engine.model, engine=engine), segment, report)
                write_segment(lesson.path(number), list(taught))
        write_json(lesson.folder / "end.json", {"source": str(_first(lesson.source)), "segments": number})

    def _predictions(self, session: Session, frames: Iterable[Frame], report: "_Report") -> Iterator[TaughtFrame]:
        """Give what the teacher says of each frame; those whose camera it lost are left out."""
        for result in session.stream(frames):
            report.tick()
            if result.camera_is_finite:
                yield as_taught(result).shrunk(self.cover)
            else:
                logger.warning("%s is left out: the teacher gives no finite camera", result.frame.name)


def as_taught(result: FrameResult) -> TaughtFrame:
    """Keep of a result what is truth for another network: a pixel that is not valid has depth 0."""
    confidence = result.prediction.conf_cam
    assert confidence is not None, "a session runs the head that gives it"
    frame = RawFrame(
        rgb=result.image,
        depth=result.depth.where(result.valid, 0.0).float().numpy(),
        intrinsics=result.intrinsics.double().numpy(),
        world_from_cam=result.world_from_cam.double().numpy(),
    )
    return TaughtFrame(result.frame.name, frame, confidence[0].float().nan_to_num(nan=1.0).numpy())


class _Report:
    """Now and then a line with the rate and the time that is left."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self._next = REPORT_EVERY_S

    def tick(self) -> None:
        self.meter.tick()
        if self.meter.seconds >= self._next:
            logger.info("teacher: %s", self.meter.text())
            self._next = self.meter.seconds + REPORT_EVERY_S


def _largest_size(config: DataConfig) -> Size:
    """The smallest size that covers all that the training cuts out."""
    sizes = [*(size for stage in config.stages() for size in stage.sizes), config.validation.size]
    margin = config.aug_crop if config.aug_crop > 1 else 0
    return (max(size[0] for size in sizes) + margin, max(size[1] for size in sizes) + margin)


def _fits(config: FitConfig) -> Callable[[Frame], None]:
    """A check that refuses frames which cannot be brought to a size of the teacher."""
    known: set[tuple[int, ...]] = set()

    def check(frame: Frame) -> None:
        if frame.rgb.shape not in known:
            fit(frame.rgb, config, name=frame.name)
            known.add(frame.rgb.shape)

    return check


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        segment_names(path)
    except ValueError as error:
        logger.warning("%s; the teacher looks at that segment again", error)
        return False
    return True


def _first(source: Source) -> Path:
    return source if isinstance(source, Path) else source[0].parent


def _check_confidence(taught: Taught) -> None:
    """See that a part of what the teacher says is truth."""
    share = taught.share_of_truth()
    if share == 0:
        raise ValueError(
            f"no pixel of the teacher's predictions has the confidence {taught.confidence}, so there is nothing to "
            "learn from; lower data.teaching.confidence, or give footage like that which the teacher was trained on"
        )
    logger.info(
        "footage: %d segments; %.0f%% of the pixels have the teacher's confidence %.2f and are truth",
        *(len(taught.segments), 100 * share, taught.confidence),
    )
