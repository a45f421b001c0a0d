"""How a new chunk stands beside the one before it: estimated from frames that both have seen.

The network speaks of the camera of a chunk's first frame, and a new chunk may have another unit of length. Frames that
were seen by both (the overlap) show the same points twice; what brings one onto the other is the joint.
Source: spec/long_sequences.md 4.
"""

import logging
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.geometry.poses import invert
from cut3r.geometry.registration import Similarity, register_robust

logger = logging.getLogger(__name__)

LEAST_CONFIDENCE = 0.1  # of the lower of both medians: pixels with less in either chunk have no say
HUBER = 0.05  # of the points' usual distance from the camera: from there on a pair is an outlier
LARGE_CHANGE = 0.10  # of the scale: what is more is doubted
TRUSTED_SCALE = 0.05  # natural logarithm: so far chunks are believed to have one unit ...
WORTH = 0.9  # ... or if another unit does not bring the residual below this share
LEAST_VOTES = 3  # frames: the spread of fewer says nothing
SMALLEST = 0.005  # natural logarithm: unequal noise of two chunks looks like a scale of a thousandth or two
SURE = 3.0  # standard errors: frames that agree so well on another unit of length are believed
ROUGH = 0.10  # of the usual depth: a residual above is doubted


class JointKind(Enum):
    published = "published"  # the last pose before, and the first after taken for the identity: what is published
    pose = "pose"  # the poses of the last common frame, before and after
    se3 = "se3"  # points of all common frames, without scale unless that is clearly wrong
    sim3 = "sim3"  # points of all common frames, with scale
    auto = "auto"  # the same, with scale where the frames agree that there is another, however little


@dataclass(frozen=True)
class Sight:
    """Some points of a frame as one chunk saw them, the same pixels in each chunk.

    `points` are in the chunk's frame and metres; a pixel that does not count has confidence 0.
    """

    points: Float[Tensor, "p 3"]
    confidence: Float[Tensor, "p"]
    chunk_from_cam: Float[Tensor, "4 4"]


@dataclass(frozen=True)
class Joint:
    """How chunk number `chunk`, whose first result has number `first`, was joined to the one before it.

    `place` brings points of the new chunk into the frame of the one before. `residual_m` is the root mean square
    distance of the points that both saw, `depth_m` their usual distance from the camera; nan where nothing was
    compared. `frames` is the number of common frames.
    """

    chunk: int
    first: int
    time_s: float | None
    reason: str
    kind: JointKind
    place: Similarity
    residual_m: float
    depth_m: float
    frames: int

    @property
    def scale_change(self) -> float:
        """How much larger the new chunk's metre is than that of the one before, as a share."""
        return float(self.place.scale) - 1

    @property
    def doubt(self) -> str:
        """Why the joint may be wrong; empty if nothing speaks against it."""
        if self.frames == 0:
            return "no frame in common, so it stands where the last camera stood"
        if abs(self.scale_change) > LARGE_CHANGE:
            return f"its scale changes by {100 * self.scale_change:+.0f} %"
        if self.residual_m > ROUGH * self.depth_m:
            return f"its points are {100 * self.residual_m:.0f} cm off"
        return ""

    def tell(self) -> str:
        """One line for people."""
        when = "" if self.time_s is None else f" at {math.floor(self.time_s / 60)}:{self.time_s % 60:04.1f}"
        said = f"chunk {self.chunk} begins with frame {self.first}{when} ({self.reason})"
        if self.frames == 0:
            return f"{said}: {self.doubt}"
        off = "" if math.isnan(self.residual_m) else f", points {100 * self.residual_m:.1f} cm off"
        joined = f"{said}: joined over {self.frames} frames with {100 * self.scale_change:+.1f} % scale change{off}"
        return f"{joined}; DOUBTFUL: {self.doubt}" if self.doubt else joined

    def report(self) -> dict[str, Any]:
        """What a JSON file can hold."""
        numbers = {"residual_m": self.residual_m, "depth_m": self.depth_m}
        return {
            "chunk": self.chunk,
            "first": self.first,
            "time_s": self.time_s,
            "reason": self.reason,
            "kind": self.kind.value,
            "place": self.place.matrix().tolist(),
            "frames": self.frames,
        } | {name: None if math.isnan(value) else value for name, value in numbers.items()}

    @classmethod
    def reported(cls, said: dict[str, Any]) -> "Joint":
        """Of its report."""
        numbers = {name: math.nan if said[name] is None else said[name] for name in ("residual_m", "depth_m")}
        place = Similarity.from_matrix(torch.tensor(said["place"], dtype=torch.float64))
        return cls(**said | numbers | {"kind": JointKind(said["kind"]), "place": place})


