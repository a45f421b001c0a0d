"""Is the principal point half a pixel off? The effect is small, and most pairs of frames cannot tell.

A shift of the principal point is invisible where the camera moves sideways: both frames shift alike. Only what grows,
shrinks or turns in the picture shows it. So it is named only if the same points agree better, in depth or in colours,
with half a pixel than without and than with a whole one, in nearly all pairs.
"""

from functools import partial

import numpy as np
from jaxtyping import Float64

from cut3r.data.hypotheses import HALF_PIXEL, Hypothesis, half_pixel, moved_center
from cut3r.data.reprojection import residuals, sample
from cut3r.data.trials import Pairs, consistent
from cut3r.data.view import RawFrame

SHIFTS = (-2, -1, 0, 1, 2)  # times half a pixel
NOTHING = SHIFTS.index(0)
MIN_PAIRS = 4
MIN_POINTS = 50  # of a pair
DEPTH_BETTER = 1.3  # errors of depth vanish with the right principal point; differences of colours hardly change
COLOR_BETTER = 1.01
DEPTH_FLOOR, COLOR_FLOOR = 1e-5, 1e-3
SIGNIFICANT = 3.0  # standard errors of the mean over the pairs


def find_half_pixel(pairs: Pairs) -> Hypothesis | None:
    """Give the shift that the pairs agree on; None if there is none, or if they cannot tell.

    Raises:
        ValueError: A pose is not rigid.
    """
    costs = [cost for a, b in pairs if (cost := _costs(a, b)) is not None]
    if len(costs) < MIN_PAIRS:
        return None
    depth, color = np.log(np.stack(costs)).transpose(2, 1, 0)  # [shifts, pairs]
    for sign in (1, -1):
        by_depth = _explains(depth, sign, DEPTH_BETTER)
        by_color = _explains(color, sign, COLOR_BETTER)
        against = _explains(depth, -sign, DEPTH_BETTER) or _explains(color, -sign, COLOR_BETTER)
        if (by_depth or by_color) and not against:
            return half_pixel(sign)
    return None


def _costs(a: RawFrame, b: RawFrame) -> Float64[np.ndarray, "shifts 2"] | None:
    """Median error of depth and mean difference of colours for each shift, over points that all shifts can judge."""
    points = sample(a)
    moves = [partial(moved_center, pixels=HALF_PIXEL * shift) for shift in SHIFTS]
    found = [residuals(points, move(a), move(b)) for move in moves]
    depth = np.stack([one.depth for one in found])
    color = np.stack([one.color for one in found])
    depth = depth[:, np.isfinite(depth).all(axis=0)]
    color = color[:, np.isfinite(color).all(axis=0)]
    if min(depth.shape[1], color.shape[1]) < MIN_POINTS:
        return None
    return np.stack((np.median(depth, axis=1) + DEPTH_FLOOR, color.mean(axis=1) + COLOR_FLOOR), axis=1)


def _explains(log_costs: Float64[np.ndarray, "shifts v"], sign: int, factor: float) -> bool:
    """Whether half a pixel to this side is better than none and than a whole one, and none than half to the other."""
    half = log_costs[NOTHING + sign]
    nothing, whole, other = log_costs[NOTHING], log_costs[NOTHING + 2 * sign], log_costs[NOTHING - sign]
    better = all(consistent(worse - half, factor) and _significant(worse - half) for worse in (nothing, whole))
    return better and consistent(other - nothing, 1.0)


def _significant(gains: Float64[np.ndarray, "v"]) -> bool:
    return bool(gains.mean() > SIGNIFICANT * gains.std(ddof=1) / np.sqrt(len(gains)))
