"""Depth maps of triangle meshes, with a z-buffer in NumPy."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int

NEAR, FAR = 0.05, 20.0  # metres
_PIXELS_AT_ONCE = 4_000_000


def read_mesh(path: Path) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, "m 3"]]:
    """Read vertices and triangles of a mesh file."""
    import trimesh

    mesh = trimesh.load_mesh(path, process=False)
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def render_depth(
    points_cam: Float[np.ndarray, "n 3"],
    faces: Int[np.ndarray, "m 3"],
    intrinsics: Float[np.ndarray, "3 3"],
    size: tuple[int, int],
    *,
    front_only: bool = False,
) -> Float32[np.ndarray, "h w"]:
    """Give the depth (z) of the nearest triangle at each pixel's centre, 0 where there is none between NEAR and FAR.

    A triangle that reaches behind NEAR is left out as a whole: the triangles of a scan are small.

    Args:
        front_only: Leave out triangles seen from behind: those whose corners do not go counter-clockwise.
    """
    corners = points_cam[faces]  # [m, 3 corners, 3]
    corners = corners[(corners[..., 2] > NEAR).all(axis=1)]
    inverse_depth = 1 / corners[..., 2]
    xy = corners[..., :2] * inverse_depth[..., None] * intrinsics.diagonal()[:2] + intrinsics[:2, 2]
    if front_only:
        front = _clockwise_area(xy) < 0
        xy, inverse_depth = xy[front], inverse_depth[front]
    nearest = np.zeros(size[0] * size[1])
    for triangle, x, y in _candidates(xy, size):
        weights = _barycentric(xy[triangle], x, y)
        inside = (weights >= -1e-9).all(axis=1)  # nan, of a triangle without area, is not
        # The inverse of depth is what is linear on the screen.
        values = (weights[inside] * inverse_depth[triangle[inside]]).sum(axis=1)
        np.maximum.at(nearest, (y * size[1] + x)[inside], values)
    depth = np.divide(1, nearest, out=np.zeros_like(nearest), where=nearest > 1 / FAR)
    return depth.reshape(size).astype(np.float32)


def _clockwise_area(xy: Float[np.ndarray, "m 3 2"]) -> Float[np.ndarray, "m"]:
    """Twice the area on the screen (y down), negative where the corners go counter-clockwise."""
    first, second = xy[:, 1] - xy[:, 0], xy[:, 2] - xy[:, 0]
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def _candidates(
    xy: Float[np.ndarray, "m 3 2"], size: tuple[int, int]
) -> Iterator[tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"], Int[np.ndarray, "k"]]]:
    """Give all pixels in the bounding box of each triangle as (triangle, x, y), some millions at a time."""
    limit = np.array([size[1], size[0]])
    low = np.clip(np.ceil(xy.min(axis=1)), 0, limit).astype(np.int64)
    high = np.clip(np.floor(xy.max(axis=1)) + 1, 0, limit).astype(np.int64)
    extent = np.maximum(high - low, 0)
    seen = np.flatnonzero(extent.prod(axis=1))
    totals = np.cumsum(extent[seen].prod(axis=1))
    bounds = np.searchsorted(totals, np.arange(_PIXELS_AT_ONCE, totals[-1] if len(totals) else 0, _PIXELS_AT_ONCE))
    for some in np.split(seen, bounds):
        counts = extent[some].prod(axis=1)
        triangle = np.repeat(some, counts)
        number = np.arange(len(triangle)) - np.repeat(np.cumsum(counts) - counts, counts)
        width = extent[triangle, 0]
        yield triangle, low[triangle, 0] + number % width, low[triangle, 1] + number // width


def _barycentric(
    xy: Float[np.ndarray, "k 3 2"], x: Int[np.ndarray, "k"], y: Int[np.ndarray, "k"]
) -> Float[np.ndarray, "k 3"]:
    to_corner = xy - np.stack((x, y), axis=-1)[:, None]  # [k, 3, 2]
    following, last = np.roll(to_corner, -1, axis=1), np.roll(to_corner, -2, axis=1)
    areas = following[..., 0] * last[..., 1] - following[..., 1] * last[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return areas / areas.sum(axis=1, keepdims=True)
