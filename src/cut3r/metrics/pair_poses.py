"""Relative poses of pairs of views: the angles by which they are wrong, and the shares and areas that papers print.

Poses are `world_from_cam`, each path in a world and a scale of its own: only the rotation between two cameras and the
direction from one to the other count. RRA and RTA at 15 degrees are the shares of pairs whose rotation, or direction,
is wrong by less than that; the AUC is the area under the share of pairs for which both are, over the threshold.

Source: Jin et al. 2021 (image matching, mAA); Zhang et al. 2022 (RelPose); Wang et al. 2023 (PoseDiffusion).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cut3r.geometry.poses import invert, rotation_angle
from cut3r.metrics.motion import path_length

SHORTEST = 1e-3  # of the path: a shorter translation has no direction worth measuring
AT_ONCE = 65_536  # pairs: a path of thousands of views has millions


@dataclass(frozen=True)
class PairErrors:
    """Of all pairs of views, the earlier one first.

    `turn_deg` is the angle between the relative rotations, `course_deg` that between the directions of the relative
    translations: 180 where a pair is predicted not to move. `moves` says which pairs truly do; the others have no
    direction, and count for rotations only.
    """

    turn_deg: Float[Tensor, "*batch p"]
    course_deg: Float[Tensor, "*batch p"]
    moves: Bool[Tensor, "*batch p"]

    def worst_deg(self, *, either_way: bool = False) -> Float[Tensor, "*batch p"]:
        """The larger of the two angles. `either_way`: see `courses`."""
        return torch.maximum(self.turn_deg, self.courses(either_way=either_way))

    def courses(self, *, either_way: bool = False) -> Float[Tensor, "*batch p"]:
        """Parity: the published scripts take a direction and its opposite for the same (`either_way`)."""
        return torch.minimum(self.course_deg, 180 - self.course_deg) if either_way else self.course_deg


def pair_errors(predicted: Float[Tensor, "*batch v 4 4"], true: Float[Tensor, "*batch v 4 4"]) -> PairErrors:
    """Measure all pairs of views, in float64. Angles are nan where a prediction is not finite."""
    pairs = torch.triu_indices(true.shape[-3], true.shape[-3], offset=1, device=true.device)
    shortest = SHORTEST * path_length(true).unsqueeze(-1)
    parts = [_errors(predicted.double(), true.double(), some, shortest) for some in pairs.split(AT_ONCE, dim=1)]
    turn, course, moves = (torch.cat(column, dim=-1) for column in zip(*parts, strict=True))
    return PairErrors(turn, course, moves)


def share_below(angles_deg: Float[Tensor, "p"], threshold_deg: float) -> float:
    """RRA of turns, RTA of courses: the share of pairs with an angle below the threshold; nan without pairs."""
    return float((angles_deg < threshold_deg).double().mean())


def area(worst_deg: Float[Tensor, "*batch p"], threshold_deg: float) -> Float[Tensor, "*batch p"]:
    """Give what each pair adds to the area under the share of pairs with an error below t, t from 0 to the threshold;
    the mean over the pairs is the AUC, 1 is the best. A pair whose angle is nan has failed."""
    return (1 - worst_deg.nan_to_num(torch.inf) / threshold_deg).clamp_min(0)


def area_by_degrees(worst_deg: Float[Tensor, "*batch p"], threshold_deg: int) -> Float[Tensor, "*batch p"]:
    """Do the same as published: the mean share below 1, 2, ... degrees.

    Parity: a sum from the right, which is larger than the area, at 5 degrees by up to a fifth.
    """
    whole = worst_deg.nan_to_num(torch.inf).floor()  # an error of 0.3 is below all of the thresholds
    return (1 - whole / threshold_deg).clamp_min(0)


def auc(
    predicted: Float[Tensor, "*batch v 4 4"], true: Float[Tensor, "*batch v 4 4"], threshold_deg: float = 30.0
) -> tuple[float, float]:
    """Give the area under the curve of all pairs that truly move, as the two parts of a ratio."""
    errors = pair_errors(predicted, true)
    reached = area(errors.worst_deg(), threshold_deg).where(errors.moves, 0.0)
    return float(reached.sum()), float(errors.moves.sum())


def _errors(
    predicted: Float[Tensor, "*batch v 4 4"],
    true: Float[Tensor, "*batch v 4 4"],
    pairs: Tensor,
    shortest: Float[Tensor, "*batch 1"],
) -> tuple[Tensor, Tensor, Tensor]:
    early, late = pairs
    said, truth = (invert(poses[..., early, :, :]) @ poses[..., late, :, :] for poses in (predicted, true))
    turn = rotation_angle(said[..., :3, :3], truth[..., :3, :3])
    a, b = said[..., :3, 3], truth[..., :3, 3]
    course = torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(dim=-1))
    course = course.where(a.norm(dim=-1) != 0, torch.pi)
    return turn.rad2deg(), course.rad2deg(), b.norm(dim=-1) > shortest
