"""Camera pose: python -m eval relpose dataset=sintel weights=512-dpt.

The predicted path after a Sim(3) alignment to the true one (as published), and after an SE(3) alignment, where an error
of scale counts. Source: spec/eval_metrics.md 2.

By default also the drift over 100 to 800 m where the path is that long (t_rel, r_rel of KITTI odometry), and the error
of the focal lengths where both are known.
"""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float

from cut3r.geometry.poses import is_rigid
from cut3r.metrics.focal import focal_error
from cut3r.metrics.odometry import segment_errors
from eval.protocols.base import EvaluationProtocol, Item, Look, Metrics, NotScoredError, Score
from eval.protocols.trajectory import Alignment, PathErrors, path_errors, rms, stands_still
from eval.sequences.sequence import Sequence
from eval.systems.base import Wanted
from eval.systems.saved import Predictions

PREDICTED_TOLERANCE = 1e-2  # half precision is off by up to 2e-3; `proper` takes the nearest rotation


class RelativePose(EvaluationProtocol):
    name: ClassVar[str] = "relpose"
    wanted: ClassVar[Wanted] = Wanted(cameras=True)

    def __init__(self, *, parity: bool = False) -> None:
        """`parity` leaves out what the published scripts leave out: sequences with an unknown camera, paths along a
        line; by default unknown cameras are left out and the rest of the sequence is scored."""
        self.parity = parity

    def settings(self) -> dict[str, Any]:
        return {"parity": self.parity}

    def score(self, sequence: Sequence, predictions: Predictions) -> tuple[Score, Look]:
        predicted, true, known = paired_cameras(sequence, predictions)
        if self.parity and not known.all():
            raise NotScoredError(f"{(~known).sum()} of {len(known)} true cameras are not known")
        given = predictions.has_camera()
        if self.parity and not given.all():
            raise ValueError(f"{(~given).sum()} of {len(given)} pictures have no predicted camera; parity needs all")
        require_cameras(predicted, known & given, sequence)
        frames = np.flatnonzero(known & given)
        steps = np.diff(frames) == 1  # a step over a gap is longer than the others
        if not (np.diff(np.flatnonzero(known)) == 1).any():
            raise NotScoredError("no two successive cameras are known")
        groups: dict[str, list[Item]] = {}
        notes: dict[str, Any] = {"frames": len(known), "unknown_cameras": int((~known).sum())}
        notes["pictures_without_camera"] = int((known & ~given).sum())
        errors: dict[Alignment, PathErrors] = {}
        for alignment in (Alignment.sim3,) if self.parity else (Alignment.sim3, Alignment.se3):
            errors[alignment] = path_errors(predicted[frames], true[frames], alignment, parity=self.parity)
            metrics = _metrics(errors[alignment], steps)
            if not self.parity:
                metrics |= _drift(errors[alignment], true[frames]) | _focal(predictions, sequence)
            groups[alignment.value] = [Item(sequence.name, metrics)]
        sim3 = errors[Alignment.sim3]
        notes |= {"scale": sim3.scale, "degenerate": sim3.degenerate}
        if not self.parity and not stands_still(predicted[frames, :3, 3], true[frames, :3, 3]):
            groups["sim3"][0].metrics["scale_error"] = abs(math.log(sim3.scale))
        return Score(groups, notes), _look(sim3, true[frames], frames)


def paired_cameras(
    sequence: Sequence, predictions: Predictions
) -> tuple[Float[np.ndarray, "v 4 4"], Float[np.ndarray, "v 4 4"], Bool[np.ndarray, "v"]]:
    """Give the predicted and the true cameras, and which of the true ones are known.

    Raises:
        ValueError: They are not as many.
    """
    assert sequence.world_from_cam is not None
    predicted, true = predictions.cameras(), sequence.world_from_cam
    if len(predicted) != len(true):
        raise ValueError(f"{len(predicted)} predicted and {len(true)} true cameras do not pair; expected as many")
    return predicted, true, sequence.known_cameras()


def require_cameras(predicted: Float[np.ndarray, "v 4 4"], known: Bool[np.ndarray, "v"], sequence: Sequence) -> None:
    """Refuse a path of which a camera that counts is no rigid motion, so that there is no error."""
    wrong = np.flatnonzero(known & ~is_rigid(torch.from_numpy(predicted), tolerance=PREDICTED_TOLERANCE).numpy())
    if len(wrong):
        raise ValueError(
            f"{len(wrong)} of {len(known)} predicted cameras of {sequence.name} are no rotation and translation (not "
            f"finite, stretched or mirrored), first that of {sequence.images[wrong[0]].name}; have the system give "
            "each a rigid motion"
        )


def _metrics(errors: PathErrors, steps: np.ndarray) -> Metrics:
    """Steps between neighbouring pictures only; keyframes may have none."""
    ate = {"ate": rms(errors.ate_m)}
    if not steps.any():
        return ate
    return ate | {"rpe_trans": rms(errors.rpe_m[steps]), "rpe_rot": rms(errors.rpe_deg[steps])}


def _drift(errors: PathErrors, true: Float[np.ndarray, "v 4 4"]) -> Metrics:
    """Nothing for a path of less than 100 metres."""
    segments = segment_errors(torch.from_numpy(errors.aligned), torch.from_numpy(true).double())
    return {"t_rel": segments.t_rel, "r_rel": segments.r_rel} if len(segments.drift) else {}


def _focal(predictions: Predictions, sequence: Sequence) -> Metrics:
    """The mean over all pictures."""
    predicted = predictions.intrinsics()
    if predicted is None or sequence.intrinsics is None:
        return {}
    errors = focal_error(torch.from_numpy(predicted), torch.from_numpy(sequence.intrinsics))
    return {"focal_error": float(errors.mean())}


def _look(errors: PathErrors, true: np.ndarray, frames: np.ndarray) -> Look:
    return {
        "frames": frames,
        "predicted": errors.aligned[:, :3, 3],
        "true": true[:, :3, 3],
        "ate_m": errors.ate_m,
        "rpe_m": errors.rpe_m,
        "rpe_deg": errors.rpe_deg,
    }
