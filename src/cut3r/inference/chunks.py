"""A long stream in chunks: the state is forgotten now and then, and every chunk is joined to the one before it.

The last frames of a chunk (the overlap) are shown again to the next one, from their tokens, so the new chunk knows the
place, and both have seen the same points: that gives the joint. With resets at a fixed interval the next chunk is
rehearsed while the present one ends: each of these frames is decoded twice, and no frame waits for a whole overlap.
Source: spec/long_sequences.md 4.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch

from cut3r.files.pages import give_back_freed
from cut3r.geometry.registration import Similarity
from cut3r.inference.course import Course, Kept
from cut3r.inference.engine import Encoded, Engine, nothing
from cut3r.inference.joints import Joint, JointKind, Sight, join
from cut3r.inference.keyframes import KeyframeConfig, LastKey, after, is_blurred, is_key
from cut3r.inference.places import Anchor, LoopCloser
from cut3r.inference.seen import Seen, sight_of
from cut3r.inference.seen_area import SeenArea
from cut3r.inference.snapshot import Snapshot
from cut3r.inference.watch import CUT_OFF, Watch
from cut3r.model.prediction import Outputs
from cut3r.model.state import StreamState

logger = logging.getLogger(__name__)

EVERY = 100  # frames: usual in papers


@dataclass(frozen=True)
class ResetConfig:
    """When a stream is cut into chunks, and how they are joined.

    Args:
        every: Frames that are written into the state before it is forgotten; None: never for their number.
        evidence: Also when the network has lost its way: see `Watch`.
        overlap: Frames that two chunks have in common.
        joint: How the place of the new chunk is found.
        shadow: Show the overlap to the next chunk while the present one ends, not all at once.
    """

    every: int | None = EVERY
    evidence: bool = True
    overlap: int = 8
    joint: JointKind = JointKind.se3
    shadow: bool = True

    def __post_init__(self) -> None:
        if self.overlap < 1:
            raise ValueError(f"an overlap of {self.overlap} frames joins nothing; give 1 or more (8 is usual)")
        if self.every is not None and self.every <= self.overlap:
            raise ValueError(
                f"a reset every {self.every} frames is not more than the overlap of {self.overlap}; "
                f"give at least {self.overlap + 1}, or a shorter overlap"
            )

    @classmethod
    def published(cls, every: int) -> "ResetConfig":
        """As the published systems do it: by count, one common frame, whose new pose is taken for the identity."""
        return cls(every, evidence=False, overlap=1, joint=JointKind.published)

    @classmethod
    def of_text(cls, text: str, *, joint: str = "se3", overlap: int = 8) -> "ResetConfig | None":
        """Read "off" (None), "auto" (every 100 frames, or on evidence), or a number of frames.

        Raises:
            ValueError: It is none of these, or the numbers do not fit.
        """
        kind = JointKind(joint)
        overlap = 1 if kind is JointKind.published else overlap
        if text == "off":
            return None
        if text == "auto":
            return cls(overlap=overlap, joint=kind)
        if not text.isdecimal():
            raise ValueError(f"resets are {text!r}; give a number of frames, auto or off")
        return cls(int(text), evidence=False, overlap=overlap, joint=kind)


class Chunking:
    """Cuts a session's stream into chunks and chooses keyframes; all that it remembers is in the session's snapshot.

    Args:
        config: None: chunks begin when somebody asks for one.
        keyframes: None: all frames are.
        loops: Looks for places that are seen again, at the end of each chunk.
        start: Gives the state of a stream that has seen nothing.
    """

    def __init__(
        self,
        config: ResetConfig | None,
        keyframes: KeyframeConfig | None,
        engine: Engine,
        start: Callable[[], StreamState],
        loops: LoopCloser | None = None,
    ) -> None:
        self.config = config or ResetConfig(every=None, evidence=False)
        self.keyframes, self.loops = keyframes, loops
        self._engine, self._start = engine, start

    def broken(self, course: Course, seen: Seen) -> str:
        """Why the frame must be seen again by a new chunk; empty if it need not."""
        return course.watch.broken(seen.glance) if self.config.evidence else ""

    def is_due(self, course: Course, seen: Seen) -> bool:
        """Whether the frame should become a keyframe, unless it is blurred."""
        facts = {"number": seen.number, "time_s": seen.time_s, "depth_m": seen.glance.depth_m}
        return is_key(self.keyframes, course.key, sight=seen.sight, gaps=seen.gaps, **facts)  # type: ignore[arg-type]

    def is_key(self, course: Course, seen: Seen) -> bool:
        """Whether the frame is written."""
        waits = self.keyframes is not None and is_blurred(course.key, seen.sharpness)
        return self.is_due(course, seen) and not waits

    def follow(self, now: Snapshot, seen: Seen, *, written: bool) -> Snapshot:
        """Go on after a frame, into a new chunk if it was the last of this one."""
        course = now.course
        due = written or self.is_due(course, seen)
        counts = (
            written and not seen.glance.is_lost and not (self.config.evidence and course.watch.is_weak(seen.glance))
        )
        watch = course.watch.after(seen.glance, written=written)
        facts = {"number": seen.number, "time_s": seen.time_s, "sharp": seen.sharpness, "sight": seen.sight}
        key = after(course.key, due=due, written=written, **facts)  # type: ignore[arg-type]
        course = replace(course, watch=watch, written=course.written + written, key=key)
        places = course.places
        if now.chunk not in places.world_from_chunk:
            places = places.placed(now.chunk, now.world_from_chunk or Similarity.identity())
        if counts and self.loops is not None:
            places = places.noted(Anchor(seen.number, now.chunk, seen.image, seen.glance.tokens, seen.sight))
        course = replace(course, places=places)
        if counts:
            course = replace(course, area=course.area.grown(seen.sight))
            kept = Kept(seen.number, seen.encoded.tokens, seen.sight)
            course = replace(course, overlap=(*course.overlap, kept)[-self.config.overlap :])
            if self._is_ending(course):
                course = self._rehearse(course, Encoded(kept.tokens))
        now = replace(now, course=course)
        if written and self.config.every is not None and course.written >= self.config.every:
            return self.begin(now, f"{course.written} frames were written", seen.time_s, planned=True)
        return now

    def begin(self, now: Snapshot, reason: str, time_s: float | None, *, planned: bool = False) -> Snapshot:
        """Begin a new chunk with the next frame, or with the present one that is seen again.

        Args:
            planned: Use what has been rehearsed.
        """
        course = now.course
        if not planned or course.shadow is None:
            course = replace(course, rehearsed=(), shadow=None)
            for kept in course.overlap if reason != CUT_OFF else ():
                course = self._rehearse(course, Encoded(kept.tokens))
        common = course.overlap[len(course.overlap) - len(course.rehearsed) :]
        if common:
            joined = join([kept.sight for kept in common], course.rehearsed, self.config.joint)
        else:
            last = torch.eye(4) if course.watch.last is None else course.watch.last
            joined = (Similarity.from_matrix(last.double()), torch.nan, torch.nan)
        joint = Joint(now.chunk + 1, now.number, time_s, reason, self.config.joint, *joined, len(common))
        logger.log(logging.WARNING if joint.doubt else logging.INFO, "%s", joint.tell())
        again = tuple(replace(kept, sight=sight) for kept, sight in zip(common, course.rehearsed, strict=True))
        watch = Watch(tokens=course.watch.tokens if common else None)
        key = LastKey(sharpness=course.key.sharpness)
        if common:
            key = replace(course.key, chunk_from_cam=again[-1].sight.chunk_from_cam, put_off=0)
        area = reduce(lambda seen, kept: seen.grown(kept.sight), again, SeenArea.nothing())
        joints = (*course.joints, joint)
        places = course.places.placed(now.chunk + 1, _composed(now.world_from_chunk, joint.place))
        if self.loops is not None:
            places = self.loops.close(places, joints, self._look_at)
        give_back_freed()
        return replace(
            now,
            state=course.shadow or self._start(),
            chunk=now.chunk + 1,
            world_from_chunk=places.world_from_chunk[now.chunk + 1],
            course=Course(overlap=again, watch=watch, key=key, area=area, joints=joints, places=places),
        )

    def settle(self, now: Snapshot) -> Snapshot:
        """Look for places that the present chunk has seen again, before it ends."""
        if self.loops is None or now.chunk not in now.course.places.world_from_chunk:
            return now
        places = self.loops.close(now.course.places, now.course.joints, self._look_at)
        place = places.world_from_chunk[now.chunk] if now.chunk in places.changed else now.world_from_chunk
        return replace(now, world_from_chunk=place, course=replace(now.course, places=places))

    def _look_at(self, anchors: Sequence[Anchor]) -> list[Sight]:
        """Show frames of the past to a network that has seen nothing, in this order."""
        course = Course()
        for anchor in anchors:
            with self._engine.lock:
                (encoded,) = self._engine.encode(torch.from_numpy(anchor.image)[None])
            course = self._rehearse(course, encoded)
        return list(course.rehearsed)

    def rehearse_again(self, course: Course) -> Course:
        """Show the last frames of the overlap to the next chunk once more, after a session was read from a file."""
        for kept in course.overlap[len(course.overlap) - course.unrehearsed :]:
            course = self._rehearse(course, Encoded(kept.tokens))
        return replace(course, unrehearsed=0)

    def _is_ending(self, course: Course) -> bool:
        every, config = self.config.every, self.config
        return config.shadow and every is not None and every - course.written < config.overlap

    def _rehearse(self, course: Course, encoded: Encoded) -> Course:
        state = course.shadow or self._start()
        with self._engine.lock:
            pending, state = self._engine.step(state, encoded, Outputs(), update=True, measure=nothing)
        prediction, _ = pending.wait()
        assert prediction.points_cam is not None
        points = prediction.points_cam[0]
        sight = sight_of(prediction, (points[..., 2] > 0) & points.isfinite().all(dim=-1))
        return replace(course, rehearsed=(*course.rehearsed, sight), shadow=state)


def _composed(place: Similarity | None, joint: Similarity) -> Similarity:
    if place is None:
        return joint
    return Similarity.from_matrix(place.matrix().double() @ joint.matrix())
