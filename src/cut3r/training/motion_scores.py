"""What a validation says of cameras: parts of ratios, to be put together over batches and processes.

R2 of the relative motion of two views, errors of the path as shares of those of a camera that does not move, and a
control: with the first view of another sample, a motion that is read from the first view cannot be found.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cut3r.data.view import View
from cut3r.geometry.poses import invert
from cut3r.metrics.motion import ate, ate_sim3, explained, path_length, relative_poses, rotation_error
from cut3r.metrics.pair_poses import auc
from cut3r.metrics.pooling import Parts
from cut3r.model.prediction import Prediction
from cut3r.training.rollout import Batch

GAPS = (1, 3)  # views between which motion is judged
CONTROL = ("yaw", "forward")


def motion_parts(views: Sequence[View], predictions: Sequence[Prediction]) -> Parts:
    """Give R2 as "r2_yaw_1", ..., "ate_share", "ate_sim3_share" and "rotation_share" of no motion's errors, and
    "auc_30", where the views have them.

    Metres (`r2_sideways`, `r2_forward`, `ate_share`) are asked of metric samples only; unrelated pictures have no path.
    """
    predicted, true = _paths(views, predictions)
    related, metric = ~views[0].single_view, views[0].metric & ~views[0].single_view
    parts = {f"r2_{name}": part for name, part in _explained(predicted, true, related, metric).items()}
    length = path_length(true)
    moves, still = length > 0, torch.eye(4).to(true).expand_as(true)
    parts["ate_share"] = _share(ate(predicted, true) / length, ate(still, true) / length, metric & moves)
    parts["rotation_share"] = _share(rotation_error(predicted, true), rotation_error(still, true), related)
    if len(views) > 2:
        aligned = ate_sim3(predicted, true) / length
        parts["ate_sim3_share"] = _share(aligned, ate_sim3(still, true) / length, related & moves)
    parts["auc_30"] = auc(predicted[related], true[related])
    return parts


def control_parts(views: Sequence[View], predictions: Sequence[Prediction]) -> Parts:
    """Give R2 of the first step as "control_yaw" and "control_forward"; the predictions are of a batch
    `with_another_first_view`."""
    related, metric = ~views[0].single_view, views[0].metric & ~views[0].single_view
    parts = _explained(*_paths(views, predictions), related, metric, gaps=GAPS[:1])
    return {f"control_{name}": parts[f"{name}_{GAPS[0]}"] for name in CONTROL}


def with_another_first_view(batch: Batch) -> Batch:
    """Take the first two views, and show as the first one that of the sample before."""
    views = [replace(batch.views[0], image=batch.views[0].image.roll(1, dims=0)), *batch.views[1:2]]
    inputs = [replace(batch.inputs[0], image=views[0].image), *batch.inputs[1:2]]
    return replace(batch, views=views, inputs=inputs, first=views[0])


def _paths(
    views: Sequence[View], predictions: Sequence[Prediction]
) -> tuple[Float[Tensor, "b v 4 4"], Float[Tensor, "b v 4 4"]]:
    """Predicted and true cameras in the frame of the first true one."""
    said = [prediction.world_from_cam for prediction in predictions]
    predicted = torch.stack([pose for pose in said if pose is not None], dim=1)
    true = torch.stack([view.world_from_cam for view in views], dim=1)
    return predicted, invert(true[:, :1]) @ true


def _explained(
    predicted: Float[Tensor, "b v 4 4"],
    true: Float[Tensor, "b v 4 4"],
    related: Bool[Tensor, "b"],
    metric: Bool[Tensor, "b"],
    *,
    gaps: Sequence[int] = GAPS,
) -> Parts:
    parts: Parts = {}
    for gap in gaps:
        if gap < true.shape[1]:
            said, truth = relative_poses(predicted, gap), relative_poses(true, gap)
            found = explained(said[metric], truth[metric]) | {"yaw": explained(said[related], truth[related])["yaw"]}
            parts |= {f"{name}_{gap}": part for name, part in found.items()}
    return parts


def _share(
    errors: Float[Tensor, "b"], of_no_motion: Float[Tensor, "b"], which: Bool[Tensor, "b"]
) -> tuple[float, float]:
    return float(errors[which].sum()), float(of_no_motion[which].sum())
