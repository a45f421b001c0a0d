"""Pixels to align and score, for several tests."""

import numpy as np

from cut3r.metrics.depth_pairs import DepthPairs


def pairs_of(prediction, target, **options) -> DepthPairs:
    """Take two lists of pixels as they are."""
    pairs = DepthPairs(**options)
    pairs.append(np.asarray(prediction, np.float32), np.asarray(target))
    return pairs


def random_depths(seed: int, pixels: int, dtype=np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Draw true depths, and predictions with noise, another scale, a shift and outliers, some of them negative."""
    rng = np.random.default_rng(seed)
    target = rng.uniform(0.5, 9, pixels).astype(dtype)
    prediction = (target - rng.uniform(-1, 1)) / rng.uniform(0.5, 3) * rng.normal(1, 0.1, pixels)
    outliers = rng.random(pixels) < 0.05
    prediction[outliers] = rng.normal(0, 5, outliers.sum())
    return prediction.astype(np.float32), target


def l1(prediction, target, scale, shift=0.0) -> float:
    return float(np.abs(scale * np.float64(prediction) + shift - np.float64(target)).sum())
