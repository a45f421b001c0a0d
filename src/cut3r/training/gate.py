"""Does a network look where it must, and does its pose come from there? The gate of a training from nothing.

Attention below `attention_by_position` looks by content; then R2 of yaw and translation rises. With the first view of
another sample R2 must be below zero: the motion is read from the state, not guessed from the second view.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.data.view import View
from cut3r.geometry.poses import encoding_from_pose, invert
from cut3r.metrics.depth import abs_rel
from cut3r.model.config import ModelConfig
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.training.correspondence import correspond, soft_labels
from cut3r.training.guidance import Guidance, position_alone
from cut3r.training.rollout import Batch

AXES = {"yaw": 5, "tx": 0, "tz": 2}  # in a pose encoding: a turn about the vertical, sideways, forward


@torch.no_grad()
def gate_scores(
    model: Cut3r, judge: Guidance, views: Sequence[View], outputs: Outputs | None = None
) -> dict[str, float]:
    """Judge pairs of views, shown by their images.

    Args:
        judge: Of this network.
        outputs: Heads to run; the pose alone by default.

    Returns:
        `attention` in nats; R2 (1 - error^2 / truth^2, so "no motion" has 0) of `yaw`, `tx` and `tz`, and of
        `other_yaw`, ... with the first view of another sample; `abs_rel` if points are among the outputs.
    """
    outputs = outputs or Outputs(points_cam=False)
    batch = Batch.make(views, views[0].depth.device)
    with judge.recording():
        said = model.rollout(batch.inputs, outputs=outputs).predictions
    scores = {"attention": float(judge(batch.views, batch.first, begins=True)[1]["attention"])}
    scores |= motion_r2(said[1], views)
    if outputs.points_cam:
        scores["abs_rel"] = _abs_rel(said, views)
    others = replace(views[0], image=views[0].image.roll(1, dims=0))
    swapped = model.rollout(
        Batch.make([others, views[1]], views[0].depth.device).inputs, outputs=Outputs(points_cam=False)
    )
    return scores | {f"other_{name}": value for name, value in motion_r2(swapped.predictions[1], views).items()}


def motion_r2(said: Prediction, views: Sequence[View]) -> dict[str, float]:
    """Compare the predicted motion between the two views of pairs with the true one."""
    assert said.pose_encoding is not None
    true = encoding_from_pose(invert(views[0].world_from_cam) @ views[1].world_from_cam)
    error = (said.pose_encoding - true).square().sum(dim=0)  # [7]
    r2: Float[Tensor, "7"] = 1 - error / true.square().sum(dim=0)
    return {name: float(r2[axis]) for name, axis in AXES.items()}


def attention_by_position(views: Sequence[View], model: ModelConfig) -> float:
    """The gate's threshold on these pairs: attention of a guess that does not look. Take some hundred of them."""
    patch, (h, w) = model.patch_size, views[0].size
    grid = (h // patch, w // patch)
    found = correspond(views[1], views[0], patch)
    labels = soft_labels(found.place, grid, columns=grid[1], tokens=grid[0] * grid[1])
    return float(position_alone(labels, found.visible))


def _abs_rel(said: Sequence[Prediction], views: Sequence[View]) -> float:
    points = [prediction.points_cam for prediction in said]
    depth = torch.stack([each[..., 2] for each in points if each is not None]).cpu()
    true, valid = (torch.stack([getattr(view, name) for view in views]).cpu() for name in ("depth", "valid"))
    return float(abs_rel(depth, true, valid))
