"""The views of a batch as targets, and the predictions beside them: stacked, float32, all in the same frames.

Axes: v views, b samples. The world is the camera of view 0, unless the caller names another first camera.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.linalg import vector_norm

from cut3r.data.view import View
from cut3r.geometry.poses import quaternion_from_matrix, rotate, transform
from cut3r.model.prediction import Prediction
from cut3r.training.loss_config import LossConfig

FACTS = ("metric", "camera_only", "depth_only", "single_view")  # of a sample: the same in all its views


@dataclass(frozen=True)
class PointPair:
    """Points in one frame: where they are, and where the network sees them."""

    target: Float[Tensor, "v b h w 3"]
    predicted: Float[Tensor, "v b h w 3"]
    confidence: Float[Tensor, "v b h w"]


@dataclass(frozen=True)
class PosePair:
    """Poses `world_from_cam` as translations and quaternions (w, x, y, z) with w >= 0."""

    target_translation: Float[Tensor, "v b 3"]
    target_quaternion: Float[Tensor, "v b 4"]
    translation: Float[Tensor, "v b 3"]
    quaternion: Float[Tensor, "v b 4"]


@dataclass(frozen=True)
class Supervision:
    """Only what the weights ask for: `points` has "cam" and "world", or one of them, or none."""

    points: dict[str, PointPair]
    poses: PosePair | None
    valid: Bool[Tensor, "v b h w"]
    sky: Bool[Tensor, "v b h w"]  # never valid
    has_image: Bool[Tensor, "v b"]
    metric: Bool[Tensor, "b"]
    camera_only: Bool[Tensor, "b"]
    depth_only: Bool[Tensor, "b"]
    single_view: Bool[Tensor, "b"]


def full_precision(views: Sequence[View], predictions: Sequence[Prediction]) -> AbstractContextManager[Any]:
    """Switch autocast off for a loss on these.

    Raises:
        ValueError: There is not one prediction for each view.
    """
    if not views or len(views) != len(predictions):
        raise ValueError(
            f"{len(views)} views and {len(predictions)} predictions; give the loss one prediction for each of its views"
        )
    return torch.autocast(views[0].image.device.type, enabled=False)


def supervise(
    views: Sequence[View],
    predictions: Sequence[Prediction],
    config: LossConfig,
    first_camera: Float[Tensor, "b 4 4"] | None = None,
) -> Supervision:
    """Bring ground truth and predictions side by side.

    Args:
        first_camera: Pose in the dataset's world of the camera whose frame is the world, if not that of view 0.

    Raises:
        ValueError: A prediction that the weights ask for is missing, or the facts of a sample differ between views.
    """
    if not config.parity:
        require_equal_facts(views)
    poses = torch.stack([view.world_from_cam.float() for view in views])
    points = torch.stack([view.points.float() for view in views])
    valid = torch.stack([view.valid for view in views])
    # A general inverse, because stored poses are rigid only roughly; inv_ex, because inv waits for the device.
    cam_from_dataset = torch.linalg.inv_ex(poses).inverse
    world_from_dataset = cam_from_dataset[0] if first_camera is None else torch.linalg.inv_ex(first_camera).inverse
    world_from_dataset = world_from_dataset.float().expand_as(poses)
    targets = {"cam": transform(cam_from_dataset, points), "world": transform(world_from_dataset, points)}
    if config.far_clip is not None:
        valid = valid & (vector_norm(targets["world"], dim=-1) <= config.far_clip)
    weights = {"cam": config.cam_weight, "world": config.world_weight}
    return Supervision(
        points={
            frame: PointPair(
                target,
                collect(predictions, f"points_{frame}", f"{frame}_weight"),
                collect(predictions, f"conf_{frame}", f"{frame}_weight"),
            )
            for frame, target in targets.items()
            if weights[frame]
        },
        poses=_pose_pair(world_from_dataset, poses, predictions) if config.pose_weight else None,
        valid=valid,
        sky=torch.stack([view.sky for view in views]) & ~valid,
        has_image=torch.stack([view.has_image for view in views]),
        metric=views[0].metric,
        camera_only=views[0].camera_only,
        depth_only=views[0].depth_only,
        single_view=views[0].single_view,
    )


def collect(predictions: Sequence[Prediction], name: str, weight: str) -> Float[Tensor, "v b ..."]:
    """Stack one field of all predictions.

    Raises:
        ValueError: A prediction lacks it.
    """
    values = [getattr(prediction, name) for prediction in predictions]
    for number, value in enumerate(values):
        if value is None:
            raise ValueError(
                f"prediction {number} has no {name}, but the loss gives it weight; "
                f"run the head that gives it (Outputs.all() runs every head), or set {weight} to 0"
            )
    return torch.stack([value.float() for value in values])


def require_equal_facts(views: Sequence[View]) -> None:
    """Check that metric, camera_only, depth_only and single_view agree over the views (quirk L14).

    Only on the host, where looking costs nothing; on a device this passes unchecked.

    Raises:
        ValueError: They differ.
    """
    for name in FACTS:
        flags = [getattr(view, name) for view in views]
        if flags[0].device.type == "cpu" and any(not torch.equal(flag, flags[0]) for flag in flags):
            raise ValueError(
                f"{name} differs between the views of a sample ({[flag.tolist() for flag in flags]}), "
                "but it is a property of the sample; set it alike in all views"
            )


def _pose_pair(
    world_from_dataset: Float[Tensor, "v b 4 4"],
    dataset_from_cam: Float[Tensor, "v b 4 4"],
    predictions: Sequence[Prediction],
) -> PosePair:
    rotation = rotate(world_from_dataset, dataset_from_cam[..., :3, :3].mT).mT  # column by column
    encoding = collect(predictions, "pose_encoding", "pose_weight")
    return PosePair(
        target_translation=transform(world_from_dataset, dataset_from_cam[..., :3, 3]),
        target_quaternion=quaternion_from_matrix(rotation),
        translation=encoding[..., :3],
        quaternion=encoding[..., 3:],
    )
