"""What to do to predicted depth before it is compared with the truth: scale it, shift it, or nothing.

An alignment is one scale and one shift for all pixels of an image, or of a whole video. The published protocols
minimise the sum of absolute errors by procedures that stop before the optimum; numbers that are to be compared with
published ones need the same procedures, and others deserve the optimum. Both are here, under different names.

Source: spec/eval_metrics.md 1.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from cut3r.metrics.depth_pairs import PairSource
from cut3r.metrics.inner_product import inner_product
from cut3r.metrics.l1_fit import least_absolute_fit
from cut3r.metrics.l1_loss import FollowedLoss, L1Loss
from cut3r.metrics.stream_median import Column, stream_medians

REWEIGHTING_ROUNDS = 10
REWEIGHTING_GUARD = 1e-8
LEAST_SCALE = 1e-3
ADAM_RATE = 1e-4  # Adam moves each number by about this much a step, whatever the slope
ADAM_STEPS = 1000
ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
ADAM_STOP = 1e-6  # change of the summed loss
BOXES = (200, 40, 8)  # steps of Adam; a narrower box leaves fewer pixels open, but has to be moved more often


class DepthAlignment(Enum):
    metric = "metric"  # none
    median = "median"  # ratio of the lower medians
    scale = "scale"  # least sum of absolute errors
    scale_published = "scale_published"  # ten rounds of reweighted least squares towards it
    scale_shift = "scale_shift"  # least sum of absolute errors
    scale_shift_published = "scale_shift_published"  # a thousand steps of Adam towards it
    scale_shift_bfgs = "scale_shift_bfgs"  # a quasi-Newton method towards it; dozens of passes over all pixels
    least_squares = "least_squares"  # scale and shift


@dataclass(frozen=True)
class ScaleShift:
    """aligned = scale * prediction + shift."""

    scale: float = 1.0
    shift: float = 0.0
    in_float64: bool = False  # Parity: the aligned prediction is float32, but float64 after least squares

    def apply(self, prediction: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Align a prediction of any shape."""
        if self.in_float64:
            prediction = prediction.astype(np.float64)
        aligned = prediction * self.scale
        return aligned + self.shift if self.shift else aligned


def align(pairs: PairSource, alignment: DepthAlignment) -> ScaleShift:
    """Fit to all pixels.

    A prediction that cannot be aligned (a median of 0, say) gives a scale that is not finite.

    Raises:
        ValueError: There are no pixels.
    """
    if not len(pairs):
        raise ValueError("there are no valid pixels, so nothing to align; leave such items out and say how many")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _FITS[alignment](pairs)


def median_ratio(pairs: PairSource) -> ScaleShift:
    """Parity: the ratio of the lower medians, which is not the median of the ratios (quirk 1b)."""
    prediction, target = stream_medians(lambda: (((b.prediction, None), (b.target, None)) for b in pairs.blocks()))
    return ScaleShift(_ratio(target, prediction))


def least_absolute_scale(pairs: PairSource) -> ScaleShift:
    """Minimise sum |scale * prediction - target| exactly, over scales of at least 1e-3.

    The sum is that of |prediction| |scale - target / prediction|, so the minimum is a weighted median of ratios.
    """

    def ratios() -> Iterator[tuple[Column, ...]]:
        for block in pairs.blocks():
            telling = block.prediction != 0  # a prediction of 0 stays 0
            prediction = block.prediction[telling]
            yield ((block.target[telling] / prediction, np.abs(prediction)),)

    (scale,) = stream_medians(ratios)
    return ScaleShift(max(scale, LEAST_SCALE))


def published_scale(pairs: PairSource) -> ScaleShift:
    """Take ten rounds of reweighted least squares towards `least_absolute_scale`.

    Parity: where a residual happens to be next to 0, its pixel outweighs the others, so the result depends on the order
    of summation in its third digit (quirk 4).
    """
    prediction = target = 0.0
    for block in pairs.blocks():
        prediction += float(block.prediction.sum(dtype=np.float64))
        target += float(block.target.sum(dtype=np.float64))
    scale = _ratio(target, prediction)
    for _ in range(REWEIGHTING_ROUNDS):
        by_target = by_prediction = 0.0
        for block in pairs.blocks():
            residual = block.prediction * scale
            residual = residual - block.target
            np.abs(residual, out=residual)
            residual += REWEIGHTING_GUARD
            weighted = np.divide(block.prediction, residual, out=residual)
            by_target += inner_product(weighted, block.target)
            by_prediction += inner_product(weighted, block.prediction)
        scale = _ratio(by_target, by_prediction)
    return ScaleShift(max(scale, LEAST_SCALE))


