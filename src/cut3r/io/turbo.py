"""The turbo colour scale: blue is low, red is high."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_TURBO = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_TURBO).reshape(256, 3)[:, ::-1]  # rgb
_NOT_TOO_DARK = (0.08, 0.92)  # both ends of turbo are nearly black


def turbo(values: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
    """Map 0 to blue and 1 to red; values outside are clamped, NaN counts as 0."""
    low, high = _NOT_TOO_DARK
    clamped = np.clip(np.nan_to_num(values), 0.0, 1.0)
    return _TURBO[np.rint(255 * (low + (high - low) * clamped)).astype(np.uint8)]
