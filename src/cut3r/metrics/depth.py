"""How far predicted depth is from the truth: the numbers of the literature, without alignment.

Depth is metres along the optical axis. `valid` says where the truth is known; the prediction has no say in it, so a
pixel where the network fails counts. All valid pixels weigh the same, whichever frame they come from.

`DepthErrors` holds the formulas, and takes pixels in as many portions as they come in; the functions below it serve
tensors that fit into memory.

Source: Eigen et al. 2014, section 4.1; spec/eval_metrics.md 1.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cut3r.metrics.inner_product import inner_product

FLOOR_M = 1e-5  # what logarithms and ratios see of a prediction that is not positive
DELTAS = (1.25, 1.25**2, 1.25**3)


@dataclass
class DepthErrors:
    """Sums over the pixels added so far. The means are nan without pixels, and not finite if a prediction is not."""

    pixels: int = 0
    relative: float = 0.0
    squared_relative: float = 0.0
    squared: float = 0.0
    squared_log: float = 0.0
    within: list[int] = field(default_factory=lambda: [0] * len(DELTAS))  # pixels wrong by less than these factors
    not_positive: int = 0  # predictions

    def add(self, prediction: Float[np.ndarray, "n"], target: Float[np.ndarray, "n"]) -> None:
        """Add pixels whose target is positive.

        Differences have the precision of the more precise of the two, and so has the sum over these pixels.
        """
        error = prediction - target
        np.abs(error, out=error)
        relative = error / target
        factor = factors_off(prediction, target)
        self.pixels += len(target)
        self.not_positive += int(np.count_nonzero(prediction <= 0))
        self.relative += float(relative.sum())
        self.squared_relative += inner_product(relative, error)
        self.squared += inner_product(error, error)
        for index, delta in enumerate(DELTAS):
            self.within[index] += int(np.count_nonzero(factor < delta))
        log = np.log(factor, out=factor)
        self.squared_log += inner_product(log, log)

    @property
    def abs_rel(self) -> float:
        return self._mean(self.relative)

    @property
    def sq_rel(self) -> float:
        return self._mean(self.squared_relative)

    @property
    def rmse(self) -> float:
        return math.sqrt(self._mean(self.squared))

    @property
    def log_rmse(self) -> float:
        return math.sqrt(self._mean(self.squared_log))

    @property
    def deltas(self) -> tuple[float, ...]:
        return tuple(self._mean(count) for count in self.within)

    def _mean(self, total: float | int) -> float:
        return total / self.pixels if self.pixels else math.nan


def factors_off(prediction: Float[np.ndarray, "n"], target: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """By which factor each pixel is wrong, at least 1: too far or too near alike; nan for a nan."""
    prediction = np.maximum(prediction, FLOOR_M)
    ratio = prediction / target
    return np.maximum(ratio, target / prediction, out=ratio)


def abs_rel(
    prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], valid: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Mean of |prediction - target| / target; not finite if a valid pixel's prediction is not.

    Raises:
        ValueError: No pixel is valid, or the target is not positive where it should be. So do the other metrics.
    """
    return _like(prediction, _errors(prediction, target, valid).abs_rel)


def sq_rel(
    prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], valid: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Mean of (prediction - target)^2 / target, metres."""
    return _like(prediction, _errors(prediction, target, valid).sq_rel)


def rmse(
    prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], valid: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Root mean square error, metres."""
    return _like(prediction, _errors(prediction, target, valid).rmse)


def log_rmse(
    prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], valid: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Root mean square difference of the natural logarithms."""
    return _like(prediction, _errors(prediction, target, valid).log_rmse)


def delta(
    prediction: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    valid: Bool[Tensor, "*shape"],
    threshold: float = 1.25,
) -> Float[Tensor, ""]:
    """Share of pixels that are wrong by less than a factor of `threshold`; a prediction that is no number is wrong."""
    return _like(prediction, float((factors_off(*_pairs(prediction, target, valid)) < threshold).mean()))


def failed(
    prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], valid: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Share of pixels whose prediction is no depth at all: not finite, or not positive."""
    p, _ = _pairs(prediction, target, valid)
    return _like(prediction, 1 - float((np.isfinite(p) & (p > 0)).mean()))


def _errors(prediction: Tensor, target: Tensor, valid: Tensor) -> DepthErrors:
    errors = DepthErrors()
    with np.errstate(invalid="ignore", over="ignore"):  # of predictions that are not finite
        errors.add(*_pairs(prediction, target, valid))
    return errors


def _pairs(prediction: Tensor, target: Tensor, valid: Tensor) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    p, g = (values.detach()[valid].double().cpu().numpy() for values in (prediction, target))
    if not len(g):
        raise ValueError("no pixel is valid, so there is nothing to score; leave such items out and say how many")
    if not (g > 0).all():
        raise ValueError("the true depth is not positive at some valid pixels; use valid = target > 0 or less")
    return p, g


def _like(prediction: Tensor, value: float) -> Float[Tensor, ""]:
    return torch.tensor(value, dtype=prediction.dtype, device=prediction.device)
