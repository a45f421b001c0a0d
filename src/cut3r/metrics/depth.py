"""How far predicted depth is from the truth: the numbers of the literature, without alignment.

Depth is metres along the optical axis. `valid` says where the truth is known; the prediction has no say in it, so a
pixel where the network fails counts. All valid pixels weigh the same, whichever frame they come from.

Source: Eigen et al. 2014, section 4.1; spec/eval_metrics.md 1.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

FLOOR_M = 1e-5  # what logarithms and ratios see of a prediction that is not positive


def abs_rel(
    prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], valid: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Mean of |prediction - target| / target; not finite if a valid pixel's prediction is not.

    Raises:
        ValueError: No pixel is valid, or the target is not positive where it should be. So do the other metrics.
    """
    p, g = _pairs(prediction, target, valid)
    return ((p - g).abs() / g).mean()


def rmse(
    prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], valid: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Root mean square error, metres."""
    p, g = _pairs(prediction, target, valid)
    return (p - g).square().mean().sqrt()


def log_rmse(
    prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], valid: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Root mean square difference of the natural logarithms."""
    p, g = _pairs(prediction, target, valid)
    return (p.clamp_min(FLOOR_M).log() - g.log()).square().mean().sqrt()


def delta(
    prediction: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    valid: Bool[Tensor, "*shape"],
    threshold: float = 1.25,
) -> Float[Tensor, ""]:
    """Share of pixels that are wrong by less than a factor of `threshold`; a prediction that is no number is wrong."""
    p, g = _pairs(prediction, target, valid)
    p = p.clamp_min(FLOOR_M)
    return (torch.maximum(p / g, g / p) < threshold).to(p.dtype).mean()


def failed(
    prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], valid: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Share of pixels whose prediction is no depth at all: not finite, or not positive."""
    p, _ = _pairs(prediction, target, valid)
    return 1 - (p.isfinite() & (p > 0)).to(p.dtype).mean()


def _pairs(prediction: Tensor, target: Tensor, valid: Tensor) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    p, g = prediction[valid], target[valid]
    if not len(g):
        raise ValueError("no pixel is valid, so there is nothing to score; leave such items out and say how many")
    if not bool((g > 0).all()):
        raise ValueError("the true depth is not positive at some valid pixels; use valid = target > 0 or less")
    return p, g
