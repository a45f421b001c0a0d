"""Alignment by the original's optimiser, for parity and for a few dozen frames."""

from functools import partial

import torch
from torch import Tensor

from cut3r.alignment.align_config import AlignConfig, OnProgress
from cut3r.alignment.by_graph import report_head
from cut3r.alignment.cleaning import CleaningConfig, clean
from cut3r.alignment.objective import Scene
from cut3r.alignment.original import MOST_FRAMES, OriginalConfig, align_original, largest_confidence
from cut3r.alignment.pairs import Predictions
from cut3r.alignment.result import Alignment
from cut3r.alignment.taken import Taken
from cut3r.geometry.cameras import unproject
from cut3r.geometry.registration import Similarity


def by_original(
    taken: Taken, predictions: Predictions, config: AlignConfig, on_progress: OnProgress | None
) -> Alignment:
    pairs = predictions.pairs(least=0.0) if config.parity else predictions.pairs()
    tell = partial(on_progress, "the original's optimiser") if on_progress else None
    aligned = align_original(pairs, OriginalConfig(config.steps, metric=not config.parity), on_progress=tell)
    scene, conf = aligned.scene, largest_confidence(predictions.pairs(least=0.0))
    cleaning = CleaningConfig.as_original() if config.parity else CleaningConfig()
    kept = clean(scene.depth, conf, scene.world_from_cam, scene.intrinsics, cleaning) > 0
    report = {
        **report_head(config, taken, predictions),
        "loss_before": aligned.losses[0],
        "loss_after": aligned.losses[-1],
        "pairs": [{"first": i, "second": j} for i, j in pairs.ends.tolist()],
        "points_cleaned": int((~kept).sum()),
    }
    return Alignment(
        taken,
        scene.world_from_cam,
        scene.intrinsics,
        unproject(scene.depth, scene.intrinsics),
        torch.ones(len(taken)),
        conf,
        kept,
        report,
        _where(aligned.start, of=scene),
    )


def check_original(taken: Taken, poses: dict[int, Tensor]) -> None:
    if len(taken) > MOST_FRAMES:
        raise ValueError(
            f"the original's optimiser holds all pairs of pixels at once, too many for {len(taken)} frames; "
            f"choose at most {MOST_FRAMES} of them, or align by graph"
        )
    if taken.intrinsics or poses:
        raise ValueError("the original's optimiser cannot keep known cameras; align by graph, or leave them out")


def _where(start: Scene, *, of: Scene) -> Similarity:
    """Cameras of a scene whose depth maps have changed, with the usual factor of depth as scale."""
    factor = (start.depth / of.depth).flatten(1).median(dim=1).values
    return Similarity(start.world_from_cam[:, :3, :3], start.world_from_cam[:, :3, 3], factor)
