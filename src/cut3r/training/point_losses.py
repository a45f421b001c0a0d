"""Errors per pixel, and their means."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.linalg import vector_norm

from cut3r.training.loss_config import LossConfig, PointLoss
from cut3r.training.normalization import median_center_and_distance
from cut3r.training.supervision import PointPair, Supervision

NEAREST = 0.05  # in units of the sample: nearer points do not count more than points there


def counted_pixels(supervision: Supervision, config: LossConfig) -> Bool[Tensor, "v b h w"]:
    """Mark the pixels that have an error: the valid ones, and the sky if it has one."""
    return supervision.valid | supervision.sky if config.sky_value > 0 else supervision.valid


def point_errors(pair: PointPair, supervision: Supervision, config: LossConfig) -> Float[Tensor, "v b h w"]:
    """Measure the distance from each predicted point to its target: constant in the sky, 0 where nothing is known.

    With `relative` as a share of the distance from the target to its own camera, in either frame.
    """
    if config.inner is PointLoss.by_kind:
        # Parity: sky pixels, whose target means nothing, take part in the statistics (quirk L13)
        known = counted_pixels(supervision, config) if config.parity else supervision.valid
        depth_only = supervision.depth_only
        scale_free = supervision.single_view & ~supervision.metric & ~depth_only
        target, predicted = (
            align_views(points, known, depth_only=depth_only, scale_free=scale_free)
            for points in (pair.target, pair.predicted)
        )
    else:
        target, predicted = pair.target, pair.predicted
    errors = distance(predicted, target, supervision.valid)
    if config.relative:
        seen = torch.where(supervision.valid.unsqueeze(-1), supervision.points["cam"].target, 1.0)
        errors = errors / vector_norm(seen, dim=-1).clamp_min(NEAREST)
    return torch.where(supervision.sky, config.sky_value, errors) if config.sky_value > 0 else errors


def distance(
    a: Float[Tensor, "v b h w 3"], b: Float[Tensor, "v b h w 3"], mask: Bool[Tensor, "v b h w"]
) -> Float[Tensor, "v b h w"]:
    """Euclidean distance under the mask, elsewhere 0; whatever stands outside of the mask gets no gradient, not nan."""
    return vector_norm(torch.where(mask.unsqueeze(-1), a - b, 0.0), dim=-1)


def align_views(
    points: Float[Tensor, "v b h w 3"],
    known: Bool[Tensor, "v b h w"],
    *,
    depth_only: Bool[Tensor, "b"],
    scale_free: Bool[Tensor, "b"],
) -> Float[Tensor, "v b h w 3"]:
    """Remove from each view by itself what its sample does not know, judged by the known pixels.

    Args:
        depth_only: Keep z alone, less its mean, over its mean deviation.
        scale_free: Divide by the mean distance. A sample that is neither stays as it is.
    """
    count = known.sum(dim=(-2, -1)).clamp_min(1)  # v b

    def mean(values: Float[Tensor, "v b h w"]) -> Float[Tensor, "v b"]:
        return torch.where(known, values, 0.0).sum(dim=(-2, -1)) / count

    z = points[..., 2]
    center = mean(z)
    deviation = mean((z - center[..., None, None]).abs())
    length = mean(vector_norm(torch.where(known.unsqueeze(-1), points, 0.0), dim=-1))
    unit = torch.where(depth_only, deviation, torch.where(scale_free, length, 1.0)).clamp_min(1e-6)
    only_z = points.new_zeros(3)
    only_z[2] = 1
    shift = torch.where(depth_only, center, 0.0).unsqueeze(-1) * only_z  # v b 3
    kept = torch.where(depth_only.unsqueeze(-1), only_z, torch.ones_like(only_z)) / unit.unsqueeze(-1)  # v b 3
    return (points - shift[..., None, None, :]) * kept[..., None, None, :]


def match_scale(pair: PointPair, valid: Bool[Tensor, "v b h w"], *, in_target_unit: bool) -> PointPair:
    """Give both sides of each sample the same extent: the median distance of its points from their median.

    The centres stay where they are, and no gradient flows through the extent. A sample without a valid point stays as
    it is (quirk L6: the original's gradients were nan).

    Args:
        in_target_unit: Scale the prediction to the target. Otherwise divide both by their extents.
    """
    target, predicted = (median_center_and_distance(points, valid)[1] for points in (pair.target, pair.predicted))
    target, predicted = target.nan_to_num(nan=1.0), predicted.nan_to_num(nan=1.0).clamp(1e-3, 1e3)
    per_pixel = (1, -1, 1, 1, 1)
    if in_target_unit:
        return PointPair(pair.target, pair.predicted * (target / predicted).view(per_pixel), pair.confidence)
    return PointPair(pair.target / target.view(per_pixel), pair.predicted / predicted.view(per_pixel), pair.confidence)


def confidence_weighted(
    errors: Float[Tensor, "v b h w"], confidence: Float[Tensor, "v b h w"], alpha: float
) -> Float[Tensor, "v b h w"]:
    """Let the network trade error for doubt: the best confidence is alpha / error."""
    return errors * confidence - alpha * confidence.log()


def mean_per_view(
    values: Float[Tensor, "v b h w"], mask: Bool[Tensor, "v b h w"], *, per_sample: bool
) -> Float[Tensor, "v"]:
    """Average each view's pixels under the mask; 0 if there is none.

    Args:
        per_sample: Average each sample first, then the samples that have pixels, instead of pooling all pixels.
    """
    sums = torch.where(mask, values, 0.0).sum(dim=(-2, -1))  # v b
    counts = mask.sum(dim=(-2, -1))
    if per_sample:
        sums, counts = sums / counts.clamp_min(1), (counts > 0).int()
    return sums.sum(dim=1) / counts.sum(dim=1).clamp_min(1)


def count_per_view(mask: Bool[Tensor, "v b h w"]) -> Int[Tensor, "v"]:
    return mask.sum(dim=(1, 2, 3))
