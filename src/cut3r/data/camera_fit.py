"""Are the rays of the camera right? Focal lengths, principal point and the direction in which the camera looks are
fitted to pairs of frames, one correction for all.

A lens that was calibrated wrongly, another lens than that of the calibration, or a tilted one whose tilt was forgotten:
no convention undoes them, but depth and poses together show which rays would be right. A fitted camera is named only if
errors of depth shrink clearly in nearly all pairs, and colours do not blur.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float64
from scipy.optimize import least_squares

from cut3r.data.hypotheses import Hypothesis
from cut3r.data.reprojection import Samples, depth_residuals, moved_pixels, residuals, sample
from cut3r.data.trials import Pairs, consistent
from cut3r.data.view import RawFrame
from cut3r.geometry.cameras import pixel_rays
from cut3r.geometry.lie import rotation_from_vector

PIXELS = 499  # of each frame, while fitting
UNIT = 0.1  # of the parameters: relative focal length, share of the picture's width, radians
STEP = 0.01  # of a unit, for derivatives
LOST = 0.05  # the error of a point that is not seen again, and the largest of others
ROUNDING = 0.003  # larger errors count less
LARGEST = 5.0  # units: no lens is guessed to be more than so far off
BETTER = 1.4
DEPTH_FLOOR, COLOR_FLOOR = 1e-4, 1e-3
LEAST_ERROR = 8e-4  # below, there is nothing to explain
MIN_PAIRS, MIN_POINTS = 4, 50
SIGNIFICANT = 3.0  # standard errors of the mean over the pairs
LENS, TURNED = 4, 6  # parameters: without and with the direction of the camera

Parameters = Float64[np.ndarray, "n"]


def fit_camera(pairs: Pairs) -> Hypothesis | None:
    """Find the camera that explains the pairs much better than the given one; None if there is none.

    Raises:
        ValueError: A pose is not rigid.
    """
    if len(pairs) < MIN_PAIRS:
        return None
    given = _costs(pairs, np.zeros(LENS))
    if given is None or np.median(np.exp(given[0])) < LEAST_ERROR:
        return None
    best, before = None, given
    for count in (LENS, TURNED):  # what a lens explains is not explained by a turn
        found = _fit(pairs, np.zeros(count) if best is None else np.pad(best, (0, count - LENS)))
        costs = _costs(pairs, found)
        if costs is not None and _better(before, costs):
            best, before = found, costs
    return None if best is None else _named(pairs, best)


def corrected(frame: RawFrame, found: Parameters) -> RawFrame:
    """Give a frame the fitted camera. Parameters are in units: logarithms of the focal lengths, the principal point in
    widths, and the turn of the camera about x and y, with which each pixel keeps its distance, not its depth."""
    fixed = _with_camera(frame, found)
    if len(found) == LENS:
        return fixed
    y, x = np.mgrid[: frame.depth.shape[0], : frame.depth.shape[1]]
    stretch = stretch_at(np.stack((x, y), axis=-1).astype(np.float64), frame.intrinsics, fixed.intrinsics)
    return replace(fixed, depth=np.where(frame.depth > 0, frame.depth * stretch, frame.depth).astype(np.float32))


def _with_camera(frame: RawFrame, found: Parameters) -> RawFrame:
    """The fitted camera before the depth as it is."""
    found = UNIT * found
    intrinsics, pose = frame.intrinsics.copy(), frame.world_from_cam.copy()
    intrinsics[[0, 1], [0, 1]] *= np.exp(found[:2])
    intrinsics[:2, 2] += found[2:LENS] * frame.size[1]
    if len(found) > LENS:
        pose[:3, :3] @= rotation_from_vector(torch.tensor([*found[LENS:], 0.0], dtype=torch.float64)).numpy()
    return replace(frame, intrinsics=intrinsics, world_from_cam=pose)


def stretch_at(
    pixels: Float64[np.ndarray, "*p 2"], before: Float64[np.ndarray, "3 3"], after: Float64[np.ndarray, "3 3"]
) -> Float64[np.ndarray, "*p"]:
    """What the depth of pixels is multiplied with under other intrinsics, if they keep their distance."""
    lengths = [pixel_rays(torch.from_numpy(pixels), torch.from_numpy(k)).norm(dim=-1).numpy() for k in (before, after)]
    ratio: Float64[np.ndarray, "*p"] = lengths[0] / lengths[1]
    return ratio


def _fit(pairs: Pairs, start: Parameters) -> Parameters:
    samples = [sample(a, PIXELS) for a, _ in pairs]
    found = least_squares(
        lambda x: np.concatenate([_errors(pair, points, x) for pair, points in zip(pairs, samples, strict=True)]),
        start,
        bounds=(-LARGEST, LARGEST),
        diff_step=STEP,
        loss="soft_l1",
        f_scale=ROUNDING,
        max_nfev=12,
    )
    return np.asarray(found.x)


def _errors(pair: tuple[RawFrame, RawFrame], points: Samples, found: Parameters) -> Float64[np.ndarray, "p"]:
    """Relative errors of depth, at the sampled pixels alone."""
    (a, b), stored = (_with_camera(frame, found) for frame in pair), pair[1]
    if len(found) > LENS:
        at, depth = np.stack((points.columns, points.rows), axis=-1).astype(np.float64), a.depth.copy()
        depth[points.rows, points.columns] *= stretch_at(at, pair[0].intrinsics, a.intrinsics).astype(np.float32)
        a = replace(a, depth=depth)
    pixels, z = (values[0] for values in moved_pixels(points, a, b))
    if len(found) > LENS:
        z = z / stretch_at(pixels, stored.intrinsics, b.intrinsics)
    _, _, error = depth_residuals(pixels, z, stored)
    return np.where(np.isfinite(error), np.minimum(error, LOST), LOST)


def _costs(pairs: Pairs, found: Parameters) -> Float64[np.ndarray, "2 v"] | None:
    """Logarithms of the median error of depth and the mean difference of colours, of each pair."""
    costs = []
    for a, b in pairs:
        checked = residuals(sample(a), corrected(a, found), corrected(b, found))
        depth, color = (values[np.isfinite(values)] for values in (checked.depth, checked.color))
        if min(len(depth), len(color)) < MIN_POINTS:
            return None
        costs.append((np.median(depth) + DEPTH_FLOOR, color.mean() + COLOR_FLOOR))
    return np.log(np.array(costs)).T


def _better(before: Float64[np.ndarray, "2 v"], after: Float64[np.ndarray, "2 v"]) -> bool:
    gains = before[0] - after[0]
    significant = gains.mean() > SIGNIFICANT * gains.std(ddof=1) / np.sqrt(len(gains))
    return bool(significant and consistent(gains, BETTER) and np.median(after[1] - before[1]) <= 0)


def _named(pairs: Pairs, found: Parameters) -> Hypothesis:
    frame = pairs[0][0]
    fixed = corrected(frame, found)
    ratios = np.diag(fixed.intrinsics)[:2] / np.diag(frame.intrinsics)[:2]
    moved = fixed.intrinsics[:2, 2] - frame.intrinsics[:2, 2]
    turned = np.degrees(UNIT * np.linalg.norm(found[LENS:]))
    what = f"focal lengths x{ratios[0]:.3f}, x{ratios[1]:.3f}"
    what += f" and the principal point moved by ({moved[0]:+.1f}, {moved[1]:+.1f}) px"
    turn = f", in a camera that is tilted by {turned:.1f} degrees," if len(found) > LENS else ""
    return Hypothesis(
        "tilted camera" if len(found) > LENS else "other intrinsics",
        f"the rays of the camera look wrong by up to {largest_angle(frame, fixed):.1f} degrees; {what}{turn} fit",
        "the calibration, which camera it is of, and whether the lens is tilted or shifted",
        lambda other: corrected(other, found),
    )


def largest_angle(frame: RawFrame, fixed: RawFrame) -> float:
    """Give the largest angle, in degrees, between the rays of a pixel in two cameras."""
    h, w = frame.size
    x, y = np.meshgrid(np.linspace(0, w - 1, 9), np.linspace(0, h - 1, 9))
    pixels = torch.from_numpy(np.stack((x, y), axis=-1))
    before, after = (pixel_rays(pixels, torch.from_numpy(each.intrinsics)) for each in (frame, fixed))
    turn = torch.from_numpy(frame.world_from_cam[:3, :3].T @ fixed.world_from_cam[:3, :3])
    cosines = torch.cosine_similarity(before, after @ turn.mT, dim=-1)
    return float(torch.rad2deg(torch.acos(cosines.clamp(-1, 1)).max()))
