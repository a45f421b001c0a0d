"""Pictures of a point cloud from any camera, on the processor and without a screen: squares, the nearest in front."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, Shaped, UInt8, UInt32
from scipy.spatial import cKDTree

BACKGROUND = (255, 255, 255)
NEAREST = 0.02  # metres
LARGEST = 12  # pixels on a side of a square: a point before the lens must not hide all
NEIGHBOUR = 6  # a point reaches as far as to this one of its neighbours, so that gaps close
ALONE = 5.0  # usual distances, beyond which a point stands alone and stays small


@dataclass(frozen=True)
class Cloud:
    """Points to be drawn, and how wide each is; metres."""

    points: Float32[np.ndarray, "p 3"]
    colors: UInt8[np.ndarray, "p 3"]
    widths: Float32[np.ndarray, "p"]

    @classmethod
    def of(cls, points: Float32[np.ndarray, "p 3"], colors: UInt8[np.ndarray, "p 3"]) -> "Cloud":
        """Make points as wide as the cloud is thin where they are.

        Raises:
            ValueError: Fewer than two points.
        """
        if len(points) < 2:
            raise ValueError(f"a picture needs a cloud of points, and there are {len(points)}")
        distances, _ = cKDTree(points).query(points, k=min(NEIGHBOUR + 1, len(points)))
        widths = distances[:, -1]
        usual = np.median(widths)
        return cls(points, colors, np.where(widths > ALONE * usual, usual, widths).astype(np.float32))


def render(
    cloud: Cloud,
    intrinsics: Float64[np.ndarray, "3 3"],
    world_from_cam: Float64[np.ndarray, "4 4"],
    size: tuple[int, int],
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw each point as a square, as large as its width appears at its distance.

    Args:
        size: (h, w) in pixels.
    """
    colors, background = _packed(cloud.colors), _packed(np.array([BACKGROUND], np.uint8))[0]
    picture = _drawn(cloud, intrinsics, world_from_cam, size, lambda points, z: colors[points], background)
    rgb = picture.view(np.uint8).reshape(*picture.shape, 4)
    return np.ascontiguousarray(rgb[..., :3])


def draw_depth(
    cloud: Cloud,
    intrinsics: Float64[np.ndarray, "3 3"],
    world_from_cam: Float64[np.ndarray, "4 4"],
    size: tuple[int, int],
) -> Float32[np.ndarray, "h w"]:
    """The same squares, as metres along the optical axis; 0 where there are none."""
    return _drawn(cloud, intrinsics, world_from_cam, size, lambda points, z: z, np.float32(0))


def _drawn(
    cloud: Cloud,
    intrinsics: Float64[np.ndarray, "3 3"],
    world_from_cam: Float64[np.ndarray, "4 4"],
    size: tuple[int, int],
    values: Callable[[np.ndarray, np.ndarray], np.ndarray],
    background: np.generic,
) -> Shaped[np.ndarray, "h w"]:
    """Fill squares with what `values` says of points (by numbers) and their depths."""
    h, w = size
    rotation, centre = world_from_cam[:3, :3], world_from_cam[:3, 3]
    in_cam = (cloud.points - centre.astype(np.float32)) @ rotation.astype(np.float32)  # the rows of R^T x
    ahead = np.flatnonzero(in_cam[:, 2] > NEAREST)
    z = in_cam[ahead, 2]
    u = np.rint(intrinsics[0, 0] * in_cam[ahead, 0] / z + intrinsics[0, 2])
    v = np.rint(intrinsics[1, 1] * in_cam[ahead, 1] / z + intrinsics[1, 2])
    seen = (u > -LARGEST) & (u < w + LARGEST) & (v > -LARGEST) & (v < h + LARGEST)
    ahead, z, u, v = ahead[seen], z[seen], u[seen].astype(np.int32), v[seen].astype(np.int32)
    order = np.argsort(-z, kind="stable")  # the nearest last: of several values for one pixel, numpy keeps the last
    ahead, z, u, v = ahead[order], z[order], u[order], v[order]
    sides = np.clip(np.ceil(cloud.widths[ahead] * intrinsics[0, 0] / z), 1, LARGEST).astype(np.int32)
    wide = w + 4 * LARGEST  # with a margin, in which squares may end
    corner = (v - sides // 2 + 2 * LARGEST) * wide + u - sides // 2 + 2 * LARGEST
    covered = sides * sides
    nth = np.arange(covered.sum(), dtype=np.int32) - np.repeat(np.cumsum(covered, dtype=np.int32) - covered, covered)
    steps, begins = _steps(wide)
    place = np.repeat(corner, covered) + steps[np.repeat(begins[sides], covered) + nth]
    picture = np.full((h + 4 * LARGEST) * wide, background)
    picture[place] = np.repeat(values(ahead, z), covered)
    inner = picture.reshape(-1, wide)[2 * LARGEST : -2 * LARGEST, 2 * LARGEST : -2 * LARGEST]
    return np.ascontiguousarray(inner)


def _steps(wide: int) -> tuple[Int32[np.ndarray, "k"], Int32[np.ndarray, "s"]]:
    """From the first pixel of a square to all of its pixels, for each side; and where those of a side begin."""
    squares = [np.add.outer(np.arange(side) * wide, np.arange(side)).ravel() for side in range(LARGEST + 1)]
    begins = np.cumsum([0, *(len(square) for square in squares[:-1])])
    return np.concatenate(squares).astype(np.int32), begins.astype(np.int32)


def _packed(colors: UInt8[np.ndarray, "p 3"]) -> UInt32[np.ndarray, "p"]:
    return np.concatenate((colors, np.full((len(colors), 1), 255, np.uint8)), axis=1).view(np.uint32)[:, 0]
