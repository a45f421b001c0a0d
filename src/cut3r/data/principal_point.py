"""Is the principal point half a pixel off, or counted from another side? The effect is small, and most pairs of frames
cannot tell.

A shift of the principal point is invisible where the camera moves sideways: both frames shift alike. Only what grows,
shrinks or turns in the picture shows it. So it is named only if the same points agree better, in depth or in colours,
with the shift than without and than with twice as much, in nearly all pairs.
"""

import numpy as np
from jaxtyping import Float64

from cut3r.data.hypotheses import MIRRORED, Hypothesis, half_pixel, moved_center
from cut3r.data.reprojection import residuals, sample
from cut3r.data.trials import Pairs, consistent
from cut3r.data.view import RawFrame

SHIFTS = (-2, -1, 0, 1, 2)  # times the displacement
NOTHING = SHIFTS.index(0)
MIN_PAIRS = 4
MIN_POINTS = 50  # of a pair
DEPTH_BETTER = 1.3  # errors of depth vanish with the right principal point; differences of colours hardly change
COLOR_BETTER = 1.01
DEPTH_FLOOR, COLOR_FLOOR = 1e-5, 1e-3
SIGNIFICANT = 3.0  # standard errors of the mean over the pairs

LogCosts = Float64[np.ndarray, "shifts v"]


def find_principal_point(pairs: Pairs) -> Hypothesis | None:
    """Give the shift that the pairs agree on, of several the best; None if there is none, or if they cannot tell.

    Raises:
        ValueError: A pose is not rigid.
    """
    frames = [frame for pair in pairs for frame in pair]
    tried: list[tuple[Hypothesis, tuple[int, ...]]] = [(half_pixel(1), (1, -1))]
    tried += [(mirrored, (1,)) for mirrored in MIRRORED if all(map(mirrored.applies, frames))]
    found: list[tuple[float, Hypothesis]] = []
    for hypothesis, signs in tried:
        costs = [cost for a, b in pairs if (cost := _costs(a, b, hypothesis)) is not None]
        if len(costs) < MIN_PAIRS:
            continue
        depth, color = np.log(np.stack(costs)).transpose(2, 1, 0)  # [shifts, pairs]
        for sign in signs:
            by_depth = _explains(depth, sign, DEPTH_BETTER)
            by_color = _explains(color, sign, COLOR_BETTER)
            against = _explains(depth, -sign, DEPTH_BETTER) or _explains(color, -sign, COLOR_BETTER)
            if (by_depth or by_color) and not against:
                named = hypothesis if sign > 0 else half_pixel(-1)
                found.append((float((depth[NOTHING + sign] - depth[NOTHING]).mean()), named))
    return min(found, key=lambda each: each[0])[1] if found else None


def _costs(a: RawFrame, b: RawFrame, hypothesis: Hypothesis) -> Float64[np.ndarray, "shifts 2"] | None:
    """Median error of depth and mean difference of colours for each shift, over points that all shifts can judge."""
    points = sample(a)
    found = [residuals(points, _moved(a, hypothesis, shift), _moved(b, hypothesis, shift)) for shift in SHIFTS]
    depth = np.stack([one.depth for one in found])
    color = np.stack([one.color for one in found])
    depth = depth[:, np.isfinite(depth).all(axis=0)]
    color = color[:, np.isfinite(color).all(axis=0)]
    if min(depth.shape[1], color.shape[1]) < MIN_POINTS:
        return None
    return np.stack((np.median(depth, axis=1) + DEPTH_FLOOR, color.mean(axis=1) + COLOR_FLOOR), axis=1)


def _moved(frame: RawFrame, hypothesis: Hypothesis, times: int) -> RawFrame:
    """Move the principal point so many times as far as the hypothesis does."""
    dx, dy = hypothesis.correct(frame).intrinsics[:2, 2] - frame.intrinsics[:2, 2]
    return moved_center(frame, (times * dx, times * dy))


def _explains(log_costs: LogCosts, sign: int, factor: float) -> bool:
    """Whether the shift to this side is better than none and than twice as much, and none than one to the other."""
    there = log_costs[NOTHING + sign]
    nothing, twice, other = log_costs[NOTHING], log_costs[NOTHING + 2 * sign], log_costs[NOTHING - sign]
    better = all(consistent(worse - there, factor) and _significant(worse - there) for worse in (nothing, twice))
    return better and consistent(other - nothing, 1.0)


def _significant(gains: Float64[np.ndarray, "v"]) -> bool:
    return bool(gains.mean() > SIGNIFICANT * gains.std(ddof=1) / np.sqrt(len(gains)))
