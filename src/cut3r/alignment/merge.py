"""Full depth maps at last: what all pairs say of a frame, brought into its camera, pixel by pixel.

One frame at a time, so that memory is that of one frame's pairs, however long the walk.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.alignment.camera_step import depth_along
from cut3r.alignment.pairs import Predictions, weights_of
from cut3r.geometry.cameras import camera_rays
from cut3r.geometry.poses import invert, transform
from cut3r.geometry.registration import Similarity

ROUNDS = 4  # of re-weighting
CLOSE = 1e-3  # of a frame's usual depth: a distance below counts as its square


@dataclass(frozen=True)
class Placed:
    """Where predictions of pairs are: `pairs` are their rows in the predictions, `world_from_pair` their similarities.

    Double precision.
    """

    pairs: list[int]
    world_from_pair: Similarity


def merge(
    predictions: Predictions,
    placed: Placed,
    number: int,
    world_from_cam: Float[Tensor, "4 4"],
    intrinsics: Float[Tensor, "3 3"],
    scale: float = 1.0,
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Give one frame's depth, metres along the optical axis, and its confidence.

    The depth is the one whose points have the least sum of weighted distances from what pairs say. The confidence is
    the largest that anyone has, 0 where nobody has any.

    Args:
        number: Of the frame.
        world_from_cam: Double precision.
        scale: Of what the frame sees alone, which counts where no pair says anything.
    """
    alone = scale * predictions.points_self[number, ..., 2].float()
    views = _views(predictions, placed, number, world_from_cam)
    if not views:
        return alone, predictions.conf_self[number]
    rays = camera_rays(intrinsics.float(), predictions.size)
    depths, off_squared, weights = [], [], []
    conf = torch.zeros_like(predictions.conf_self[number])
    for cam_from_pair, points, sure in views:
        seen = transform(cam_from_pair, points.float())
        depth = depth_along(rays, seen)
        depths.append(depth)
        off_squared.append((seen - depth[..., None] * rays).square().sum(dim=-1))
        weights.append(weights_of(sure).float())
        conf = torch.maximum(conf, sure)
    merged = _middle(torch.stack(depths), torch.stack(off_squared), torch.stack(weights), rays.square().sum(dim=-1))
    return torch.where(torch.stack(weights).sum(dim=0) > 0, merged, alone), conf


def _views(
    predictions: Predictions, placed: Placed, number: int, world_from_cam: Float[Tensor, "4 4"]
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """cam_from_pair, points and confidences of each pair that shows the frame."""
    cam_from_pair = (invert(world_from_cam) @ placed.world_from_pair.matrix()).float()
    views = []
    for row, pair in enumerate(placed.pairs):
        first, second = predictions.ends[pair].tolist()
        if first == number:
            views.append((cam_from_pair[row], predictions.points_self[number], predictions.conf_self[number]))
        if second == number:
            views.append((cam_from_pair[row], predictions.points_pair[pair], predictions.conf_pair[pair]))
    return views


def _middle(
    depths: Float[Tensor, "m h w"],
    off_squared: Float[Tensor, "m h w"],
    weights: Float[Tensor, "m h w"],
    ray_squared: Float[Tensor, "h w"],
) -> Float[Tensor, "h w"]:
    """The depth with the least sum of weighted distances of points from the rays' ones."""
    tiny = torch.finfo(depths.dtype).tiny
    close = CLOSE * float(depths.median().abs())
    depth = (weights * depths).sum(dim=0) / weights.sum(dim=0).clamp_min(tiny)
    for _ in range(ROUNDS):
        distance = ((depths - depth).square() * ray_squared + off_squared).sqrt()
        pull = weights / distance.clamp_min(close + tiny)
        depth = (pull * depths).sum(dim=0) / pull.sum(dim=0).clamp_min(tiny)
    return depth
