"""Do depth maps of several views agree? What stereo has made up is contradicted by what other views see there."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int
from torch import Tensor

from cut3r.data.reprojection import inverse_depth_at
from cut3r.geometry.cameras import pixel_rays, project
from cut3r.geometry.plane_sweep import Grey
from cut3r.geometry.poses import invert, transform


class Seen(NamedTuple):
    """A depth map and its camera; 0 is unknown."""

    depth: Float32[np.ndarray, "h w"]
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]

    @classmethod
    def of(cls, depth: Float[Tensor, "h w"], view: Grey) -> "Seen":
        """Take the camera of a picture."""
        camera = (view.intrinsics.double().cpu().numpy(), view.world_from_cam.double().cpu().numpy())
        return cls(depth.float().cpu().numpy(), *camera)


def agreeing_views(
    view: Seen, others: Iterable[Seen], tolerance: float, pixels: float = np.inf
) -> Int[np.ndarray, "h w"]:
    """Count, for each pixel, the other views that have about the same depth where its point appears in them.

    Args:
        tolerance: How far depths may differ, as a share of the other view's.
        pixels: How far from the pixel the other view's point may appear in this view.
    """
    row, column = np.nonzero(view.depth > 0)
    places = torch.from_numpy(np.stack((column, row), axis=-1).astype(np.float64))
    depth = torch.from_numpy(view.depth[row, column]).double()
    rays = pixel_rays(places, torch.from_numpy(view.intrinsics))
    points = transform(torch.from_numpy(view.world_from_cam), rays * depth.unsqueeze(-1))
    count = np.zeros(view.depth.shape, np.int64)
    for other in others:
        _, theirs, agree = same_depth(points, other, tolerance)
        if pixels < np.inf:
            agree &= (_appears(theirs, view)[0] - places).norm(dim=-1) <= pixels
        count[row, column] += agree.numpy()
    return count


def agrees(points: Float[Tensor, "p 3"], view: Seen, tolerance: float) -> Bool[np.ndarray, "p"]:
    """Tell which points of the world a view sees at about their depth; see `agreeing_views`."""
    agree: Bool[np.ndarray, "p"] = same_depth(points, view, tolerance)[2].numpy()
    return agree


def same_depth(
    points: Float[Tensor, "p 3"], view: Seen, tolerance: float
) -> tuple[Float[Tensor, "p 2"], Float[Tensor, "p 3"], Bool[Tensor, "p"]]:
    """Look where points of the world appear in a view: the pixels, the points that the view itself sees there (nan
    where it knows of none), and whether these are as far away as the points.

    Args:
        tolerance: How far depths may differ, as a share of the view's.
    """
    places, z = _appears(points, view)
    h, w = view.depth.shape
    inside = (z > 0) & (places >= 0).all(dim=-1) & (places[:, 0] <= w - 1) & (places[:, 1] <= h - 1)
    inverse = torch.full_like(z, torch.nan)  # unknown: no comparison with it is true
    inverse[inside] = torch.from_numpy(inverse_depth_at(view.depth, places[inside].numpy()))
    rays = pixel_rays(places, torch.from_numpy(view.intrinsics))
    there = transform(torch.from_numpy(view.world_from_cam), rays / inverse.unsqueeze(-1))
    return places, there, (z * inverse - 1).abs() <= tolerance


def _appears(points: Tensor, view: Seen) -> tuple[Float[Tensor, "p 2"], Float[Tensor, "p"]]:
    cam_from_world = invert(torch.from_numpy(view.world_from_cam))
    return project(transform(cam_from_world, points), torch.from_numpy(view.intrinsics))
