"""Full depth maps at last: what all pairs say of a frame, brought into its camera, pixel by pixel.

One frame at a time, so that memory is that of one frame's pairs, however long the walk.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cut3r.alignment.camera_step import Cameras, depth_along
from cut3r.alignment.pairs import Predictions, weights_of
from cut3r.geometry.cameras import camera_rays
from cut3r.geometry.poses import invert, transform
from cut3r.geometry.registration import Similarity

ROUNDS = 4  # of re-weighting
CLOSE = 1e-3  # of a frame's usual depth: a distance below counts as its square


def merge(
    predictions: Predictions,
    cameras: Cameras,
    pairs: Int[Tensor, "k"],
    world_from_pair: Similarity,
    scales: Float[Tensor, "n"],
) -> Iterator[tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]]:
    """Give the depth of each frame, metres along the optical axis, and its confidence.

    A depth is the one whose point has the least sum of weighted distances from what pairs say. What a frame sees alone
    counts once for each pair that it leads, as in the original's objective. The confidence is the largest that anyone
    has, 0 where nobody has any.

    Args:
        pairs: The rows of the predictions that count.
        world_from_pair: Where they are.
        scales: Of what frames see alone, which counts where no pair says anything.
    """
    touching: list[list[int]] = [[] for _ in range(predictions.frames)]
    for row, ends in enumerate(predictions.ends[pairs].tolist()):
        for number in ends:
            touching[number].append(row)
    matrices = world_from_pair.matrix()
    for number, rows in enumerate(touching):
        cam_from_pair = (invert(cameras.world_from_cam[number]) @ matrices[rows]).float()
        rays = camera_rays(cameras.intrinsics[number].float(), predictions.size)
        alone = scales[number] * predictions.points_self[number, ..., 2].float()
        yield _merged(predictions, number, pairs[rows].tolist(), cam_from_pair, rays, alone)


def _merged(
    predictions: Predictions,
    number: int,
    pairs: list[int],
    cam_from_pair: Float[Tensor, "m 4 4"],
    rays: Float[Tensor, "h w 3"],
    alone: Float[Tensor, "h w"],
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    conf = predictions.conf_self[number]
    if not pairs:
        return alone, conf
    depths, off_squared, weights = [], [], []
    for pair, motion in zip(pairs, cam_from_pair, strict=True):
        points, sure = predictions.points_self[number], predictions.conf_self[number]
        if int(predictions.ends[pair, 1]) == number:
            points, sure = predictions.points_pair[pair], predictions.conf_pair[pair]
        seen = transform(motion, points.float())
        depths.append(depth_along(rays, seen))
        off_squared.append((seen - depths[-1][..., None] * rays).square().sum(dim=-1))
        weights.append(weights_of(sure).float())
        conf = torch.maximum(conf, sure)
    said = torch.stack(weights)
    merged = _middle(torch.stack(depths), torch.stack(off_squared), said, rays.square().sum(dim=-1))
    return merged.where(said.sum(dim=0) > 0, alone), conf


def _middle(
    depths: Float[Tensor, "m h w"],
    off_squared: Float[Tensor, "m h w"],
    weights: Float[Tensor, "m h w"],
    ray_squared: Float[Tensor, "h w"],
) -> Float[Tensor, "h w"]:
    """Minimise the sum of weighted distances over points on the rays, by re-weighted means."""
    tiny = torch.finfo(depths.dtype).tiny
    close = CLOSE * float(depths.median().abs()) + tiny
    depth = (weights * depths).sum(dim=0) / weights.sum(dim=0).clamp_min(tiny)
    for _ in range(ROUNDS):
        distance = ((depths - depth).square() * ray_squared + off_squared).sqrt()
        pull = weights / distance.clamp_min(close)
        depth = (pull * depths).sum(dim=0) / pull.sum(dim=0).clamp_min(tiny)
    return depth
