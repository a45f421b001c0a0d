"""The unit of length of each sample, and ground truth and prediction expressed in it.

The unit is the mean distance of the valid points of all views, each from its own camera and from the world's origin. A
metric sample is measured in the ground truth's unit on both sides, which balances near and far scenes; of any other
sample each side is measured in its own, which leaves the scale of the prediction free. A sample without depth takes its
unit from the translations of its cameras.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.linalg import vector_norm

from cut3r.training.loss_config import LossConfig, Normalization
from cut3r.training.supervision import PointPair, PosePair, Supervision

EPS = 1e-3  # the smallest unit: a scene within a millimetre has no usable scale


@dataclass(frozen=True)
class Distances:
    """Distances in the ground truth and in the prediction and their weights, summed per sample.

    The sum of two covers the views of both.
    """

    target: Float[Tensor, "b"]
    predicted: Float[Tensor, "b"]
    weight: Float[Tensor, "b"]

    def __add__(self, other: "Distances") -> "Distances":
        return Distances(self.target + other.target, self.predicted + other.predicted, self.weight + other.weight)

    def detach(self) -> "Distances":
        return Distances(self.target.detach(), self.predicted.detach(), self.weight.detach())


@dataclass(frozen=True)
class Units:
    """What counts as 1 in the ground truth and in the prediction of each sample."""

    target: Float[Tensor, "b"]
    predicted: Float[Tensor, "b"]

    @classmethod
    def mean(cls, distances: Distances, normalization: Normalization = Normalization.average_distance) -> "Units":
        """Weighted means; 1e-8 where there was nothing to sum."""
        weight = distances.weight + 1e-8
        target, predicted = distances.target / weight, distances.predicted / weight
        if normalization is Normalization.root_distance:
            target, predicted = target.square(), predicted.square()
        return cls(target, predicted).at_least(1e-8)

    def at_least(self, smallest: float) -> "Units":
        return Units(self.target.clamp_min(smallest), self.predicted.clamp_min(smallest))

    def shared_where(self, metric: Bool[Tensor, "b"]) -> "Units":
        return Units(self.target, torch.where(metric, self.target, self.predicted))

    def where(self, chosen: Bool[Tensor, "b"], *, otherwise: "Units") -> "Units":
        return Units(
            torch.where(chosen, self.target, otherwise.target),
            torch.where(chosen, self.predicted, otherwise.predicted),
        )


@dataclass(frozen=True)
class SeenScale:
    """Distances over the views of a sequence so far, without gradient: of points, and of cameras from the origin."""

    points: Distances
    translations: Distances | None


@dataclass(frozen=True)
class Normalized:
    """The supervision in units, the samples whose unit is trustworthy, and the distances so far."""

    supervision: Supervision
    pose_ok: Bool[Tensor, "b"]
    seen: SeenScale | None  # None where the unit is fixed or a median


def normalize(supervision: Supervision, config: LossConfig, seen: SeenScale | None = None) -> Normalized:
    """Express points and translations in the units of their samples.

    Args:
        seen: Distances of the earlier chunks of the same sequences; the unit then covers those views too.

    Raises:
        ValueError: Earlier chunks were given, but the unit is not a mean.
    """
    if config.ground_truth_scale or config.normalization is Normalization.none:
        one = torch.ones_like(supervision.metric, dtype=torch.float32)
        return Normalized(_divide(supervision, Units(one, one), Units(one, one)), one > 0, None)
    pairs = [pair for frame, pair in supervision.points.items() if frame == "cam" or not config.scale_from_cam]
    if config.normalization is Normalization.median:
        if seen is not None:
            raise ValueError("a median cannot continue over chunks; choose average_distance, or pass no seen scale")
        points, units = None, _median_units(pairs, supervision.valid)
    else:
        points = _join(point_distances(pairs, supervision.valid, config), seen.points if seen else None)
        units = Units.mean(points, config.normalization)
    metric = supervision.metric & config.metric_keeps_scale
    units = pose_units = units.at_least(EPS).shared_where(metric)
    translations = None
    if supervision.poses is not None:
        translations = _join(translation_distances(supervision.poses), seen.translations if seen else None)
        own = Units.mean(translations).shared_where(metric)
        pose_units = own.where(supervision.camera_only | config.separate_pose_scale, otherwise=units)
    return Normalized(
        _divide(supervision, units, pose_units.at_least(EPS)),
        pose_ok=(pose_units.target > EPS) & (pose_units.predicted > EPS),
        seen=SeenScale(points.detach(), translations and translations.detach()) if points else None,
    )


def _join(new: Distances, earlier: Distances | None) -> Distances:
    return new if earlier is None else new + earlier


def point_distances(pairs: Sequence[PointPair], valid: Bool[Tensor, "v b h w"], config: LossConfig) -> Distances:
    """Sum the distances of valid points, or the function of them that the normalization averages."""
    weighted = config.weighted_scale and config.normalization is not Normalization.root_distance
    zero = valid.new_zeros(valid.shape[1], dtype=torch.float32)
    total = Distances(zero, zero, zero)
    for pair in pairs:
        weight = pair.confidence.detach().log().clamp_min(EPS) if weighted else torch.ones_like(pair.confidence)
        weight = torch.where(valid, weight, 0.0)
        target, predicted = (
            (weight * _bend(_length(points, valid), config.normalization)).sum(dim=(0, 2, 3))
            for points in (pair.target, pair.predicted)
        )
        total += Distances(target, predicted, weight.sum(dim=(0, 2, 3)))
    return total


def translation_distances(poses: PosePair) -> Distances:
    """Sum the distances of the cameras from the world's origin."""
    target, predicted = (
        vector_norm(translation, dim=-1) for translation in (poses.target_translation, poses.translation)
    )
    return Distances(target.sum(dim=0), predicted.sum(dim=0), torch.ones_like(target).sum(dim=0))


