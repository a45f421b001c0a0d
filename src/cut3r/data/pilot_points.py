"""3-D points of pictures whose cameras are known, where no reconstruction gives any: a first look at small pictures."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from cut3r.data.agreement import Seen, agreeing_views, agrees
from cut3r.data.stereo_views import Sparse, nearby
from cut3r.geometry.cameras import pixel_rays
from cut3r.geometry.plane_sweep import Grey, steady, sweep
from cut3r.geometry.poses import transform

SHORT_SIDE = 96  # pixels of the small pictures, about
RANKS = (0, 1, 3, 7)  # of the other cameras by distance: near ones for a start, far ones for precision
MOTION = 0.25  # of a picture's width: how far the nearest things move between cameras of median distance
ALIKE = 0.5  # correlation of a pixel that is believed
TOLERANCE = 0.05  # of depth between pictures
EVERY = 6  # pixels: one point for each square of so many


def pilot_points(read: Callable[[int], Grey], world_from_cam: Float64[np.ndarray, "n 4 4"]) -> Sparse:
    """Find points that at least two pictures agree on. Depth is looked for from infinity to where things would move by
    a quarter of the picture between neighbours."""
    small = [_reduced(read(number)) for number in range(len(world_from_cam))]
    helpers = nearby(world_from_cam, RANKS)
    seen = [_look(small, number, helpers[number].tolist()) for number in range(len(small))]
    points = np.concatenate([_points(seen, number, helpers[number].tolist()) for number in range(len(seen))])
    return Sparse(points, [np.flatnonzero(agrees(torch.from_numpy(points), view, TOLERANCE)) for view in seen])


def _reduced(view: Grey) -> Grey:
    return view.reduced(max(1, min(view.image.shape) // SHORT_SIDE))


def _look(small: list[Grey], number: int, others: list[int]) -> Seen:
    view = small[number]
    depth = torch.zeros_like(view.image)
    if others:
        apart = torch.stack([small[other].world_from_cam[:3, 3] - view.world_from_cam[:3, 3] for other in others])
        nearest = float(view.intrinsics[0, 0] * apart.norm(dim=-1).median()) / (MOTION * view.image.shape[1])
        depth = steady(*sweep(view, [small[other] for other in others], nearest, torch.inf), ALIKE)
    return Seen.of(depth, view)


def _points(seen: list[Seen], number: int, others: list[int]) -> Float64[np.ndarray, "p 3"]:
    view = seen[number]
    known = agreeing_views(view, (seen[other] for other in others), TOLERANCE) > 0
    row, column = np.nonzero(known[EVERY // 2 :: EVERY, EVERY // 2 :: EVERY])
    row, column = row * EVERY + EVERY // 2, column * EVERY + EVERY // 2
    rays: Float[Tensor, "p 3"] = pixel_rays(
        torch.from_numpy(np.stack((column, row), axis=-1).astype(np.float64)), torch.from_numpy(view.intrinsics)
    )
    depth = torch.from_numpy(view.depth[row, column].astype(np.float64))
    points: Float64[np.ndarray, "p 3"] = transform(
        torch.from_numpy(view.world_from_cam), rays * depth.unsqueeze(-1)
    ).numpy()
    return points
