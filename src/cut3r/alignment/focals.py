"""Focal lengths that some lens could have, and one for frames that have none."""

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.inference.focal import FOCAL_RANGE, UNKNOWN_FOCAL


def plausible(focals: Float[Tensor, "n"], size: tuple[int, int]) -> Float[Tensor, "n"]:
    """Give nan instead of a focal length (pixels) that no lens has in an image of this size (h, w)."""
    low, high = _limits(size)
    return focals.where((focals > low) & (focals < high), torch.nan)


def nearest_plausible(focals: Float[Tensor, "n"], size: tuple[int, int]) -> Float[Tensor, "n"]:
    """Give the nearest focal lengths (pixels) that some lens has in an image of this size (h, w)."""
    low, high = _limits(size)
    return focals.clamp(low, high)


def usual(focals: Float[Tensor, "n"], size: tuple[int, int]) -> float:
    """The median of those that are not nan; without any, what sees 60 degrees."""
    median = float(focals.nanmedian())
    return UNKNOWN_FOCAL * max(size) if median != median else median


def _limits(size: tuple[int, int]) -> tuple[float, float]:
    low, high = (limit * max(size) for limit in FOCAL_RANGE)
    return low, high
