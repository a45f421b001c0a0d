"""Alignment by the pose graph, and then of all cameras and depths together."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.alignment.align_config import AlignConfig, OnProgress
from cut3r.alignment.by_graph import place_by_graph
from cut3r.alignment.dense import DenseConfig
from cut3r.alignment.full import Full, refine_fully
from cut3r.alignment.pairs import Predictions
from cut3r.alignment.result import Alignment
from cut3r.alignment.taken import Taken
from cut3r.geometry.registration import Similarity

SOME = 4  # every so many rows and columns are enough to compare depths


def by_full(taken: Taken, predictions: Predictions, config: AlignConfig, on_progress: OnProgress | None) -> Alignment:
    graph = place_by_graph(taken, predictions, config, on_progress)
    believed = {(row["first"], row["second"]) for row in graph.report["pairs"] if row["kept"]}
    pairs = [row for row, (i, j) in enumerate(predictions.ends.tolist()) if (i, j) in believed]
    poses, scales = graph.world_from_cam, graph.world_from_frame.scale
    held = config.poses_that_stay(taken)
    for number, known in held.items():
        poses[number] = known
    full = refine_fully(
        predictions,
        torch.tensor(pairs, dtype=torch.long),
        Similarity(poses[:, :3, :3], poses[:, :3, 3], scales),
        graph.intrinsics,
        DenseConfig(config.sweeps, config.pixels, config.with_scale, config.shared_focal),
        groups=graph.report["groups"],
        known_poses=list(held),
        known_focals=_known_lenses(taken, config),
        on_progress=on_progress,
    )
    return Alignment(
        taken,
        full.cameras.world_from_cam.float(),
        full.cameras.intrinsics.float(),
        None,
        torch.ones(len(taken)),
        full.confidence.clamp_min_(1),
        full.kept,
        graph.report | _full_report(predictions, full, graph.report),
        replace(graph.before, scale=graph.before.scale * _growth(predictions, scales, full.depth)),
        full.depth,
    )


def _known_lenses(taken: Taken, config: AlignConfig) -> list[int]:
    """Frames whose intrinsics stay: those that are known, or all if the one camera of all is known."""
    return list(range(len(taken))) if config.shared_focal and taken.intrinsics else list(taken.intrinsics)


def _full_report(predictions: Predictions, full: Full, graph: dict[str, Any]) -> dict[str, Any]:
    """What refinement has to say beside, and instead of, the report of the pose graph."""
    ends = predictions.ends[full.pairs].tolist()
    after = {(i, j): error for (i, j), error in zip(ends, full.refined.residuals.tolist(), strict=True)}
    return {
        "graph": {"loss_before": graph["loss_before"], "loss_after": graph["loss_after"]},
        "loss_before": full.refined.losses[0],
        "loss_after": full.refined.losses[-1],
        "pairs": [
            row | {"residual_m": after.get((row["first"], row["second"]), row["residual_m"])} for row in graph["pairs"]
        ],
        "points_cleaned": full.cleaned,
        "focals_px": full.cameras.intrinsics[:, 0, 0].tolist(),
    }


def _growth(predictions: Predictions, scales: Float[Tensor, "n"], depth: Float[Tensor, "n h w"]) -> Float[Tensor, "n"]:
    """How much larger the depth of each frame was before it was refined, as a rule; 1 where nobody knows."""
    factors = []
    for number, after in enumerate(depth[:, ::SOME, ::SOME]):
        ratio = float(scales[number]) * predictions.points_self[number, ::SOME, ::SOME, 2].float() / after
        factors.append(ratio[(after > 0) & (ratio > 0) & ratio.isfinite()].median())
    return torch.stack(factors).nan_to_num(1.0).double()
