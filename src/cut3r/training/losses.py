"""What the network is trained to lower, and what it is judged by.

Points are compared in each camera's frame ("cam") and in the first camera's ("world"), in the sample's unit of length,
weighted by the confidences; poses and colours are added. Everything is float32, nothing waits for the device: the
details are tensors, to be read when they are printed.

Source: CUT3R (arXiv 2501.12387), section 3.4; the confidences are those of DUSt3R (arXiv 2312.14132), eq. 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.linalg import vector_norm

from cut3r.data.view import View
from cut3r.model.prediction import Prediction
from cut3r.training.loss_config import LossConfig, PointLoss
from cut3r.training.normalization import SeenScale, normalize
from cut3r.training.point_losses import (
    confidence_weighted,
    count_per_view,
    counted_pixels,
    match_scale,
    mean_per_view,
    point_errors,
)
from cut3r.training.supervision import PosePair, Supervision, collect, full_precision, supervise

# Our names of the details, and the original's. "/i" follows names of single views, i from 1. `{inner}` is the class.
ORIGINAL_NAMES = {
    "points_cam": "{inner}_self_pts3d",
    "points_world": "{inner}_pts3d",
    "weighted_cam": "ConfLoss({inner}(L21Loss()))_conf_loss_self",
    "weighted_world": "ConfLoss({inner}(L21Loss()))_conf_loss",
    "matched_cam": "Regr3DPose_ScaleInv_self_pts3d",
    "matched_world": "Regr3DPose_ScaleInv_pts3d",
    "pose": "pose_loss",
    "rgb": "RGBLoss_rgb",
}
ORIGINAL_CLASSES = {PointLoss.plain: "Regr3DPose", PointLoss.by_kind: "Regr3DPoseBatchList"}


class ColorError(Enum):
    mean_square = "mean_square"
    distance = "distance"  # Euclidean over the three channels


@dataclass
class LossResult:
    """A loss and what it is made of.

    `details` holds detached scalars under short names: `points_cam/1` is view 1's mean error before the confidence,
    `weighted_cam/1` after, `matched_cam/1` after matching the scales, `pixels_cam/1` the number of pixels behind these
    (0 makes them 0); likewise world; `rgb/1`; `pose` of all views. `seen` continues the unit of length of the sequence:
    hand it to the call for the next chunk, or do not, and each chunk has a unit of its own.
    """

    total: Float[Tensor, ""]
    details: dict[str, Tensor]
    seen: SeenScale | None = None


class ReconstructionLoss:
    """The training loss: confidence-weighted points, poses and colours."""

    def __init__(self, config: LossConfig) -> None:
        self.config = config

    def __call__(
        self,
        views: Sequence[View],
        predictions: Sequence[Prediction],
        *,
        first_camera: Float[Tensor, "b 4 4"] | None = None,
        seen: SeenScale | None = None,
    ) -> LossResult:
        """Compare the predictions of a sequence, or of a chunk of it, with its views.

        Args:
            first_camera: `world_from_cam` of the sequence's first view, in the dataset's world, when `views` does not
                begin with it.
            seen: `LossResult.seen` of the chunk before.

        Raises:
            ValueError: A prediction is missing that has weight, or views and predictions do not belong together.
        """
        config = self.config
        with full_precision(views, predictions):
            normalized = normalize(supervise(views, predictions, config, first_camera), config, seen)
            supervision = normalized.supervision
            total, details = self._points(supervision)
            if supervision.poses is not None:
                error = pose_error(supervision.poses, self._posed(supervision, normalized.pose_ok))
                details["pose"] = error.detach()
                total = total + config.pose_weight * error.clamp_max(config.pose_clip or torch.inf)
            if config.rgb_weight:
                colors = color_error(views, predictions, ColorError.mean_square)
                details |= by_view("rgb", colors)
                total = total + config.rgb_weight * colors.mean()
        return LossResult(total, details, normalized.seen)

    def _points(self, supervision: Supervision) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        config = self.config
        details: dict[str, Tensor] = {}
        weights = {"cam": config.cam_weight, "world": config.world_weight}
        total = supervision.valid.new_zeros((), dtype=torch.float32)
        for frame, pair in supervision.points.items():
            mask = pixels_in(frame, supervision, config)
            errors = point_errors(pair, supervision, config)
            weighted = confidence_weighted(errors, pair.confidence, config.alpha)
            means = mean_per_view(weighted, mask, per_sample=config.mean_per_sample)
            total = total + weights[frame] * means.mean()
            plain_means = mean_per_view(errors.detach(), mask, per_sample=config.mean_per_sample)
            counts = count_per_view(mask)
            if config.parity and frame == "cam":  # Parity: nan poisons the running mean of the name (quirk L7)
                plain_means = torch.where(counts > 0, plain_means, torch.nan)
            details |= by_view(f"points_{frame}", plain_means)
            details |= by_view(f"weighted_{frame}", means)
            details |= by_view(f"pixels_{frame}", counts)
        return total, details

    def _posed(self, supervision: Supervision, pose_ok: Bool[Tensor, "b"]) -> Bool[Tensor, "b"]:
        """Choose the samples whose poses are supervised."""
        if self.config.parity and self.config.inner is PointLoss.by_kind:
            return pose_ok & supervision.has_image[-1]  # Parity: of the last view only (quirk L1)
        return pose_ok


class ValidationLoss:
    """The loss on held-out samples: distances in the dataset's unit, before and after matching the scales, and colours.

    Sums over the views, for points; the pose is reported, not added. No confidence takes part.
    """

    def __init__(self, config: LossConfig | None = None) -> None:
        """Take over a loss's weights and masks; the unit is the dataset's unless a config says otherwise.

        Raises:
            ValueError: The sky has an error, which only a confidence could learn from, or the points are aligned.
        """
        self.config = config or LossConfig(ground_truth_scale=True, sky_value=0.0)
        if self.config.sky_value > 0 or self.config.inner is not PointLoss.plain:
            raise ValueError(
                f"validation with sky_value {self.config.sky_value} and inner {self.config.inner.name}; "
                "it compares valid points as they are, so set sky_value to 0 and inner to plain"
            )

    @classmethod
    def like(cls, training: LossConfig) -> "ValidationLoss":
        """Judge the terms that a training loss trains, in the dataset's unit."""
        return cls(
            replace(
                training, curriculum=[], inner=PointLoss.plain, ground_truth_scale=True, sky_value=0.0, relative=False
            )
        )

    def __call__(
        self,
        views: Sequence[View],
        predictions: Sequence[Prediction],
        *,
        first_camera: Float[Tensor, "b 4 4"] | None = None,
    ) -> LossResult:
        """Compare as `ReconstructionLoss` does."""
        config = self.config
        with full_precision(views, predictions):
            normalized = normalize(supervise(views, predictions, config, first_camera), config)
            supervision = normalized.supervision
            total, details = self._points(supervision)
            if supervision.poses is not None:
                details["pose"] = pose_error(supervision.poses, normalized.pose_ok).detach()
            if config.rgb_weight:
                colors = color_error(views, predictions, ColorError.distance)
                details |= by_view("rgb", colors)
                total = total + config.rgb_weight * colors.mean()
        return LossResult(total, details)

    def _points(self, supervision: Supervision) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        config = self.config
        details: dict[str, Tensor] = {}
        weights = {"cam": config.cam_weight, "world": config.world_weight}
        total = supervision.valid.new_zeros((), dtype=torch.float32)
        for frame, pair in supervision.points.items():
            mask = pixels_in(frame, supervision, config)
            matched = match_scale(pair, supervision.valid, in_target_unit=config.ground_truth_scale)
            for name, points in {"points": pair, "matched": matched}.items():
                errors = point_errors(points, supervision, config)
                means = mean_per_view(errors, mask, per_sample=config.mean_per_sample)
                total = total + weights[frame] * means.sum()
                details |= by_view(f"{name}_{frame}", means)
            details |= by_view(f"pixels_{frame}", count_per_view(mask))
        return total, details


