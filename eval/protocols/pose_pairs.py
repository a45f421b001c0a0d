"""Relative poses of all pairs of frames: python -m eval pose_pairs dataset=co3d weights=512-dpt.

Neither the world nor the scale of a path matters: RRA and RTA are the shares of pairs whose rotation, or direction, is
wrong by less than 5, 15 and 30 degrees, AUC the area under the share of pairs for which both are. By default all is as
defined; parity=true counts like the published scripts, which take a direction and its opposite for the same, measure
directions of pairs that do not move, and sum the curve at whole degrees. Source: `cut3r.metrics.pair_poses`.
"""

from typing import Any, ClassVar

import numpy as np
import torch

from cut3r.metrics.pair_poses import PairErrors, area, area_by_degrees, pair_errors, share_below
from eval.protocols.base import EvaluationProtocol, Item, Look, Metrics, NotScoredError, Score
from eval.protocols.relpose import paired_cameras, require_cameras
from eval.sequences.sequence import Sequence
from eval.systems.base import Wanted
from eval.systems.saved import Predictions

THRESHOLDS_DEG = (5, 15, 30)
LOOK_DEG = np.arange(0.0, 30.5, 0.5)  # where the report's curve is drawn


class PosePairs(EvaluationProtocol):
    name: ClassVar[str] = "pose_pairs"
    wanted: ClassVar[Wanted] = Wanted(cameras=True)

    def __init__(self, *, parity: bool = False) -> None:
        self.parity = parity

    def settings(self) -> dict[str, Any]:
        return {"parity": self.parity}

    def score(self, sequence: Sequence, predictions: Predictions) -> tuple[Score, Look]:
        predicted, true, known = paired_cameras(sequence, predictions)
        require_cameras(predicted, known & predictions.has_camera(), sequence)  # pairs without a camera have failed
        frames = np.flatnonzero(known)
        if len(frames) < 2:
            raise NotScoredError(f"{len(frames)} cameras of {sequence.name} are known; a pair needs two")
        errors = pair_errors(torch.from_numpy(predicted[frames]), torch.from_numpy(true[frames]))
        moving = torch.ones_like(errors.moves) if self.parity else errors.moves
        if not moving.any():
            raise NotScoredError(f"the true camera of {sequence.name} does not move, so there are no directions")
        worst = errors.worst_deg(either_way=self.parity)[moving]
        notes = {
            "unknown_cameras": int((~known).sum()),
            "pairs": len(moving),
            "pairs_that_do_not_move": int((~errors.moves).sum()),
        }
        group = "published" if self.parity else "pairs"
        metrics = self._metrics(errors, moving, worst)
        look = {"degrees": LOOK_DEG, "share": np.array([share_below(worst, float(end)) for end in LOOK_DEG])}
        return Score({group: [Item(sequence.name, metrics)]}, notes), look

    def _metrics(self, errors: PairErrors, moving: torch.Tensor, worst: torch.Tensor) -> Metrics:
        metrics: Metrics = {}
        courses = errors.courses(either_way=self.parity)[moving]
        for end in THRESHOLDS_DEG:
            reached = area_by_degrees(worst, end) if self.parity else area(worst, float(end))
            metrics[f"auc_{end}"] = float(reached.mean())
            metrics[f"rra_{end}"] = share_below(errors.turn_deg, float(end))
            metrics[f"rta_{end}"] = share_below(courses, float(end))
        return {**metrics, "pair_med": float(worst.nan_to_num(180.0).median())}
