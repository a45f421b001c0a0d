"""Alignment by the pose graph alone: cameras and scales of frames, with what each sees by itself."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.alignment.align_config import AlignConfig, OnProgress
from cut3r.alignment.focals import plausible, usual
from cut3r.alignment.links import links_of
from cut3r.alignment.pairs import Predictions, weights_of
from cut3r.alignment.pose_graph import GraphConfig, solve_pose_graph
from cut3r.alignment.result import Alignment
from cut3r.alignment.scale_drift import scale_drift
from cut3r.alignment.taken import Taken
from cut3r.geometry.cameras import pinhole
from cut3r.geometry.focal import FocalMethod, estimate_focal
from cut3r.geometry.poses import pose_from_parts
from cut3r.geometry.registration import Similarity


@dataclass(frozen=True)
class Placed:
    """Cameras and scales of frames as the pose graph has them, without a copy of anything that has pixels."""

    world_from_frame: Similarity
    intrinsics: Float[Tensor, "n 3 3"]
    before: Similarity
    report: dict[str, Any]

    @property
    def world_from_cam(self) -> Float[Tensor, "n 4 4"]:
        place = self.world_from_frame
        return pose_from_parts(place.rotation, place.translation)


def by_graph(taken: Taken, predictions: Predictions, config: AlignConfig, on_progress: OnProgress | None) -> Alignment:
    placed = place_by_graph(taken, predictions, config, on_progress)
    return Alignment(
        taken,
        placed.world_from_cam.float(),
        placed.intrinsics,
        predictions.points_self,
        placed.world_from_frame.scale.float(),
        predictions.conf_self.clamp_min(1),
        predictions.conf_self > 0,
        placed.report,
        placed.before,
    )


def place_by_graph(
    taken: Taken, predictions: Predictions, config: AlignConfig, on_progress: OnProgress | None
) -> Placed:
    links, without = links_of(predictions, seed=config.seed)
    tell = on_progress or (lambda *_: None)
    tell("pose graph", 0, 1)
    solved = solve_pose_graph(
        len(taken),
        links,
        GraphConfig(with_scale=config.with_scale, slack=config.slack, pose_sigma=config.pose_sigma),
        known=config.poses_that_count(taken),
    )
    tell("pose graph", 1, 1)
    place = solved.world_from_frame
    rows = zip(links.pairs(), solved.residuals.tolist(), solved.kept.tolist(), strict=True)
    report = {
        **report_head(config, taken, predictions),
        "loss_before": solved.loss_before,
        "loss_after": solved.loss_after,
        "pairs": [{"first": i, "second": j, "residual_m": error, "kept": kept} for (i, j), error, kept in rows],
        "pairs_without_weight": [list(pair) for pair in without],
        "groups": solved.groups,
        "scales": place.scale.tolist(),
        "scale_drift": scale_drift(links, solved.kept, place),
    }
    return Placed(
        place,
        _intrinsics(taken, predictions, shared=config.shared_focal),
        replace(solved.start, scale=solved.start.scale / place.scale),
        report,
    )


def report_head(config: AlignConfig, taken: Taken, predictions: Predictions) -> dict[str, Any]:
    """What every report begins with."""
    return {
        "align": config.method.value,
        "frames": len(taken),
        "size": list(predictions.size),
        "known_intrinsics": len(taken.intrinsics),
        "known_poses": len(taken.world_from_cam),
    }


def _intrinsics(taken: Taken, predictions: Predictions, *, shared: bool) -> Float[Tensor, "n 3 3"]:
    """What is known, else the focal length of the frame's own points."""
    focals = torch.stack(
        [
            estimate_focal(points.float(), weights=weights_of(conf).float(), method=FocalMethod.median)
            for points, conf in zip(predictions.points_self, predictions.conf_self, strict=True)
        ]
    )
    focals = plausible(focals, predictions.size)
    middle = usual(focals, predictions.size)
    intrinsics = pinhole(predictions.size, torch.full_like(focals, middle) if shared else focals.nan_to_num(middle))
    if shared and taken.intrinsics:  # the one camera is the known one
        intrinsics[:] = torch.stack(list(taken.intrinsics.values())).mean(dim=0)
    for number, known in taken.intrinsics.items():
        intrinsics[number] = known
    return intrinsics