def pixels_in(frame: str, supervision: Supervision, config: LossConfig) -> Bool[Tensor, "v b h w"]:
    """Mark the pixels that are supervised in a frame: without depth, nothing is known of the world's points."""
    counted = counted_pixels(supervision, config)
    return counted & ~supervision.camera_only.view(1, -1, 1, 1) if frame == "world" else counted


def pose_error(poses: PosePair, chosen: Bool[Tensor, "b"]) -> Float[Tensor, ""]:
    """Average over views and chosen samples the distance of translations plus that of quaternions; 0 if none is chosen.

    Both quaternions have w >= 0, so their sign needs no choice.
    """
    error = vector_norm(poses.translation - poses.target_translation, dim=-1)
    error = error + vector_norm(poses.quaternion - poses.target_quaternion, dim=-1)  # v b
    return torch.where(chosen, error.mean(dim=0), 0.0).sum() / chosen.sum().clamp_min(1)


def color_error(views: Sequence[View], predictions: Sequence[Prediction], kind: ColorError) -> Float[Tensor, "v"]:
    """Average the difference to the picture over each view, also where the network was not shown it."""
    images = torch.stack([view.image.float() for view in views]).movedim(2, -1)  # v b h w 3
    difference = collect(predictions, "rgb", "rgb_weight") - images
    if kind is ColorError.mean_square:
        return difference.square().mean(dim=(1, 2, 3, 4))
    return vector_norm(difference, dim=-1).mean(dim=(1, 2, 3))


def by_view(name: str, values: Tensor) -> dict[str, Tensor]:
    """Name the entries of a tensor: name/1, name/2, ..."""
    return {f"{name}/{number}": value for number, value in enumerate(values.detach().unbind(), start=1)}
