"""Does one frame's depth, moved by the poses, agree with the depth and the picture of another frame?

Pure functions on `RawFrame`s of any dataset; what is wrong when they disagree is for `diagnosis`. Errors of depth are
relative, so the unit of depth and poses does not matter as long as it is the same one.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, UInt8

from cut3r.data.view import RawFrame
from cut3r.geometry.cameras import pixel_rays, project
from cut3r.geometry.poses import invert, is_rigid, transform

MOST_PIXELS = 4093  # of a frame; a prime, so that a regular subsample does not run along columns of the picture
BEHIND = 1.2  # a point that lies farther than so many times the depth stored there is hidden, not wrong
SMOOTH = 1.1  # depths of neighbouring pixels that differ by less are one surface, and interpolated
ROUNDING = 1e-6  # pixels; a point may leave the picture by so much
SHUFFLE_SEED = 0
ONE = np.ones(1)
LEAST_CONTROL = 1 / 255  # pictures whose shuffled colours differ by less have one colour


@dataclass(frozen=True)
class PairCheck:
    """What the known pixels of frame a have to say about frame b. Shares are of the pixels that were tried.

    `depth_error` is the median of |z - stored| / stored (1 at most) over the `compared` points that frame b knows the
    depth of and does not hide; nan without any. `photometric` is the mean difference of colours where a point is seen
    again, relative to that of the same colours in random order: 0 is perfect, 1 as good as chance; nan where nothing is
    seen or the pictures have one colour only.
    """

    pixels: int
    in_view: float  # in front of b and inside its picture
    seen_again: float  # and not hidden behind something nearer
    compared: int
    depth_error: float
    photometric: float


@dataclass(frozen=True)
class Samples:
    """Some pixels of a frame: those that are looked for in another one."""

    rows: Int[np.ndarray, "p"]
    columns: Int[np.ndarray, "p"]


@dataclass(frozen=True)
class Residuals:
    """What becomes of each sampled pixel of frame a in frame b."""

    pixels: Float64[np.ndarray, "p 2"]  # (x, y) in b; of any value where not in view
    in_view: Bool[np.ndarray, "p"]
    seen_again: Bool[np.ndarray, "p"]
    depth: Float64[np.ndarray, "p"]  # relative error, at most 1; nan where b knows no depth or hides the point
    color: Float64[np.ndarray, "p"]  # mean absolute difference of the channels, 0 ... 1; nan where not seen again
    control: float  # mean difference after shuffling; nan if nothing is seen again


def reproject(a: RawFrame, b: RawFrame) -> PairCheck:
    """Look for the known pixels of frame a in frame b; the same numbers for the same frames.

    Raises:
        ValueError: A pose is not rigid.
    """
    return summarize(residuals(sample(a), a, b))


def sample(frame: RawFrame, most: int = MOST_PIXELS) -> Samples:
    """Choose at most so many pixels with known depth, evenly; sky has none."""
    known = np.flatnonzero(frame.depth > 0)
    if len(known) > most:
        known = known[np.linspace(0, len(known) - 1, most).astype(np.int64)]
    rows, columns = np.divmod(known, frame.depth.shape[1])
    return Samples(rows, columns)


def residuals(samples: Samples, a: RawFrame, b: RawFrame) -> Residuals:
    """Move pixels of frame a into frame b and compare them with what is there.

    Raises:
        ValueError: A pose is not rigid.
    """
    moved, distances = moved_pixels(samples, a, b)
    pixels, z = moved[0], distances[0]
    in_view, seen, depth = depth_residuals(pixels, z, b)
    ours = a.rgb[samples.rows, samples.columns][seen] / 255
    theirs = colors_at(b.rgb, pixels[seen])
    color = np.full(len(z), np.nan)
    color[seen] = np.abs(ours - theirs).mean(axis=1)
    shuffled = np.random.default_rng(SHUFFLE_SEED).permutation(ours)
    control = float(np.abs(shuffled - theirs).mean()) if seen.any() else np.nan
    return Residuals(pixels, in_view, seen, depth, color, control)


def depth_residuals(
    pixels: Float64[np.ndarray, "p 2"], z: Float64[np.ndarray, "p"], b: RawFrame
) -> tuple[Bool[np.ndarray, "p"], Bool[np.ndarray, "p"], Float64[np.ndarray, "p"]]:
    """Which points, at pixels of b and so far away, are in view and are seen, and their errors; see `Residuals`."""
    h, w = b.size
    with np.errstate(invalid="ignore"):  # a comparison with nan, unknown, is False
        inside = (pixels >= -ROUNDING) & (pixels <= np.array((w - 1, h - 1)) + ROUNDING)
        in_view = (z > 0) & inside.all(axis=1)
        inverse = np.full(len(z), np.nan)
        inverse[in_view] = inverse_depth_at(b.depth, pixels[in_view])
        seen = in_view & ~(z * inverse > BEHIND)
    return in_view, seen, np.where(seen, np.minimum(np.abs(z * inverse - 1), 1), np.nan)


def summarize(found: Residuals) -> PairCheck:
    tried = max(1, len(found.in_view))
    compared = np.isfinite(found.depth)
    textured = found.control > LEAST_CONTROL  # False for nan too
    return PairCheck(
        pixels=len(found.in_view),
        in_view=float(found.in_view.sum() / tried),
        seen_again=float(found.seen_again.sum() / tried),
        compared=int(compared.sum()),
        depth_error=float(np.median(found.depth[compared])) if compared.any() else np.nan,
        photometric=float(found.color[found.seen_again].mean() / found.control) if textured else np.nan,
    )


def moved_pixels(
    samples: Samples, a: RawFrame, b: RawFrame, factors: Float64[np.ndarray, "f"] = ONE
) -> tuple[Float64[np.ndarray, "f p 2"], Float64[np.ndarray, "f p"]]:
    """Give the pixels (x, y) in b, and the depth there, of pixels of a; see `project` for those behind b.

    Args:
        factors: What the depths of both frames are multiplied with, one after the other; the resulting depth is in the
            unit of the stored one.

    Raises:
        ValueError: A pose is not rigid.
    """
    poses = torch.from_numpy(np.stack((a.world_from_cam, b.world_from_cam)))
    if not is_rigid(poses).all():
        raise ValueError(
            "a frame's world_from_cam is not a rotation and a translation (finite, without scale or reflection); "
            "leave frames without a valid pose out in the reader"
        )
    b_from_a = invert(poses[1]) @ poses[0]
    pixels_a = torch.from_numpy(np.stack((samples.columns, samples.rows), axis=-1).astype(np.float64))
    depth = torch.from_numpy(a.depth[samples.rows, samples.columns].astype(np.float64))
    points_a = pixel_rays(pixels_a, torch.from_numpy(a.intrinsics)) * depth.unsqueeze(-1)
    scales = torch.from_numpy(factors).view(-1, 1, 1)
    points_b = transform(b_from_a, points_a * scales) / scales  # [f, p, 3]
    pixels, z = project(points_b, torch.from_numpy(b.intrinsics))
    return pixels.numpy(), z.numpy()


def inverse_depth_at(depth: Float[np.ndarray, "h w"], pixels: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p"]:
    """Read 1 / depth between pixels, where it is linear on planes: nan where unknown, 0 in the sky.

    Between four pixels of one surface it is interpolated. Elsewhere, at edges and in sparse maps, the nearest known one
    of the four counts, which is less than a pixel away.
    """
    rows, columns, weights = corners(pixels, depth.shape)
    stored = depth[rows, columns].astype(np.float64)  # [p, 4]
    known = stored != 0
    inverse = np.divide(1, stored, out=np.zeros_like(stored), where=stored > 0)
    nearest = np.where(known, weights, -1).argmax(axis=1)
    value = np.take_along_axis(inverse, nearest[:, None], axis=1)[:, 0]
    one_surface = known.all(axis=1) & (inverse.max(axis=1) <= SMOOTH * inverse.min(axis=1))
    value = np.where(one_surface, (weights * inverse).sum(axis=1), value)
    return np.where(known.any(axis=1), value, np.nan)


def colors_at(rgb: UInt8[np.ndarray, "h w 3"], pixels: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 3"]:
    """Interpolate colours, 0 ... 1, between pixels inside the picture."""
    rows, columns, weights = corners(pixels, rgb.shape[:2])
    return (rgb[rows, columns] / 255 * weights[..., None]).sum(axis=1)


def corners(
    pixels: Float64[np.ndarray, "p 2"], size: tuple[int, int]
) -> tuple[Int[np.ndarray, "p 4"], Int[np.ndarray, "p 4"], Float64[np.ndarray, "p 4"]]:
    """Give rows, columns and bilinear weights of the four pixels around each place inside the picture."""
    h, w = size
    left = np.clip(np.floor(pixels[:, 0]).astype(np.int64), 0, max(0, w - 2))
    top = np.clip(np.floor(pixels[:, 1]).astype(np.int64), 0, max(0, h - 2))
    right, bottom = np.minimum(left + 1, w - 1), np.minimum(top + 1, h - 1)
    x, y = pixels[:, 0] - left, pixels[:, 1] - top
    weights = np.stack(((1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y), axis=1)
    return np.stack((top, top, bottom, bottom), axis=1), np.stack((left, right, left, right), axis=1), weights
