"""How much of the true motion of a camera a prediction holds; no motion at all is what it is compared with.

Poses are `world_from_cam`; predicted and true ones are in the same world, usually the camera of the first view. Nothing
is aligned but in `ate_sim3`. Everything is computed in float64.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.geometry.poses import encoding_from_pose, invert, rotation_angle
from cut3r.geometry.registration import register
from cut3r.metrics.pooling import Parts

AXES = {"yaw": 5, "sideways": 0, "forward": 2}  # in a pose encoding; yaw as the quaternion's y, half the small angle
SAME_PLACE = 1e-9  # of the true extent: predicted positions closer than this are one place


def relative_poses(world_from_cam: Float[Tensor, "*batch v 4 4"], gap: int) -> Float[Tensor, "*batch p 4 4"]:
    """Give cam_from_later of all pairs of views that are `gap` apart, v - gap of them."""
    poses = world_from_cam.double()
    return invert(poses[..., :-gap, :, :]) @ poses[..., gap:, :, :]


def explained(predicted: Float[Tensor, "*batch 4 4"], true: Float[Tensor, "*batch 4 4"]) -> Parts:
    """Give R2 = 1 - sum(error^2) / sum(truth^2) of relative poses as the two parts of a ratio.

    1 is the truth, 0 what "no motion" has (not the mean of the truth, as is usual elsewhere), below 0 is worse than
    that. By names of `AXES`: sideways is x, forward is z, of the first camera of the pair.
    """
    said, truth = encoding_from_pose(predicted.double()), encoding_from_pose(true.double())
    errors = (said - truth).square().reshape(-1, 7).sum(dim=0).tolist()
    squares = truth.square().reshape(-1, 7).sum(dim=0).tolist()
    return {name: (squares[axis] - errors[axis], squares[axis]) for name, axis in AXES.items()}


def path_length(world_from_cam: Float[Tensor, "*batch v 4 4"]) -> Float[Tensor, "*batch"]:
    """Measure the way from view to view."""
    return world_from_cam[..., :3, 3].double().diff(dim=-2).norm(dim=-1).sum(dim=-1)


def constant_velocity(first_from_second: Float[Tensor, "4 4"], views: int) -> Float[Tensor, "{views} 4 4"]:
    """Repeat a step, translation and turn: first_from_cam of so many views. A guess that looks at no picture."""
    step = first_from_second.double()
    return torch.stack([torch.linalg.matrix_power(step, count) for count in range(views)])


def ate(predicted: Float[Tensor, "*batch v 4 4"], true: Float[Tensor, "*batch v 4 4"]) -> Float[Tensor, "*batch"]:
    """Give the root mean square distance between the positions, as they are."""
    return _rms((predicted[..., :3, 3] - true[..., :3, 3]).double())


def ate_sim3(predicted: Float[Tensor, "*batch v 4 4"], true: Float[Tensor, "*batch v 4 4"]) -> Float[Tensor, "*batch"]:
    """Give the same after the similarity that brings the predicted positions closest to the true ones.

    Predicted positions that are all one place are put into the middle of the true ones. nan where a prediction is not
    finite.

    Raises:
        ValueError: Fewer than 3 views.
    """
    source, target = predicted[..., :3, 3].double(), true[..., :3, 3].double()
    finite = source.isfinite().all(dim=-1).all(dim=-1)
    source = source.where(finite[..., None, None], 0.0)
    middle = target.mean(dim=-2, keepdim=True)
    spread = _rms(source - source.mean(dim=-2, keepdim=True))
    one_place = spread <= SAME_PLACE * _rms(target - middle)
    aligned = register(source, target, with_scale=True).apply(source)
    error = _rms(aligned.where(~one_place[..., None, None], middle) - target)
    return error.where(finite, torch.nan)


def rotation_error(
    predicted: Float[Tensor, "*batch v 4 4"], true: Float[Tensor, "*batch v 4 4"]
) -> Float[Tensor, "*batch"]:
    """Give the mean angle between the orientations, radians."""
    return rotation_angle(predicted[..., :3, :3].double(), true[..., :3, :3].double()).mean(dim=-1)


def _rms(vectors: Float[Tensor, "*batch v 3"]) -> Float[Tensor, "*batch"]:
    return vectors.square().sum(dim=-1).mean(dim=-1).sqrt()
