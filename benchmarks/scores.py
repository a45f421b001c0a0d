"""What a stream of predictions is worth beside the truth, and what one gets without looking at the pictures.

Poses are `first_from_cam`: in the frame of the sequence's first camera, metres. Nothing is aligned, because the network
claims metric depth and poses in that frame; only `ate_sim3` forgives a similarity.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from cut3r.metrics import depth as metrics
from cut3r.metrics import motion


@dataclass(frozen=True)
class Truth:
    depth: Float[Tensor, "v h w"]  # metres; 0 where unknown
    first_from_cam: Float[Tensor, "v 4 4"]


@dataclass(frozen=True)
class Guess:
    """What a network or a baseline says; a baseline is silent about some of it."""

    depth: Float[Tensor, "v h w"] | None = None
    first_from_cam: Float[Tensor, "v 4 4"] | None = None
    confidence: Float[Tensor, "v h w"] | None = None  # of the depth, >= 1


Scores = dict[str, float | None]


def score(guess: Guess, truth: Truth) -> Scores:
    """Score one sequence; None for what the guess says nothing about.

    - abs_rel, delta, failed: of all pixels of all frames with known depth; delta is the share within a factor of 1.25,
      failed the share without any positive depth.
    - ate: root mean square distance between the camera positions over the length of the true path.
    - ate_sim3: the same after the similarity that brings the predicted positions closest to the true ones.
    - rotation_deg: mean angle between the orientations.
    """
    scores: Scores = dict.fromkeys(("abs_rel", "delta", "failed", "ate", "ate_sim3", "rotation_deg"))
    if guess.depth is not None:
        valid = truth.depth > 0
        scores["abs_rel"] = float(metrics.abs_rel(guess.depth, truth.depth, valid))
        scores["delta"] = float(metrics.delta(guess.depth, truth.depth, valid))
        scores["failed"] = float(metrics.failed(guess.depth, truth.depth, valid))
    if guess.first_from_cam is not None:
        predicted, true = guess.first_from_cam, truth.first_from_cam
        length = path_length(true)
        scores["ate"] = float(motion.ate(predicted, true)) / length
        scores["ate_sim3"] = float(motion.ate_sim3(predicted, true)) / length
        scores["rotation_deg"] = float(motion.rotation_error(predicted, true).rad2deg())
    return scores


def beginning(guess: Guess, truth: Truth, frames: int) -> tuple[Guess, Truth]:
    """Cut off what comes after the first frames."""
    parts = {name: None if value is None else value[:frames] for name, value in vars(guess).items()}
    return Guess(**parts), Truth(truth.depth[:frames], truth.first_from_cam[:frames])


def path_length(first_from_cam: Float[Tensor, "v 4 4"]) -> float:
    """Metres.

    Raises:
        ValueError: The camera stands still, so that errors cannot be a share of its path.
    """
    length = float(motion.path_length(first_from_cam))
    if length == 0:
        raise ValueError("the camera does not move, so there is no path to compare errors with; use another sequence")
    return length


def mean_depth_map(mean: Float[Tensor, "h w"], truth: Truth) -> Guess:
    """Give the mean depth of the training data at every pixel, whatever the picture shows."""
    views, h, w = truth.depth.shape
    fitted = interpolate(mean[None, None], (h, w), mode="bilinear", align_corners=False)[0]
    return Guess(depth=fitted.expand(views, h, w))


def no_motion(truth: Truth) -> Guess:
    """Leave the camera where it began."""
    return Guess(first_from_cam=torch.eye(4).expand(len(truth.first_from_cam), 4, 4))


def constant_velocity(truth: Truth) -> Guess:
    """Repeat the first true step, translation and turn, for ever.

    It is told more than the network is: how far the camera really moves and turns between the first two frames.
    """
    return Guess(first_from_cam=motion.constant_velocity(truth.first_from_cam[1], len(truth.first_from_cam)))


def summary(rows: list[Scores]) -> dict[str, dict[str, float] | None]:
    """Mean and median over the sequences of each score."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {name: _mean_and_median([v for v in values if v is not None]) for name, values in columns.items()}


def improvement(model: Scores, baselines: list[Scores]) -> Scores:
    """How many times smaller than the best baseline's the model's errors are; nothing for delta, which is no error."""
    factors: Scores = {}
    for name, own in model.items():
        others = [value for baseline in baselines if (value := baseline[name]) is not None]
        factors[name] = min(others) / own if name != "delta" and own and others else None
    return factors


def _mean_and_median(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    column = torch.tensor(values, dtype=torch.float64)
    return {"mean": float(column.mean()), "median": float(column.quantile(0.5))}
