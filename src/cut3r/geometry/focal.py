"""The focal length of a pointmap: which pinhole camera would see these points at these pixels?

One focal length per map, in pixels (square pixels, known principal point). A pixel p (relative to the principal point)
and the slope g = (x / z, y / z) of its point obey p = f g.
"""

import math
from enum import Enum

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.geometry.cameras import image_center, pixel_grid

WEISZFELD_ITERATIONS = 10
MIN_USABLE_FRACTION = 0.01
MOST_TRUST = 1e6  # confidences grow like exp() and may overflow; beside an infinite weight the others would not count


class FocalMethod(Enum):
    weiszfeld = "weiszfeld"  # least sum of pixel distances
    median = "median"  # median of one vote per pixel and axis


def estimate_focal(
    points_cam: Float[Tensor, "*batch h w 3"],
    *,
    principal_point: tuple[float, float] | Float[Tensor, "*batch 2"] | None = None,
    weights: Float[Tensor, "*batch h w"] | None = None,
    method: FocalMethod = FocalMethod.weiszfeld,
    min_focal: float = 0.0,
    max_focal: float = math.inf,
) -> Float[Tensor, "*batch"]:
    """Estimate the focal length in pixels; NaN when no point has a slope (all at the camera centre, say).

    Args:
        principal_point: (x, y) in pixels; the middle of the image by default. Parity: the original's demos use
            (w // 2, h // 2), half a pixel off (quirk Q22).
        weights: Trust in each pixel, for example confidence - 1; beyond 1e6 it counts as 1e6. Pixels without positive
            weight, with z <= 0 or without a finite point do not count; where less than 1 % of a map's pixels remain,
            all its pixels count equally. Parity: without weights they always do, sky and points behind the camera
            included (quirk Q21).
        min_focal: Lower limit, in units of the focal length that sees 60 degrees across the longer side.
        max_focal: Upper limit, in the same unit.
    """
    h, w = points_cam.shape[-3:-1]
    x, y, _ = pixel_grid(h, w, device=points_cam.device, dtype=points_cam.dtype).unbind(dim=-1)
    center = image_center((h, w)) if principal_point is None else principal_point
    if isinstance(center, Tensor):
        center_x, center_y = center.to(points_cam)[..., None, None, :].unbind(dim=-1)
        pixels = torch.stack((x - center_x, y - center_y), dim=-1)
    else:  # plain numbers: a tensor of them would have to be copied to the device
        pixels = torch.stack((x - center[0], y - center[1]), dim=-1)
    pixels = pixels.expand(*points_cam.shape[:-1], 2)
    trust = torch.ones_like(points_cam[..., 0]) if weights is None else _usable(points_cam, weights)
    focal = _ESTIMATORS[method](pixels.flatten(-3, -2), points_cam.flatten(-3, -2), trust.flatten(-2))
    unit = max(h, w) / (2 * math.tan(math.pi / 6))
    return focal.clamp(min_focal * unit, max_focal * unit)


def _usable(
    points_cam: Float[Tensor, "*batch h w 3"], weights: Float[Tensor, "*batch h w"]
) -> Float[Tensor, "*batch h w"]:
    usable = (weights > 0) & (points_cam[..., 2] > 0) & points_cam.isfinite().all(dim=-1)
    enough = usable.to(weights.dtype).mean(dim=(-2, -1), keepdim=True) >= MIN_USABLE_FRACTION
    return torch.where(enough, torch.where(usable, weights.clamp_max(MOST_TRUST), 0.0), 1.0)


def _weiszfeld(
    pixels: Float[Tensor, "*batch p 2"], points: Float[Tensor, "*batch p 3"], weights: Float[Tensor, "*batch p"]
) -> Float[Tensor, "*batch"]:
    """Minimise the weighted sum of |p - f g| by iteratively re-weighted least squares (Weiszfeld 1937)."""
    slopes = (points[..., :2] / points[..., 2:]).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    dot_pg = (pixels * slopes).sum(dim=-1)
    dot_gg = slopes.square().sum(dim=-1)
    focal = (weights * dot_pg).mean(dim=-1) / (weights * dot_gg).mean(dim=-1)
    for _ in range(WEISZFELD_ITERATIONS):
        residual = (pixels - focal[..., None, None] * slopes).norm(dim=-1)
        pull = weights / residual.clamp_min(1e-8)
        focal = (pull * dot_pg).mean(dim=-1) / (pull * dot_gg).mean(dim=-1)
    return focal


def _median(
    pixels: Float[Tensor, "*batch p 2"], points: Float[Tensor, "*batch p 3"], weights: Float[Tensor, "*batch p"]
) -> Float[Tensor, "*batch"]:
    """Take the weighted lower median of the votes x z / X and y z / Y; infinite votes count, 0 / 0 does not."""
    votes = (pixels * points[..., 2:] / points[..., :2]).flatten(-2)  # [*batch, 2p]
    shares = weights.unsqueeze(-1).expand_as(pixels).flatten(-2).masked_fill(votes.isnan(), 0.0)
    return weighted_median(votes, shares)


def weighted_median(values: Float[Tensor, "*batch p"], weights: Float[Tensor, "*batch p"]) -> Float[Tensor, "*batch"]:
    """Give the smallest value at which half of the weight is reached: the lower median when all weights are equal."""
    ascending, order = values.sort(dim=-1)
    reached = weights.take_along_dim(order, dim=-1).cumsum(dim=-1)
    middle = (reached >= reached[..., -1:] / 2).to(torch.uint8).argmax(dim=-1, keepdim=True)  # the first to reach half
    return ascending.take_along_dim(middle, dim=-1).squeeze(-1)


_ESTIMATORS = {FocalMethod.weiszfeld: _weiszfeld, FocalMethod.median: _median}
