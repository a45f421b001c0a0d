"""What is scored of depth frame by frame, once it is aligned: does the confidence know the errors, does depth flicker?

Both look at some pixels of each frame, evenly chosen: a mean over forty thousand is as good as one over all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32

from cut3r.data.reprojection import Samples, depth_residuals, inverse_depth_at, moved_pixels, sample
from cut3r.data.view import RawFrame
from cut3r.geometry.cameras import pixel_rays
from cut3r.geometry.poses import invert
from cut3r.metrics.calibration import ause
from cut3r.metrics.depth import FLOOR_M
from cut3r.metrics.depth_alignment import ScaleShift
from cut3r.metrics.depth_scoring import DepthScoring, clip, known_depth, resize_cubic
from cut3r.metrics.temporal import flicker
from eval.protocols.base import Metrics
from eval.sequences.sequence import Sequence
from eval.systems.saved import MissingPredictionsError, Predictions

MOST_PIXELS = 40_009  # of a frame, for AUSE; a prime, as in cut3r.data.reprojection
SAME_POINT = 0.03  # true depths that differ by a smaller share are of the same surface point, which did not move


@dataclass(frozen=True)
class PictureDepth:
    """One picture at the size of its truth; `known` is where the truth counts."""

    predicted: Float32[np.ndarray, "h w"]  # not aligned
    true: Float[np.ndarray, "h w"]
    known: Bool[np.ndarray, "h w"]

    @classmethod
    def read(cls, sequence: Sequence, predictions: Predictions, number: int, scoring: DepthScoring) -> "PictureDepth":
        assert sequence.read_depth is not None
        true = sequence.read_depth(number)
        predicted = clip(resize_cubic(zero_is_none(predictions.depth(number)), true.shape), scoring.pre_clip)
        return cls(predicted, true, known_depth(true, scoring.max_depth))


def frame_metrics(
    sequence: Sequence, predictions: Predictions, fits: Mapping[str, ScaleShift], scoring: DepthScoring
) -> dict[str, Metrics]:
    """Give "ause" where there is confidence, and "flicker" where the true cameras are known, by group: means over the
    frames, and over the pairs of successive ones.

    Args:
        fits: The alignment of each group.
    """
    confident = has_confidence(predictions)
    moving = _cameras(sequence)
    areas: dict[str, list[float]] = {group: [] for group in fits}
    jumps: dict[str, list[float]] = {group: [] for group in fits}
    before: PictureDepth | None = None
    for number in range(len(sequence)):
        now = PictureDepth.read(sequence, predictions, number, scoring)
        shown = calibration(now, predictions.confidence(number), fits, scoring) if confident else {}
        pair = (
            _flicker(before, now, _raw(sequence, number - 1, before), _raw(sequence, number, now), fits, scoring)
            if before is not None and moving[number - 1 : number + 1].all()
            else {}
        )
        for group in fits:
            areas[group] += [shown[group]] if group in shown else []
            jumps[group] += [pair[group]] if group in pair else []
        before = now
    found = {group: {"ause": areas[group], "flicker": jumps[group]} for group in fits}
    return {
        group: {name: float(np.mean(values)) for name, values in metrics.items() if values}
        for group, metrics in found.items()
    }


def zero_is_none(depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Give what is 0, which the system does not know, no number."""
    known: np.ndarray = np.where(depth == 0, np.float32(np.nan), depth)
    return known


def has_confidence(predictions: Predictions) -> bool:
    """Whether the system says how sure it is, judged by the first frame."""
    try:
        predictions.confidence(0)
    except MissingPredictionsError:
        return False
    return True


def calibration(
    picture: PictureDepth,
    confidence: Float[np.ndarray, "conf_h conf_w"],
    fits: Mapping[str, ScaleShift],
    scoring: DepthScoring,
) -> dict[str, float]:
    """Give the AUSE of a picture by group, errors as shares of the true depth; nothing without pixels."""
    pixels = np.flatnonzero(picture.known & np.isfinite(picture.predicted))
    if not len(pixels):
        return {}
    if len(pixels) > MOST_PIXELS:
        pixels = pixels[np.linspace(0, len(pixels) - 1, MOST_PIXELS).astype(np.int64)]
    sure = np.nan_to_num(nearest(confidence, picture.true.shape).ravel()[pixels], nan=-np.inf)
    true, predicted = picture.true.ravel()[pixels], picture.predicted.ravel()[pixels]
    return {
        group: ause(np.abs(clip(fit.apply(predicted), scoring.post_clip) - true) / true, sure)
        for group, fit in fits.items()
    }


def nearest(values: Float[np.ndarray, "h w *rest"], size: tuple[int, ...]) -> Float[np.ndarray, "new_h new_w *rest"]:
    """Resize to (h, w) by the value of the pixel whose area each new centre lies in."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64) for old, new in zip(values.shape[:2], size, strict=True)
    )
    return values[rows[:, None], columns]


def _flicker(
    before: PictureDepth,
    now: PictureDepth,
    a: RawFrame,
    b: RawFrame,
    fits: Mapping[str, ScaleShift],
    scoring: DepthScoring,
) -> dict[str, float]:
    """By group, the mean over points that both frames see; nothing without any."""
    tried = sample(a)
    moved, distances = moved_pixels(tried, a, b)
    _, _, error = depth_residuals(moved[0], distances[0], b)
    kept = error <= SAME_POINT  # False for a nan
    kept &= np.isfinite(before.predicted[tried.rows, tried.columns])
    points = Samples(tried.rows[kept], tried.columns[kept])
    pixels, z = moved[0][kept], distances[0][kept]
    rays = pixel_rays(
        torch.from_numpy(np.stack((points.columns, points.rows), axis=-1).astype(np.float64)),
        torch.from_numpy(a.intrinsics),
    )
    b_from_a = invert(torch.from_numpy(b.world_from_cam)) @ torch.from_numpy(a.world_from_cam)
    found = {}
    for group, fit in fits.items():
        told, told_next = (clip(fit.apply(each.predicted), scoring.post_clip) for each in (before, now))
        with np.errstate(invalid="ignore", divide="ignore"):  # where the next frame has no depth
            after = 1 / inverse_depth_at(np.maximum(told_next, FLOOR_M), pixels)
        usable = np.isfinite(after)
        values = flicker(
            torch.from_numpy(told[points.rows, points.columns].astype(np.float64)[usable]),
            torch.from_numpy(after[usable]),
            rays[torch.from_numpy(usable)],
            b_from_a,
            torch.from_numpy(z[usable]),
        )
        if len(values):
            found[group] = float(values.mean())
    return found


def _cameras(sequence: Sequence) -> Bool[np.ndarray, "v"]:
    """Which frames have a camera with intrinsics."""
    if sequence.world_from_cam is None or sequence.intrinsics is None:
        return np.zeros(len(sequence), np.bool_)
    return sequence.known_cameras()


def _raw(sequence: Sequence, number: int, picture: PictureDepth) -> RawFrame:
    """A frame for `cut3r.data.reprojection`, which does not look at its colours."""
    assert sequence.world_from_cam is not None and sequence.intrinsics is not None
    depth = np.where(picture.known & np.isfinite(picture.true), picture.true, 0).astype(np.float32)
    blank = np.broadcast_to(np.uint8(0), (*depth.shape, 3))
    return RawFrame(blank, depth, sequence.intrinsics[number], sequence.world_from_cam[number])