def join(before: Sequence[Sight], after: Sequence[Sight], kind: JointKind) -> tuple[Similarity, float, float]:
    """Find before_from_after of two chunks from the frames that both saw, in their order.

    Returns:
        The place of the new chunk, the residual of its points, and their usual depth, both in metres; nan where points
        were not compared, or too few count: then the place is that of the last poses.
    """
    by_pose = _by_pose(before[-1], after[-1], kind)
    if kind in (JointKind.published, JointKind.pose):
        return by_pose, math.nan, math.nan
    old, new, weights = _common(before, after)
    if int((weights > 0).sum()) < 3:
        return by_pose, math.nan, math.nan
    depth = _usual_depth(before)
    width = HUBER * depth
    if kind is JointKind.auto:
        fit, residual = _in_unit(old, new, weights, _unit(before, after), width)
        return fit, float(residual), depth
    free, residual = register_robust(new, old, weights, with_scale=True, huber_width=width)
    if kind is JointKind.se3:
        rigid, rigid_residual = register_robust(new, old, weights, with_scale=False, huber_width=width)
        if abs(float(free.scale.log())) <= TRUSTED_SCALE or float(residual) >= WORTH * float(rigid_residual):
            free, residual = rigid, rigid_residual
    return free, float(residual), depth


def _in_unit(old: Tensor, new: Tensor, weights: Tensor, unit: float, width: float) -> tuple[Similarity, Tensor]:
    """The rigid fit of points that are brought to another unit of length before."""
    fit, residual = register_robust(unit * new, old, weights, with_scale=False, huber_width=width)
    return replace(fit, scale=fit.scale * unit), residual


def _unit(before: Sequence[Sight], after: Sequence[Sight]) -> float:
    """What the frames, each asked alone, say of the new chunk's unit of length; 1 where they agree on no other.

    A frame's word is the median logarithm of the ratio of both distances from the camera: poses and their errors have
    no part in it. The spread between frames is the error of their mean.
    """
    said = []
    for old, new in zip(before, after, strict=True):
        counts = (old.confidence > 0) & (new.confidence > 0)
        far, near = ((each.points - each.chunk_from_cam[:3, 3]).norm(dim=-1)[counts] for each in (old, new))
        if len(far):
            said.append(float((far / near.clamp_min(1e-9)).clamp_min(1e-9).log().median()))
    if len(said) < LEAST_VOTES:
        return 1.0
    mean, error = statistics.fmean(said), statistics.stdev(said) / math.sqrt(len(said))
    return math.exp(mean) if abs(mean) > max(SURE * error, SMALLEST) else 1.0


def _by_pose(before: Sight, after: Sight, kind: JointKind) -> Similarity:
    place = before.chunk_from_cam.double()
    if kind is not JointKind.published:
        place = place @ invert(after.chunk_from_cam.double())
    return Similarity.from_matrix(place)


def _common(before: Sequence[Sight], after: Sequence[Sight]) -> tuple[Tensor, Tensor, Tensor]:
    """The points of all frames in both chunks, and their weights."""
    old, new = (torch.cat([sight.points for sight in sights]).double() for sights in (before, after))
    trust = [torch.cat([sight.confidence for sight in sights]).double() for sights in (before, after)]
    counts = (trust[0] > 0) & (trust[1] > 0)
    if bool(counts.any()):
        least = LEAST_CONFIDENCE * min(float(each[counts].median()) for each in trust)
        counts &= (trust[0] > least) & (trust[1] > least)
    return old, new, (trust[0] * trust[1]).sqrt().where(counts, 0.0)


def _usual_depth(sights: Sequence[Sight]) -> float:
    distances = [(sight.points - sight.chunk_from_cam[:3, 3]).norm(dim=-1)[sight.confidence > 0] for sight in sights]
    return float(torch.cat(distances).median().clamp_min(1e-9))