def median_center_and_distance(
    points: Float[Tensor, "v b h w 3"], valid: Bool[Tensor, "v b h w"]
) -> tuple[Float[Tensor, "b 3"], Float[Tensor, "b"]]:
    """Give the median of each coordinate over a sample's valid points, and the median distance from that centre.

    Of an even number the lower middle value; nan where no point is valid. No gradient.
    """
    known = _by_sample(torch.where(valid.unsqueeze(-1), points.detach(), torch.nan))  # b p 3
    center = known.nanmedian(dim=1).values
    return center, vector_norm(known - center.unsqueeze(1), dim=-1).nanmedian(dim=1).values


def _median_units(pairs: Sequence[PointPair], valid: Bool[Tensor, "v b h w"]) -> Units:
    return Units(
        median_distance([p.target for p in pairs], valid), median_distance([p.predicted for p in pairs], valid)
    )


def median_distance(points: Sequence[Float[Tensor, "v b h w 3"]], valid: Bool[Tensor, "v b h w"]) -> Float[Tensor, "b"]:
    """Give the lower median distance of a sample's valid points from the origin; 0 where no point is valid."""
    lengths = [torch.where(valid, vector_norm(group.detach(), dim=-1), torch.nan) for group in points]
    return torch.cat([_by_sample(length) for length in lengths], dim=1).nanmedian(dim=1).values.nan_to_num(nan=0.0)


def _by_sample(values: Float[Tensor, "v b h w ..."]) -> Float[Tensor, "b p ..."]:
    return values.transpose(0, 1).flatten(1, 3)


def _length(points: Float[Tensor, "v b h w 3"], valid: Bool[Tensor, "v b h w"]) -> Float[Tensor, "v b h w"]:
    return vector_norm(torch.where(valid.unsqueeze(-1), points, 0.0), dim=-1)


def _bend(distance: Float[Tensor, "v b h w"], normalization: Normalization) -> Float[Tensor, "v b h w"]:
    if normalization is Normalization.average_log1p:
        return distance.log1p()
    if normalization is Normalization.root_distance:
        return distance.clamp_min(1e-12).sqrt()  # the slope of the root is infinite at 0
    return distance


def _divide(supervision: Supervision, units: Units, pose_units: Units) -> Supervision:
    points = {frame: _divide_points(pair, units) for frame, pair in supervision.points.items()}
    # On the host, where looking costs nothing, the directions are computed only where someone asks for them.
    if "cam" in points and (supervision.camera_only.device.type != "cpu" or supervision.camera_only.any()):
        cam = points["cam"]
        directions = supervision.camera_only.view(1, -1, 1, 1, 1)
        points["cam"] = replace(
            cam,
            target=torch.where(directions, ray_directions(cam.target), cam.target),
            predicted=torch.where(directions, ray_directions(cam.predicted), cam.predicted),
        )
    return replace(supervision, points=points, poses=supervision.poses and _divide_poses(supervision.poses, pose_units))


def _divide_points(pair: PointPair, units: Units) -> PointPair:
    target, predicted = (unit.view(1, -1, 1, 1, 1) for unit in (units.target, units.predicted))
    return replace(pair, target=pair.target / target, predicted=pair.predicted / predicted)


def _divide_poses(poses: PosePair, units: Units) -> PosePair:
    return replace(
        poses,
        target_translation=poses.target_translation / units.target.unsqueeze(-1),
        translation=poses.translation / units.predicted.unsqueeze(-1),
    )


def ray_directions(points_cam: Float[Tensor, "v b h w 3"]) -> Float[Tensor, "v b h w 3"]:
    """Move points along their rays to depth 1, at most 2 off the axis in x and y: what a camera alone determines."""
    return (points_cam / points_cam[..., 2:].clamp_min(1e-6)).clamp(-2, 2)
