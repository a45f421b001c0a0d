"""Full depth maps at last: what all pairs say of a frame, brought into its camera, pixel by pixel.

One frame at a time, and of that some rows of pixels: few enough for the processor's cache, however long the walk and
however many pairs show the frame.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cut3r.alignment.camera_step import Cameras
from cut3r.alignment.pairs import Predictions, weights_of
from cut3r.geometry.cameras import camera_rays
from cut3r.geometry.poses import invert
from cut3r.geometry.registration import Similarity

ROUNDS = 4  # of re-weighting
CLOSE = 1e-3  # of a frame's usual depth: a distance below counts as its square
POINTS = 2**17  # of all pairs together that are merged at once, about


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
        alone = scales[number] * predictions.points_self[number, ..., 2].float()
        if not rows:
            yield alone, predictions.conf_self[number]
            continue
        cam_from_pair = (invert(cameras.world_from_cam[number]) @ matrices[rows]).float()
        rays = camera_rays(cameras.intrinsics[number].float(), predictions.size)
        yield _merged(predictions, number, pairs[rows], cam_from_pair, rays, alone)


def _merged(
    predictions: Predictions,
    number: int,
    pairs: Int[Tensor, "m"],
    cam_from_pair: Float[Tensor, "m 4 4"],
    rays: Float[Tensor, "h w 3"],
    alone: Float[Tensor, "h w"],
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Depth and confidence of a frame that pairs show, some rows of pixels after the other."""
    h, w = predictions.size
    close = CLOSE * float(alone.abs().median()) + torch.finfo(alone.dtype).tiny
    parts = []
    for first in range(0, h, step := max(1, POINTS // (w * len(pairs)))):
        here = slice(first, first + step)
        points, conf = _said_of(predictions, number, pairs, here)
        ahead = rays[here].flatten(0, 1).T.contiguous()
        depth, weight = _middle(cam_from_pair, points, weights_of(conf).float(), ahead, close)
        sure = torch.maximum(predictions.conf_self[number, here].flatten(), conf.amax(dim=0))
        parts.append((depth.where(weight > 0, alone[here].flatten()), sure))
    depths, sures = (torch.cat(each).unflatten(0, (h, w)) for each in zip(*parts, strict=True))
    return depths, sures


def _said_of(
    predictions: Predictions, number: int, pairs: Int[Tensor, "m"], here: slice
) -> tuple[Float[Tensor, "m 3 q"], Float[Tensor, "m q"]]:
    """A frame's points and confidences in each of some pairs, in some rows of pixels; each coordinate in a plane."""
    second = predictions.ends[pairs, 1] == number
    alone, conf_alone = predictions.points_self[number, here], predictions.conf_self[number, here]
    points, conf = torch.empty(len(pairs), 3, conf_alone.numel()), conf_alone.new_empty(len(pairs), conf_alone.numel())
    points[~second], conf[~second] = alone.flatten(0, 1).T.float(), conf_alone.flatten()
    shown = pairs[second]
    points[second] = predictions.points_pair[shown, here].flatten(1, 2).mT.float()
    conf[second] = predictions.conf_pair[shown, here].flatten(1)
    return points, conf


def _middle(
    cam_from_pair: Float[Tensor, "m 4 4"],
    points: Float[Tensor, "m 3 p"],
    weights: Float[Tensor, "m p"],
    rays: Float[Tensor, "3 p"],
    close: float,
) -> tuple[Float[Tensor, "p"], Float[Tensor, "p"]]:
    """Minimise the sum of weighted distances over points on the rays, by re-weighted means; and the sum of weights."""
    seen = torch.baddbmm(cam_from_pair[:, :3, 3:], cam_from_pair[:, :3, :3], points)
    ray_squared = rays.square().sum(dim=0)
    depths = (rays * seen).sum(dim=1) / ray_squared
    off_squared = seen.addcmul_(depths[:, None], rays, value=-1).square_().sum(dim=1)
    total, tiny = weights.sum(dim=0), torch.finfo(depths.dtype).tiny
    depth = (weights * depths).sum(dim=0) / total.clamp_min(tiny)
    for _ in range(ROUNDS):
        pull = (depths - depth).square_().mul_(ray_squared).add_(off_squared).sqrt_().clamp_min_(close)
        pull = weights / pull
        depth = (pull * depths).sum(dim=0) / pull.sum(dim=0).clamp_min(tiny)
    return depth, total