def least_absolute_scale_and_shift(pairs: PairSource) -> ScaleShift:
    """Minimise sum |scale * prediction + shift - target|."""
    return ScaleShift(*least_absolute_fit(pairs))


def published_scale_and_shift(pairs: PairSource, *, rate: float = ADAM_RATE, max_steps: int = ADAM_STEPS) -> ScaleShift:
    """Take at most a thousand steps of Adam from the median ratio towards the least sum of absolute errors.

    Parity: neither number moves by much more than 0.1, so the result depends on the start and on the unit of the
    prediction (quirk 3). Parity: losses are compared in the precision of the truth. In float32 a sum over many pixels
    near its least value hardly changes its last digit, and the search stops; in float64 (Bonn, KITTI) it goes on.
    """
    precision = next(iter(pairs.blocks())).target.dtype.type
    point = np.array([median_ratio(pairs).scale, 0], np.float32)
    mean, mean_square = np.zeros_like(point), np.zeros_like(point)  # of the slopes
    previous_loss = math.inf
    with closing(FollowedLoss(pairs, tuple(steps * rate for steps in BOXES))) as l1_loss:
        for step in range(1, max_steps + 1):
            value = l1_loss.at(float(point[0]), float(point[1]))
            slope = np.array([value.by_scale, value.by_shift], np.float32)
            mean += (1 - ADAM_BETAS[0]) * (slope - mean)
            mean_square += (1 - ADAM_BETAS[1]) * (slope * slope - mean_square)
            usual_slope = np.sqrt(mean_square / (1 - ADAM_BETAS[1] ** step)) + ADAM_EPSILON
            point -= rate / (1 - ADAM_BETAS[0] ** step) * mean / usual_slope
            loss = float(precision(value.loss))
            if abs(previous_loss - loss) < ADAM_STOP or not math.isfinite(loss):
                break
            previous_loss = loss
    return ScaleShift(float(point[0]), float(point[1]))


def bfgs_scale_and_shift(pairs: PairSource) -> ScaleShift:
    """Go from the median ratio towards the least sum of absolute errors, by BFGS with numerical slopes.

    Parity: the loss has no second derivative, so the search ends where its line search fails.
    """
    whole = L1Loss(pairs)
    start = np.array([median_ratio(pairs).scale, 0.0])
    scale, shift = minimize(lambda at: whole.at(float(at[0]), float(at[1])).loss, start, method="BFGS").x
    return ScaleShift(float(scale), float(shift))


def least_squares(pairs: PairSource) -> ScaleShift:
    """Minimise sum (scale * prediction + shift - target)^2; as `geometry.registration.scale_and_shift`, in one pass.

    A constant prediction gets scale 0 and the target's mean as shift.
    """
    count, sums, pivot = len(pairs), np.zeros(4), None
    for block in pairs.blocks():
        prediction, target = block.prediction.astype(np.float64), block.target.astype(np.float64)
        pivot = (prediction[0], target[0]) if pivot is None else pivot  # a value nearby: no digits cancel later
        prediction -= pivot[0]
        target -= pivot[1]
        square, product = inner_product(prediction, prediction), inner_product(prediction, target)
        sums += float(prediction.sum()), float(target.sum()), square, product
    assert pivot is not None
    prediction_mean, target_mean, square_mean, product_mean = (float(total) / count for total in sums)
    variance, covariance = square_mean - prediction_mean**2, product_mean - prediction_mean * target_mean
    scale = covariance / variance if variance > 0 else 0.0
    shift = pivot[1] + target_mean - scale * (pivot[0] + prediction_mean)
    return ScaleShift(float(scale), float(shift), in_float64=True)


def _ratio(numerator: float, denominator: float) -> float:
    return float(np.float64(numerator) / np.float64(denominator))  # inf or nan instead of ZeroDivisionError


_FITS: dict[DepthAlignment, Callable[[PairSource], ScaleShift]] = {
    DepthAlignment.metric: lambda pairs: ScaleShift(),
    DepthAlignment.median: median_ratio,
    DepthAlignment.scale: least_absolute_scale,
    DepthAlignment.scale_published: published_scale,
    DepthAlignment.scale_shift: least_absolute_scale_and_shift,
    DepthAlignment.scale_shift_published: published_scale_and_shift,
    DepthAlignment.scale_shift_bfgs: bfgs_scale_and_shift,
    DepthAlignment.least_squares: least_squares,
}
