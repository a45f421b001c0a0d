"""What a chunk remembers of a frame, and what it says of its quality."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from cut3r.inference.course import Course
from cut3r.inference.engine import Encoded
from cut3r.inference.joints import Sight
from cut3r.inference.keyframes import sharpness
from cut3r.inference.quality import Quality, Trust
from cut3r.inference.result import FrameResult
from cut3r.inference.seen_area import NEW
from cut3r.inference.watch import Glance
from cut3r.model.prediction import Prediction

SIDE = 64  # points along the longer side of a frame: every 8th pixel of 512


@dataclass(frozen=True)
class Seen:
    """A frame's result as a chunk remembers it."""

    number: int
    time_s: float | None
    image: UInt8[np.ndarray, "h w 3"]
    encoded: Encoded
    sight: Sight
    glance: Glance
    sharpness: float
    gaps: Float[np.ndarray, "q"]  # of its points to what the chunk has seen


def look(course: Course, result: FrameResult, encoded: Encoded) -> Seen:
    """Take from a result what is remembered of it, beside what its chunk has seen."""
    prediction = result.prediction
    assert prediction.conf_cam is not None
    confidence = prediction.conf_cam[0].where(result.valid, 0.0)
    counts = result.valid & confidence.isfinite()
    trust = float((confidence[counts] - 1).mean()) if bool(counts.any()) else torch.nan
    depth = float(prediction.points_cam[0, ..., 2][counts].median()) if bool(counts.any()) else torch.nan  # type: ignore[index]
    tokens = encoded.tokens.features[0].float().mean(dim=0).cpu()
    sight = sight_of(prediction, counts)
    glance = Glance(trust, depth, sight.chunk_from_cam, tokens)
    gaps = np.zeros(0) if glance.is_lost else course.area.gaps(sight)
    image = result.image
    return Seen(result.number, result.frame.time_s, image, encoded, sight, glance, sharpness(image), gaps)


def quality_of(course: Course, seen: Seen, *, written: bool) -> Quality:
    """How far the frame is to be trusted."""
    joint = course.joints[-1] if course.joints else None
    weak = course.watch.is_weak(seen.glance)
    return Quality(
        course.watch.share(seen.glance),
        float((seen.gaps > NEW).mean()) if len(seen.gaps) else 0.0,
        torch.nan if joint is None else joint.residual_m,
        joint is not None and bool(joint.doubt),
        Trust.lost if seen.glance.is_lost else Trust.weak if weak else Trust.good,
        written,
    )


def sight_of(prediction: Prediction, counts: Bool[Tensor, "h w"]) -> Sight:
    """Some points of a prediction in the frame of its chunk; pixels that do not count get confidence 0."""
    assert prediction.points_cam is not None and prediction.conf_cam is not None
    assert prediction.world_from_cam is not None
    pose = prediction.world_from_cam[0]
    stride = max(1, max(counts.shape) // SIDE)
    every = (slice(stride // 2, None, stride),) * 2
    counts = (counts & pose.isfinite().all())[every].reshape(-1)
    points = prediction.points_cam[0][every].reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3]
    confidence = prediction.conf_cam[0][every].reshape(-1)
    return Sight(points.where(counts[:, None], 0.0), confidence.where(counts, 0.0), pose)
