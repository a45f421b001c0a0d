"""Sky in pictures, by colour and texture alone: no network, and rather too little than too much."""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

BLUR_PX = 1.5  # deviation: noise goes, details of leaves and walls stay
SMOOTH = 0.02  # change of brightness (0 ... 1) per pixel, of pictures with the longer side below
LONG_SIDE = 512  # pixels at which pictures are looked at
BLUE, BLUER = 0.12, 0.04  # blue less red, and less green, of a clear sky; walls are rather violet or green
BRIGHT, GREY = 0.75, 0.1  # brightness of a cloudy one, and the range of its three colours; blue is not below red
LEAST_SHARE = 0.01  # of the picture
LEAST_TOP = 0.1  # of the upper border
CONTRAST = 0.12  # of colours on both sides of its lower border, on the average
BRIGHTER = 0.1  # than the rest of the picture; where it is not blue
MOST_KNOWN = 0.2  # the share of a piece of sky that may have depth: more, and it is a wall


def find_sky(
    rgb: UInt8[np.ndarray, "h w 3"], depth: Float32[np.ndarray, "h w"] | None = None
) -> Bool[np.ndarray, "h w"]:
    """Mark the sky: what is smooth, blue or bright, connected with the upper border, and ends at an edge.

    A ceiling may look like a cloudy sky; it is told apart as far as it is no brighter than the rest or ends softly, or
    has depth. Sky between leaves, at dusk and in mirrors is not found.

    Args:
        depth: By another means, 0 where it is not known. What has depth is no sky.
    """
    h, w = rgb.shape[:2]
    scale = min(1.0, LONG_SIDE / max(h, w))
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    known = None if depth is None else cv2.resize((depth > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    found = _find(cv2.GaussianBlur(small, (0, 0), BLUR_PX), known)
    mask = cv2.resize(found.astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST)
    sky: Bool[np.ndarray, "h w"] = mask.astype(bool)
    return sky if depth is None else sky & ~(depth > 0)


def _find(color: np.ndarray, known: np.ndarray | None) -> Bool[np.ndarray, "h w"]:
    brightness = color.mean(axis=-1)
    slope = np.hypot(*(cv2.Sobel(brightness, cv2.CV_32F, *axis, ksize=3, scale=1 / 8) for axis in ((1, 0), (0, 1))))
    red, green, cool = color[..., 0], color[..., 1], color[..., 2]
    blue = (cool > red + BLUE) & (cool > green + BLUER) & (green >= red)
    cloudy = (brightness > BRIGHT) & (np.ptp(color, axis=-1) < GREY) & (cool >= red)
    candidate = (slope < SMOOTH) & (blue | cloudy)
    _, pieces = cv2.connectedComponents(candidate.astype(np.uint8), connectivity=4)
    sky = np.zeros(candidate.shape, bool)
    for number in np.unique(pieces[0]).tolist():  # 0: no candidate
        piece = pieces == number
        if number and _is_sky(piece, color, brightness, float(blue[piece].mean()), known):
            sky |= piece
    return _closed(sky) if sky.any() else sky


def _is_sky(
    piece: Bool[np.ndarray, "h w"], color: np.ndarray, brightness: np.ndarray, blue: float, known: np.ndarray | None
) -> bool:
    """Decide on a piece that touches the upper border."""
    if piece.mean() < LEAST_SHARE or piece[0].mean() < LEAST_TOP:
        return False
    if known is not None and known[piece].mean() > MOST_KNOWN:
        return False
    rest = brightness[~piece]
    if blue < 0.5 and len(rest) and brightness[piece].mean() < np.median(rest) + BRIGHTER:
        return False
    return _contrast(piece, color) > CONTRAST


def _contrast(piece: Bool[np.ndarray, "h w"], color: np.ndarray) -> float:
    """How much colours differ a few pixels above and below its lower border; without one, nothing speaks for sky."""
    h = len(piece)
    reach = max(round(4 * BLUR_PX), h // 40)  # beyond the seam of the blur
    last = h - 1 - piece[::-1].argmax(axis=0)  # of each column
    columns = np.flatnonzero(piece.any(axis=0) & (last < h - 1 - reach))
    if not len(columns):
        return 0.0
    rows = last[columns]
    above, below = color[np.maximum(rows - reach // 3, 0), columns], color[rows + reach, columns]
    return float(np.abs(above - below).mean())


def _closed(sky: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Fill small holes, and the seam that the blur has left along edges."""
    kernel = np.ones((5, 5), np.uint8)
    wide = cv2.copyMakeBorder(sky.astype(np.uint8), 4, 4, 4, 4, cv2.BORDER_REPLICATE)
    closed = cv2.dilate(cv2.erode(cv2.dilate(wide, kernel), kernel), np.ones((3, 3), np.uint8))[4:-4, 4:-4]
    filled: Bool[np.ndarray, "h w"] = closed.astype(bool)
    return filled
