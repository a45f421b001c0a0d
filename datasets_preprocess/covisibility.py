"""How much of one picture another one sees, measured by their depth: for datasets whose authors do not say how they
measured it, or publish no measurements. Source: 03_blendedmvs.md, quirk 2."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

POINTS_PER_SIDE = 32  # of a picture's longer side, at which it is asked whether others see it
PIXELS_PER_SIDE = 128  # at which others look their depth up
FIRST_LOOK = 64  # points that tell whether a camera may see any
TOLERANCE = 0.05  # of depths that agree, relative


@dataclass(frozen=True)
class Sight:
    """What one camera sees. Depth is 0 where it is not known; `intrinsics` are those of this depth map."""

    depth: Float32[np.ndarray, "h w"]
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]

    @classmethod
    def thinned(
        cls, depth: Float[np.ndarray, "h w"], intrinsics: Float64[np.ndarray, "3 3"], world_from_cam: np.ndarray
    ) -> "Sight":
        """Keep as much as is looked up: each so-and-so-many-th pixel."""
        step = max(1, round(max(depth.shape) / PIXELS_PER_SIDE))
        scale = np.array([[1 / step], [1 / step], [1]])
        return cls(depth[::step, ::step].astype(np.float32), intrinsics * scale, np.asarray(world_from_cam, np.float64))

    def points(self) -> Float64[np.ndarray, "p 3"]:
        """Give the world's points at some of the pixels whose depth is known."""
        step = max(1, round(max(self.depth.shape) / POINTS_PER_SIDE))
        depth = self.depth[::step, ::step]
        row, column = np.nonzero(depth > 0)
        pixels = np.stack((column * step, row * step, np.ones_like(row)), axis=-1)
        in_camera = pixels @ np.linalg.inv(self.intrinsics).T * depth[row, column, None]
        return in_camera @ self.world_from_cam[:3, :3].T + self.world_from_cam[:3, 3]


def scores(sights: Sequence[Sight]) -> Float64[np.ndarray, "n n"]:
    """Measure each pair: the share of points of one that the other sees at the same depth, or the other way around,
    whichever is smaller. Symmetric; 0 on the diagonal."""
    seen = np.zeros((len(sights), len(sights)))
    for number, sight in enumerate(sights):
        points = sight.points()
        for other in np.flatnonzero(_may_see(sights, points[:: max(1, len(points) // FIRST_LOOK)])).tolist():
            seen[number, other] = _share_seen(points, sights[other])
    np.fill_diagonal(seen, 0)
    return np.minimum(seen, seen.T)


def pairs(matrix: Float64[np.ndarray, "n n"], at_least: float = 0.0) -> Float64[np.ndarray, "m 3"]:
    """List the pairs above a score, as rows (first, second, score), both ways around."""
    first, second = np.nonzero(matrix > at_least)
    return np.stack((first, second, matrix[first, second]), axis=-1).astype(np.float64)


def _may_see(sights: Sequence[Sight], points: Float64[np.ndarray, "p 3"]) -> Bool[np.ndarray, "n"]:
    """Tell which cameras have one of these points in their picture, hidden or not."""
    if not len(points):
        return np.zeros(len(sights), bool)
    rotations = np.stack([sight.intrinsics @ sight.world_from_cam[:3, :3].T for sight in sights])
    centres = np.stack([sight.world_from_cam[:3, 3] for sight in sights])
    projected = (points - centres[:, None]) @ rotations.mT  # [n, p, 3]
    sizes = np.array([sight.depth.shape[::-1] for sight in sights])[:, None]
    low, high = -0.5 * projected[..., 2:], (sizes - 0.5) * projected[..., 2:]
    inside = (projected[..., :2] > low) & (projected[..., :2] < high)
    return (inside.all(axis=-1) & (projected[..., 2] > 0)).any(axis=-1)


def _share_seen(points: Float64[np.ndarray, "p 3"], by: Sight) -> float:
    rotation, centre = by.world_from_cam[:3, :3], by.world_from_cam[:3, 3]
    projected = (points - centre) @ (by.intrinsics @ rotation.T).T
    z = projected[:, 2]
    front = z > 0
    pixels = np.full((len(points), 2), -1.0)
    np.divide(projected[:, :2], z[:, None], out=pixels, where=front[:, None])
    h, w = by.depth.shape
    inside = ((pixels > -0.5) & (pixels < (w - 0.5, h - 0.5))).all(axis=1)
    column, row = np.rint(pixels[inside]).astype(np.int64).T
    there = by.depth[row, column]
    agree = (there > 0) & (np.abs(there - z[inside]) <= TOLERANCE * z[inside])
    return float(agree.sum() / len(points))
