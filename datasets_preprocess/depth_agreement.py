"""Do depth maps of several views agree? What stereo has made up is contradicted by what other views see there."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int

from cut3r.geometry.cameras import project, unproject
from cut3r.geometry.poses import invert, transform


class Seen(NamedTuple):
    """A depth map and its camera; 0 is unknown."""

    depth: Float32[np.ndarray, "h w"]
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def agreeing_views(view: Seen, others: Iterable[Seen], tolerance: float) -> Int[np.ndarray, "h w"]:
    """Count, for each pixel, the other views that have about the same depth where its point appears in them.

    Args:
        tolerance: How far depths may differ, as a share of the other view's.
    """
    intrinsics, pose = torch.from_numpy(view.intrinsics), torch.from_numpy(view.world_from_cam)
    points = transform(pose, unproject(torch.from_numpy(view.depth).double(), intrinsics))
    count = np.zeros(view.depth.shape, np.int64)
    for other in others:
        cam_from_world = invert(torch.from_numpy(other.world_from_cam))
        pixels, depth = project(transform(cam_from_world, points), torch.from_numpy(other.intrinsics))
        count += _agrees(pixels.numpy(), depth.numpy(), other.depth, tolerance) & (view.depth > 0)
    return count


def _agrees(
    pixels: Float64[np.ndarray, "h w 2"],
    depth: Float64[np.ndarray, "h w"],
    stored: Float32[np.ndarray, "h1 w1"],
    tolerance: float,
) -> np.ndarray:
    h, w = stored.shape
    ahead = depth > 0
    x, y = (np.where(ahead, pixels[..., axis], -1).round() for axis in (0, 1))
    inside = ahead & (x >= 0) & (x < w) & (y >= 0) & (y < h)
    there = np.zeros(depth.shape)
    there[inside] = stored[y[inside].astype(int), x[inside].astype(int)]
    return (there > 0) & (np.abs(depth - there) <= tolerance * there)
