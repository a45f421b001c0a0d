"""How far a predicted camera path is from the true one: evo's errors after evo's alignments.

Source: Sturm et al. 2012 (ATE, RPE), Umeyama 1991; spec/eval_metrics.md 2.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from evo.core.metrics import APE, RPE, PoseRelation, Unit
from evo.core.trajectory import PosePath3D
from jaxtyping import Float, Float64

from cut3r.geometry.registration import register
from eval.protocols.base import NotScoredError

PARITY_RANK = float(np.finfo(np.float64).eps)  # Parity: absolute, so that it depends on the unit of length
RELATIVE_RANK = 1e-6  # of the largest singular value: a path this thin is a line


class Alignment(Enum):
    sim3 = "sim3"  # rotation, translation and scale
    se3 = "se3"  # rotation and translation: an error of scale counts


@dataclass(frozen=True)
class PathErrors:
    """What is left after the alignment.

    Attributes:
        ate_m: Distance of each camera from its place, metres.
        rpe_m, rpe_deg: Error of each step to the next frame.
        aligned: The predicted cameras, moved, v 4 4.
        degenerate: The path has no extent in a second direction: the rotation about it is arbitrary (the distances are
            not affected).
    """

    ate_m: Float64[np.ndarray, "v"]
    rpe_m: Float64[np.ndarray, "steps"]
    rpe_deg: Float64[np.ndarray, "steps"]
    aligned: Float64[np.ndarray, "v 4 4"]
    world_from_predicted: Float64[np.ndarray, "4 4"]  # with the scale inside
    scale: float
    degenerate: bool


def path_errors(
    predicted: Float[np.ndarray, "v 4 4"],
    true: Float[np.ndarray, "v 4 4"],
    alignment: Alignment = Alignment.sim3,
    *,
    parity: bool = False,
) -> PathErrors:
    """Align the predicted cameras to the true ones, pair by pair, and measure.

    Args:
        parity: Refuse what the published scripts refuse: covariances with fewer than two singular values above 2.2e-16.

    Raises:
        NotScoredError: Fewer than three pairs, a true camera that does not move, or (parity) a degenerate covariance.
        ValueError: A camera that is not finite.
    """
    if not (np.isfinite(predicted).all() and np.isfinite(true).all()):
        raise ValueError("some cameras are not finite, so there is no distance between them; leave these frames out")
    estimate = PosePath3D(poses_se3=list(proper(predicted)))
    reference = PosePath3D(poses_se3=list(proper(true)))
    similarity, degenerate = _similarity(estimate.positions_xyz, reference.positions_xyz, alignment, parity=parity)
    scale = float(np.cbrt(np.linalg.det(similarity[:3, :3])))
    estimate.scale(scale)
    rigid = similarity.copy()
    rigid[:3, :3] /= scale
    estimate.transform(rigid)
    ate = APE(PoseRelation.translation_part)
    ate.process_data((reference, estimate))
    steps = {}
    for relation in (PoseRelation.translation_part, PoseRelation.rotation_angle_deg):
        rpe = RPE(relation, delta=1.0, delta_unit=Unit.frames, all_pairs=True)
        rpe.process_data((reference, estimate))
        steps[relation] = np.asarray(rpe.error, np.float64)
    return PathErrors(
        ate_m=np.asarray(ate.error, np.float64),
        rpe_m=steps[PoseRelation.translation_part],
        rpe_deg=steps[PoseRelation.rotation_angle_deg],
        aligned=np.stack(estimate.poses_se3),
        world_from_predicted=similarity,
        scale=scale,
        degenerate=degenerate,
    )


def rms(errors: Float64[np.ndarray, "n"]) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))


def proper(cameras: Float[np.ndarray, "v 4 4"]) -> Float64[np.ndarray, "v 4 4"]:
    """Give the cameras in float64 with the nearest rotations: a network's float32 matrices are not quite orthogonal."""
    cameras = cameras.astype(np.float64)
    u, _, vh = np.linalg.svd(cameras[:, :3, :3])
    vh[:, 2] *= np.sign(np.linalg.det(u @ vh))[:, None]
    cameras[:, :3, :3] = u @ vh
    return cameras


def stands_still(positions: Float[np.ndarray, "v 3"], true: Float[np.ndarray, "v 3"]) -> bool:
    """Whether a path is a single place beside the true one, so that it has no scale."""
    return _spread(positions) <= 1e-9 * _spread(true)


def _spread(positions: Float[np.ndarray, "v 3"]) -> float:
    return rms(np.linalg.norm(positions - positions.mean(axis=0), axis=1).astype(np.float64))


def _similarity(
    positions: Float64[np.ndarray, "v 3"], true: Float64[np.ndarray, "v 3"], alignment: Alignment, *, parity: bool
) -> tuple[Float64[np.ndarray, "4 4"], bool]:
    """Umeyama's fit, as evo makes it, with our own account of when it is not unique."""
    centered, true_centered = positions - positions.mean(axis=0), true - true.mean(axis=0)
    singular = np.linalg.svd(true_centered.T @ centered / len(true), compute_uv=False)
    if parity and (singular > PARITY_RANK).sum() < 2:
        raise NotScoredError("degenerate covariance rank: the camera moves along a line or not at all")
    if len(true) < 3:
        raise NotScoredError(f"{len(true)} cameras do not fix a rotation; at least 3 are needed")
    if _spread(true) <= 1e-9:
        raise NotScoredError("the true camera does not move, so there is no path to compare with")
    if stands_still(positions, true):  # a single place: the best similarity is any that puts it into the middle
        similarity = np.eye(4)
        similarity[:3, 3] = true.mean(axis=0) - positions.mean(axis=0)
        return similarity, True
    fit = register(torch.from_numpy(positions), torch.from_numpy(true), with_scale=alignment is Alignment.sim3)
    return fit.matrix().numpy(), bool(singular[1] <= RELATIVE_RANK * singular[0])
