"""Fit transforms to pairs of points, and scale and shift to pairs of depths.

All fits are weighted least squares in closed form; `register_robust` repeats them with weights that fade outliers out.
"""

from dataclasses import dataclass
from enum import Enum

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.geometry.focal import weighted_median
from cut3r.geometry.poses import pose_from_parts, transform

HUBER_ROUNDS = 5


class ScaleEstimator(Enum):
    least_squares = "least_squares"  # least error in the target frame; noise in the source makes it too small
    symmetric = "symmetric"  # ratio of the spreads: swapping source and target inverts it


@dataclass(frozen=True)
class Similarity:
    """target = scale * rotation @ source + translation. A rigid transform has scale 1."""

    rotation: Float[Tensor, "*batch 3 3"]
    translation: Float[Tensor, "*batch 3"]
    scale: Float[Tensor, "*batch"]

    def apply(self, points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 3"]:
        """Move points from the source's frame to the target's; leading axes as in `poses.transform`."""
        return transform(self.matrix(), points)

    @classmethod
    def identity(cls) -> "Similarity":
        """What moves nothing, in double precision."""
        return cls(torch.eye(3).double(), torch.zeros(3).double(), torch.ones(()).double())

    @classmethod
    def from_matrix(cls, matrix: Float[Tensor, "*batch 4 4"]) -> "Similarity":
        """Undo `matrix`."""
        scale = torch.linalg.det(matrix[..., :3, :3]).abs() ** (1 / 3)
        return cls(matrix[..., :3, :3] / scale[..., None, None], matrix[..., :3, 3], scale)

    def inverse(self) -> "Similarity":
        """Give source_from_target."""
        rotation, scale = self.rotation.mT, 1 / self.scale
        return Similarity(rotation, -scale[..., None] * (rotation @ self.translation[..., None])[..., 0], scale)

    def place(self, source_from_cam: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
        """Move a camera: its rotation stays one, its position is scaled."""
        moved = self.matrix().to(torch.float64) @ source_from_cam.to(torch.float64)
        moved[..., :3, :3] /= self.scale.to(torch.float64)[..., None, None]
        return moved.to(source_from_cam.dtype)

    def matrix(self) -> Float[Tensor, "*batch 4 4"]:
        """Give target_from_source with the scale inside, so `poses.invert` holds only for scale 1."""
        return pose_from_parts(self.rotation * self.scale[..., None, None], self.translation)


def register(
    source: Float[Tensor, "*batch p 3"],
    target: Float[Tensor, "*batch p 3"],
    weights: Float[Tensor, "*batch p"] | None = None,
    *,
    with_scale: bool,
    estimator: ScaleEstimator = ScaleEstimator.least_squares,
) -> Similarity:
    """Find the similarity (or rigid transform) that brings the source points closest to the target points.

    Args:
        weights: Not negative; any unit.
        estimator: Only matters with scale.

    Raises:
        ValueError: Fewer than 3 pairs, or no pair has weight.

    Source: Umeyama 1991, eq. 40-42, with weights.
    """
    if source.shape[-2] < 3:
        raise ValueError(f"{source.shape[-2]} pairs of points do not fix a rotation; give at least 3, not on one line")
    weights = _normalized(source, weights)
    source_mean, target_mean = _mean(source, weights), _mean(target, weights)
    source_centered, target_centered = source - source_mean.unsqueeze(-2), target - target_mean.unsqueeze(-2)
    rotation, reach = best_rotation((weights.unsqueeze(-1) * source_centered).mT @ target_centered)

    scale = torch.ones_like(reach)
    if with_scale:
        source_spread = (weights * source_centered.square().sum(dim=-1)).sum(dim=-1)
        target_spread = (weights * target_centered.square().sum(dim=-1)).sum(dim=-1)
        if estimator is ScaleEstimator.least_squares:
            scale = reach / source_spread
        else:
            scale = (target_spread / source_spread).sqrt()
    translation = target_mean - scale.unsqueeze(-1) * (rotation @ source_mean.unsqueeze(-1)).squeeze(-1)
    return Similarity(rotation, translation, scale)


def best_rotation(
    covariance: Float[Tensor, "*batch 3 3"],
) -> tuple[Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch"]]:
    """Find the rotation that brings centred source points closest to centred target points.

    Args:
        covariance: The weighted sum of source times target, a row for each coordinate of the source.

    Returns:
        The rotation, and the weighted sum of the scalar products of turned source and target.

    Source: Umeyama 1991, eq. 40.
    """
    u, singular, vh = torch.linalg.svd(covariance)
    signs = torch.ones_like(singular)
    signs[..., 2] = torch.linalg.det(u @ vh).sign()  # a mirror is no rotation: turn back the weakest axis
    return vh.mT @ (signs.unsqueeze(-1) * u.mT), (singular * signs).sum(dim=-1)


def register_robust(
    source: Float[Tensor, "*batch p 3"],
    target: Float[Tensor, "*batch p 3"],
    weights: Float[Tensor, "*batch p"] | None = None,
    *,
    with_scale: bool,
    estimator: ScaleEstimator = ScaleEstimator.symmetric,
    huber_width: float = 0.1,
) -> tuple[Similarity, Float[Tensor, "*batch"]]:
    """Fit as `register` does, but let outliers have little say and, in the end, none.

    Five rounds of least squares with Huber weights, then one with only the pairs closer than `huber_width` (or than
    three times the median residual, where that is wider). The last round is needed: an outlier's pull on a Huber fit
    never fades to nothing, which leaves errors of a centimetre at 20 % outliers.

    Args:
        huber_width: Residual (metres) from which a pair counts as an outlier.

    Returns:
        The fit, and the weighted root mean square residual (metres) of the pairs of the last round.

    Raises:
        ValueError: Fewer than 3 pairs, or no pair has weight.

    Source: Holland and Welsch 1977 (iteratively re-weighted least squares); Huber 1964.
    """
    weights = _normalized(source, weights)
    fit = register(source, target, weights, with_scale=with_scale, estimator=estimator)
    for _ in range(HUBER_ROUNDS):
        fade = (huber_width / _residual(fit, source, target)).clamp(max=1)
        fit = register(source, target, weights * fade, with_scale=with_scale, estimator=estimator)
    residual = _residual(fit, source, target)
    width = (3 * weighted_median(residual, weights)).clamp_min(huber_width)
    kept = _normalized(source, weights * (residual <= width.unsqueeze(-1)))
    fit = register(source, target, kept, with_scale=with_scale, estimator=estimator)
    return fit, (kept * _residual(fit, source, target).square()).sum(dim=-1).sqrt()


def scale_and_shift(
    prediction: Float[Tensor, "*batch p"],
    target: Float[Tensor, "*batch p"],
    weights: Float[Tensor, "*batch p"] | None = None,
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Find the (scale, shift) with the least weighted squared error of scale * prediction + shift against the target.

    A constant prediction gets scale 0 and the target's mean as shift.

    Raises:
        ValueError: No pair has weight.
    """
    weights = _normalized(prediction.unsqueeze(-1), weights)
    prediction_mean, target_mean = (weights * prediction).sum(dim=-1), (weights * target).sum(dim=-1)
    centered = prediction - prediction_mean.unsqueeze(-1)
    variance = (weights * centered.square()).sum(dim=-1)
    covariance = (weights * centered * (target - target_mean.unsqueeze(-1))).sum(dim=-1)
    scale = covariance / variance.clamp_min(torch.finfo(variance.dtype).tiny)
    return scale, target_mean - scale * prediction_mean


def _normalized(
    points: Float[Tensor, "*batch p c"], weights: Float[Tensor, "*batch p"] | None
) -> Float[Tensor, "*batch p"]:
    weights = torch.ones_like(points[..., 0]) if weights is None else weights
    total = weights.sum(dim=-1, keepdim=True)
    if not bool((total > 0).all()):
        raise ValueError(
            "no pair has positive weight, so there is nothing to fit; loosen the threshold that selects pairs"
        )
    return weights / total


def _mean(points: Float[Tensor, "*batch p c"], weights: Float[Tensor, "*batch p"]) -> Float[Tensor, "*batch c"]:
    return (weights.unsqueeze(-1) * points).sum(dim=-2)


def _residual(
    fit: Similarity, source: Float[Tensor, "*batch p 3"], target: Float[Tensor, "*batch p 3"]
) -> Float[Tensor, "*batch p"]:
    return (fit.apply(source) - target).norm(dim=-1)
