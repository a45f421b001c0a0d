"""The scale and shift with the least sum of absolute errors, of as many pixels as a video has.

The loss is convex in two numbers. A polygon that holds the optimum is cut through its centroid, again and again, and
the side to which the loss rises falls away: at least 37 % of the area (Levin 1965, Newman 1965). The slope at the
centroid bounds how much better any other point of the polygon can be, so the search knows when it is done.

As the polygon shrinks, fewer and fewer pixels are still open (`l1_loss`), so a dozen passes over all pixels are enough.
For long videos a thin sample says first where to look, which leaves two; should the optimum not be there, the search
starts again from a box that is sure to hold it.
"""

import math
from contextlib import ExitStack

import numpy as np
from jaxtyping import Float64

from cut3r.metrics.depth_pairs import BLOCK, DepthPairs, PairSource
from cut3r.metrics.l1_loss import Box, L1Loss
from cut3r.metrics.stream_median import stream_medians

TOLERANCE = 1e-9  # the loss may exceed the optimum by this share of itself,
FLOOR = 1e-12  # or, where the optimum is 0, by this share of what the box can change
MAX_CUTS = 300  # two cuts give a bit or more of both numbers: float64 is exhausted long before
SAMPLE = 2**18  # pixels
GUESS = 64  # the box around the sample's optimum is so many times narrower than the sure one
NARROWER = 0.25  # sort the pixels anew when the polygon's box has shrunk to this share

Polygon = Float64[np.ndarray, "corners 2"]  # (scale, level), see Box
Point = Float64[np.ndarray, "2"]


def least_absolute_fit(pairs: PairSource) -> tuple[float, float]:
    """Find the scale and shift whose loss exceeds the least possible one by at most 1e-9 of itself.

    Where all predictions are the same, or all targets, the scale is 0 and the shift the targets' lower median. Where a
    prediction or target is not finite both are nan.

    Raises:
        ValueError: There are no pixels.
    """
    if len(pairs) > SAMPLE:
        box = _guess(pairs)
        with L1Loss(pairs).narrowed(box) as nearby:
            scale, shift, is_inside = _minimize(nearby, box)
        if is_inside:  # of a convex function a lowest point inside a region is the lowest everywhere
            return scale, shift
    scale, shift, _ = _minimize(L1Loss(pairs), _sure_box(pairs))
    return scale, shift


def _guess(pairs: PairSource) -> Box:
    """Solve every k-th pixel, and give a box around that."""
    step = math.ceil(len(pairs) / SAMPLE)
    with DepthPairs(keep_failed=True) as sample:
        skip = 0
        for block in pairs.blocks():
            sample.append(block.prediction[skip::step], block.target[skip::step])
            skip = (skip - len(block.target)) % step
        sure = _sure_box(sample)
        scale, shift, _ = _minimize(L1Loss(sample), sure)
    return Box(scale, shift + scale * sure.pivot, sure.scale_reach / GUESS, sure.level_reach / GUESS, sure.pivot)


def _sure_box(pairs: PairSource) -> Box:
    """Give a box that holds an optimum.

    Let D and E be the sums of |prediction - median| and |target - median|. Scale 0 has loss E, so the optimum has no
    more. Then |scale| D <= the least sum of |scale * prediction + any shift - median| <= loss + E <= 2 E, and
    n |level - median| <= loss + |scale| D + E <= 4 E.
    """
    pivot, level = stream_medians(lambda: (((b.prediction, None), (b.target, None)) for b in pairs.blocks()))
    spread = target_spread = 0.0
    for block in pairs.blocks():
        spread += float(np.abs(block.prediction.astype(np.float64) - pivot).sum())
        target_spread += float(np.abs(block.target.astype(np.float64) - level).sum())
    return Box(0.0, level, 2 * target_spread / spread if spread else 0.0, 4 * target_spread / len(pairs), pivot)


def _minimize(loss: L1Loss, box: Box) -> tuple[float, float, bool]:
    """Find the lowest scale and shift in the box, and tell whether all that could be as low lies off its edges."""
    center, reach = np.array([box.scale, box.level]), np.array([box.scale_reach, box.level_reach])
    polygon = center + reach * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    floor = FLOOR * len(loss.pairs) * box.level_reach
    best, best_point, sorted_area = math.inf, center, float(reach.prod())
    with ExitStack() as lent:
        for _ in range(MAX_CUTS if reach.all() else 0):
            point = _centroid(polygon)
            value = loss.at(point[0], point[1] - point[0] * box.pivot)
            slope = np.array([value.by_scale - value.by_shift * box.pivot, value.by_shift])
            if not math.isfinite(value.loss):
                return math.nan, math.nan, True
            if value.loss < best:
                best, best_point = value.loss, point
            if best - (value.loss + ((polygon - point) @ slope).min()) <= TOLERANCE * best + floor:
                break
            polygon = _cut(polygon, point, slope)
            around = _box_around(polygon, box.pivot)
            area = around.scale_reach * around.level_reach
            if area <= NARROWER * sorted_area and len(loss.pairs) > BLOCK:
                loss, sorted_area = lent.enter_context(loss.narrowed(around)), area
    is_inside = bool((np.abs(polygon - center) < 0.999 * reach).all())
    return float(best_point[0]), float(best_point[1] - best_point[0] * box.pivot), is_inside


def _centroid(polygon: Polygon) -> Point:
    corner = polygon[0]
    b, c = polygon[1:-1] - corner, polygon[2:] - corner  # triangles that share a corner
    areas = b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0]
    total = areas.sum()
    if total == 0:
        return polygon.mean(axis=0)
    return corner + areas @ (b + c) / (3 * total)


def _cut(polygon: Polygon, point: Point, slope: Point) -> Float64[np.ndarray, "kept 2"]:
    """Keep what does not lie up the slope from the point."""
    heights = (polygon - point) @ slope
    corners = []
    for corner, following, height, next_height in zip(
        polygon, np.roll(polygon, -1, axis=0), heights, np.roll(heights, -1), strict=True
    ):
        if height <= 0:
            corners.append(corner)
        if height * next_height < 0:
            corners.append(corner + (following - corner) * (height / (height - next_height)))
    return np.array(corners)


def _box_around(polygon: Polygon, pivot: float) -> Box:
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    (scale, level), (scale_reach, level_reach) = (low + high) / 2, (high - low) / 2
    return Box(float(scale), float(level), float(scale_reach), float(level_reach), pivot)
