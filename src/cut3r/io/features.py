"""Points in pictures that can be found again: SIFT for pictures far apart, optical flow for neighbours.

Pixels are (x, y) of the picture, (0, 0) is the centre of the top-left one. All functions are deterministic.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

WINDOW = (21, 21)  # pixels around a point that optical flow compares
LEVELS = 3  # halvings of the picture in which it does so
BACK_PX = 1.0  # forwards and back again, a point must come so close to where it started
CELLS = 12  # columns of the grid over which points are spread
FEWEST = 12  # matches from which two pictures have an epipolar geometry worth testing


@dataclass(frozen=True)
class Features:
    """Points with descriptors of unit length, the strongest of each part of the picture."""

    pixels: Float[np.ndarray, "k 2"]
    descriptors: Float[np.ndarray, "k 128"]

    def __len__(self) -> int:
        return len(self.pixels)


def grey(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


def detect(image: UInt8[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"] | None, limit: int) -> Features:
    """Find at most about `limit` points, spread over the picture, none where the mask is False.

    Source: Lowe 2004; the root of the descriptors: Arandjelovic and Zisserman 2012.
    """
    sift = cv2.SIFT.create(4 * limit, contrastThreshold=0.01)
    found, raw = sift.detectAndCompute(image, None if mask is None else mask.astype(np.uint8))
    if not found:
        return Features(np.zeros((0, 2)), np.zeros((0, 128), np.float32))
    pixels = np.array([point.pt for point in found], dtype=np.float64)
    strength = np.array([point.response for point in found])
    chosen = spread(pixels, strength, image.shape, limit)
    roots = np.sqrt(raw[chosen] / np.maximum(raw[chosen].sum(axis=1, keepdims=True), 1e-9))
    return Features(pixels[chosen], roots.astype(np.float32))


def spread(
    pixels: Float[np.ndarray, "k 2"], strength: Float[np.ndarray, "k"], size: tuple[int, ...], limit: int
) -> np.ndarray:
    """Rows of the strongest points of each cell of a grid, at most about `limit` in all, in ascending order.

    Of points at the same place (SIFT gives one per orientation) only the strongest stays.
    """
    side = max(size[1] / CELLS, 1.0)
    columns, rows = CELLS, max(1, int(np.ceil(size[0] / side)))
    cell = (pixels[:, 1] // side).astype(int) * columns + (pixels[:, 0] // side).astype(int).clip(0, columns - 1)
    quota = max(1, -(-limit // (columns * rows)))
    order = np.lexsort((-strength, cell))
    _, once = np.unique(pixels[order].round(1), axis=0, return_index=True)
    order = order[np.sort(once)]
    cell = cell[order]
    place = np.arange(len(order)) - np.searchsorted(cell, cell)  # the rank within the cell
    best = np.sort(order[place < quota])
    # empty cells leave room for the strongest of the others
    rest = np.setdiff1d(order, best)
    rest = rest[np.argsort(-strength[rest], kind="stable")][: max(0, limit - len(best))]
    return np.sort(np.concatenate((best, rest)))


def flow(
    first: UInt8[np.ndarray, "h w"],
    second: UInt8[np.ndarray, "h w"],
    pixels: Float[np.ndarray, "k 2"],
    guess: Float[np.ndarray, "k 2"],
) -> tuple[Float[np.ndarray, "k 2"], Bool[np.ndarray, "k"]]:
    """Follow points from one picture into the next, from where they are expected.

    Returns:
        Where they are, and which were found: forwards and back again ends where it began.

    Source: Lucas and Kanade 1981, with pyramids (Bouguet 2001).
    """
    if not len(pixels):
        return guess, np.zeros(0, dtype=bool)
    start, aim = pixels.astype(np.float32), guess.astype(np.float32)
    there, ok = _flow_once(first, second, start, aim)
    back, ok_back = _flow_once(second, first, there, start)
    h, w = second.shape
    inside = (there >= 0).all(axis=1) & (there[:, 0] <= w - 1) & (there[:, 1] <= h - 1)
    returns = np.linalg.norm(back - start, axis=1) < BACK_PX
    return there.astype(np.float64), ok & ok_back & inside & returns


def _flow_once(first: np.ndarray, second: np.ndarray, pixels: np.ndarray, aim: np.ndarray) -> tuple[np.ndarray, ...]:
    flags = cv2.OPTFLOW_USE_INITIAL_FLOW
    # a copy, because OpenCV writes the result over the first guess
    there, ok, _ = cv2.calcOpticalFlowPyrLK(
        first, second, pixels, aim.copy(), winSize=WINDOW, maxLevel=LEVELS, flags=flags
    )
    return there, ok[:, 0] > 0


def match(
    first: Features, second: Features, expected: Float[np.ndarray, "k 2"], radius: float, ratio: float
) -> np.ndarray:
    """Rows of both, [m, 2], that look alike and stand where they should.

    Args:
        expected: Where the first's points should be in the second picture; nan for those that are not seen there.
        radius: Pixels around it in which to look.
        ratio: The best must be nearer than this share of the distance to the second best.
    """
    if not len(first) or len(second) < 2:
        return np.zeros((0, 2), dtype=int)
    squared = np.square(expected).sum(axis=1)[:, None] + np.square(second.pixels).sum(axis=1)
    near = squared - 2 * expected @ second.pixels.T < radius**2
    likeness = np.where(near, first.descriptors @ second.descriptors.T, -1.0)
    best = likeness.argmax(axis=1)
    rows = np.arange(len(first))
    top = likeness[rows, best]
    likeness[rows, best] = -1.0
    runner_up = likeness.max(axis=1)
    likeness[rows, best] = top
    mutual = likeness.argmax(axis=0)[best] == rows
    # squared distances of unit vectors are 2 - 2 cos
    good = (top > 0) & mutual & (1 - top < ratio**2 * (1 - runner_up))
    return np.stack((rows[good], best[good]), axis=1)


def epipolar_inliers(
    first: Float[np.ndarray, "m 2"], second: Float[np.ndarray, "m 2"], threshold_px: float
) -> Bool[np.ndarray, "m"]:
    """Say which matches agree with one epipolar geometry; none where there are too few to tell.

    Source: RANSAC over the seven-point method, Hartley and Zisserman 2004, as OpenCV has it.
    """
    if len(first) < FEWEST:
        return np.zeros(len(first), dtype=bool)
    matrix, inliers = cv2.findFundamentalMat(first, second, cv2.FM_RANSAC, threshold_px, 0.999, 2000)
    return np.zeros(len(first), dtype=bool) if matrix is None else inliers[:, 0] > 0
