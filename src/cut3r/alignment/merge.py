"""Full depth maps at last: what all pairs say of a frame, brought into its camera, pixel by pixel.

One frame at a time, so that memory is that of one frame's pairs, however long the walk.
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
        rays = camera_rays(cameras.intrinsics[number].float(), predictions.size).flatten(0, 1).T.contiguous()
        alone = scales[number] * predictions.points_self[number, ..., 2].float()
        if not rows:
            yield alone, predictions.conf_self[number]
            continue
        points, conf = _said_of(predictions, number, pairs[rows])
        depth, weight = _middle(cam_from_pair, points, weights_of(conf).float(), rays)
        sure = torch.maximum(predictions.conf_self[number], conf.amax(dim=0).unflatten(0, predictions.size))
        yield depth.unflatten(0, predictions.size).where(weight.unflatten(0, predictions.size) > 0, alone), sure


def _said_of(
    predictions: Predictions, number: int, pairs: Int[Tensor, "m"]
) -> tuple[Float[Tensor, "m 3 p"], Float[Tensor, "m p"]]:
    """A frame's points and confidences in each of some pairs, each coordinate in a plane of its own."""
    h, w = predictions.size
    points, conf = torch.empty(len(pairs), 3, h, w), torch.empty(len(pairs), h, w, dtype=predictions.conf_self.dtype)
    alone = predictions.points_self[number].movedim(-1, 0).float()
    for place, pair in enumerate(pairs.tolist()):
        second = int(predictions.ends[pair, 1]) == number
        points[place] = predictions.points_pair[pair].movedim(-1, 0) if second else alone
        conf[place] = predictions.conf_pair[pair] if second else predictions.conf_self[number]
    return points.flatten(2), conf.flatten(1)


def _middle(
    cam_from_pair: Float[Tensor, "m 4 4"],
    points: Float[Tensor, "m 3 p"],
    weights: Float[Tensor, "m p"],
    rays: Float[Tensor, "3 p"],
) -> tuple[Float[Tensor, "p"], Float[Tensor, "p"]]:
    """Minimise the sum of weighted distances over points on the rays, by re-weighted means; and the sum of weights."""
    seen = torch.baddbmm(cam_from_pair[:, :3, 3:], cam_from_pair[:, :3, :3], points)
    ray_squared = rays.square().sum(dim=0)
    depths = (rays * seen).sum(dim=1) / ray_squared
    off_squared = seen.addcmul_(depths[:, None], rays, value=-1).square_().sum(dim=1)
    total, tiny = weights.sum(dim=0), torch.finfo(depths.dtype).tiny
    close = CLOSE * float(depths.median().abs()) + tiny
    depth = (weights * depths).sum(dim=0) / total.clamp_min(tiny)
    for _ in range(ROUNDS):
        pull = (depths - depth).square_().mul_(ray_squared).add_(off_squared).sqrt_().clamp_min_(close)
        pull = weights / pull
        depth = (pull * depths).sum(dim=0) / pull.sum(dim=0).clamp_min(tiny)
    return depth, total
