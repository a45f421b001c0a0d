"""Held-out losses, plain errors and shares of the motion, each batch by one process, put together at the end."""

from collections.abc import Iterable, Sequence
from math import isnan
from statistics import fmean, median

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from cut3r.data.view import AnyView, View
from cut3r.geometry.poses import invert, rotation_angle
from cut3r.metrics.pooling import Parts, pooled
from cut3r.model.prediction import Prediction
from cut3r.training.monitor import over_views
from cut3r.training.motion_scores import control_parts, motion_parts, with_another_first_view
from cut3r.training.parallel import any_process, everyone
from cut3r.training.rollout import Batch, Chunk, Loss, Piece, run_chunks


@torch.no_grad()
def validate(
    step: nn.Module, batches: Iterable[Sequence[AnyView]], loss: Loss, accelerator: Accelerator
) -> tuple[dict[str, float], Batch | None, list[Prediction]]:
    """Run this process's share of a held-out set.

    Returns:
        Mean "name" and median "name_median" over the batches of all processes, of the loss, its details and `errors`;
        the ratios of `motion_parts` and `control_parts`, of sums over all batches (the control needs batches of at
        least two samples); and this process's first batch with its predictions, for pictures.
    """
    rows: list[dict[str, float]] = []
    parts: list[Parts] = []
    shown: tuple[Batch | None, list[Prediction]] = (None, [])
    iterator = iter(batches)
    while True:
        views = next(iterator, None)
        can_swap = views is not None and len(views) > 1 and len(views[0].label) > 1
        # FSDP: a forward pass is a meeting, so a process that has run out repeats its first batch and forgets it
        some, swapped = any_process([views is not None, can_swap], accelerator)
        if not some:
            break
        batch = shown[0] if views is None else Batch.make(views, accelerator.device)
        if batch is None:
            raise ValueError(
                "the held-out set has fewer batches than there are processes; enlarge data.validation.samples"
            )
        piece = _judge(step, batch, loss)
        if views is not None:
            details = {name: float(value) for name, value in piece.details.items()}
            rows.append({"loss": float(piece.total), **over_views(details), **errors(batch.views, piece.predictions)})
            parts.append(motion_parts(batch.views, piece.predictions))
            shown = (batch, piece.predictions) if shown[0] is None else shown
        if swapped:
            control = with_another_first_view(batch)
            predictions = _judge(step, control, loss).predictions
            if can_swap:
                parts.append(control_parts(control.views, predictions))
    together = everyone((rows, parts), accelerator)
    motion = pooled(part for _, some_parts in together for part in some_parts)
    known = {name: value for name, value in motion.items() if not isnan(value)}
    return _summary([row for some_rows, _ in together for row in some_rows]) | known, *shown


def _judge(step: nn.Module, batch: Batch, loss: Loss) -> Piece:
    (piece,) = run_chunks(step, batch, [Chunk(0, len(batch.views), graded=False)], loss)
    return piece


def errors(views: Sequence[View], predictions: Sequence[Prediction]) -> dict[str, float]:
    """Compare without any alignment: depth as the mean of |d - d*| / d*, the share within 25 %, poses in the world of
    the first camera (metres, degrees; the first view is left out)."""
    ratios, shifts, angles = [], [], []
    first_from_world = invert(views[0].world_from_cam)
    for number, (view, prediction) in enumerate(zip(views, predictions, strict=True)):
        assert prediction.points_cam is not None and prediction.world_from_cam is not None
        ratios.append((prediction.points_cam[..., 2] / view.depth.clamp(min=1e-6))[view.valid])
        if number:
            true = first_from_world @ view.world_from_cam
            shifts.append((prediction.world_from_cam[:, :3, 3] - true[:, :3, 3]).norm(dim=-1))
            angles.append(torch.rad2deg(rotation_angle(prediction.world_from_cam[:, :3, :3], true[:, :3, :3])))
    result = _depth_errors(torch.cat(ratios))
    if shifts:
        result["translation_m"] = float(torch.cat(shifts).mean())
        result["rotation_deg"] = float(torch.cat(angles).mean())
    return result


def _depth_errors(ratio: Tensor) -> dict[str, float]:
    if not len(ratio):
        return {}
    return {
        "abs_rel": float((ratio - 1).abs().mean()),
        "delta_1.25": float(((ratio < 1.25) & (ratio > 0.8)).float().mean()),
    }


def _summary(rows: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row[name] for row in rows if name in row] for name in names}
    means = {name: fmean(column) for name, column in columns.items()}
    return means | {f"{name}_median": median(column) for name, column in columns.items()}
