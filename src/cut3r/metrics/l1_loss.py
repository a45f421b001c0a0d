"""The sum of |scale * prediction + shift - target| over a stream of pixels, fast where scale and shift move little.

Within a small box of scales and shifts most residuals cannot change their sign. Without the bars they are a linear
function, so such pixels are summed once and for all (settled), and only the others are looked at again.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from cut3r.metrics.depth_pairs import BLOCK, MEMORY_LIMIT, DepthPairs, PairBlock, PairSource
from cut3r.metrics.inner_product import inner_product


@dataclass(frozen=True)
class Box:
    """Scales within `scale_reach` of `scale`, and values of the line at the prediction `pivot` within `level_reach`.

    The line through the pixels is level + scale * (prediction - pivot). Scale and level can be chosen nearly
    independently if the pivot lies among the predictions; with pivot 0 the level is the shift.
    """

    scale: float
    level: float
    scale_reach: float
    level_reach: float
    pivot: float = 0.0

    def contains(self, scale: float, shift: float) -> bool:
        level = shift + scale * self.pivot
        return abs(scale - self.scale) <= self.scale_reach and abs(level - self.level) <= self.level_reach


@dataclass(frozen=True)
class L1Value:
    """The loss, and one of its subgradients: that in which a residual of 0 pulls neither way."""

    loss: float
    by_scale: float
    by_shift: float


class L1Loss:
    """The loss of some pixels: of `pairs` one by one, and of settled ones. All in float64."""

    def __init__(self, pairs: PairSource, settled: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        """Take the pairs, and of other pixels the signed sums of predictions, of 1 and of targets."""
        self.pairs = pairs
        self._settled = settled

    def at(self, scale: float, shift: float) -> L1Value:
        """Evaluate, in one pass."""
        by_scale, by_shift, constant = self._settled
        loss = scale * by_scale + shift * by_shift - constant
        room = np.empty(BLOCK)
        for _, prediction, residual in self._residuals(scale, shift, pivot=0.0):
            sign = np.sign(residual, out=room[: len(residual)])
            by_scale += inner_product(sign, prediction)
            by_shift += float(sign.sum())
            loss += inner_product(sign, residual)
        return L1Value(loss, by_scale, by_shift)

    @contextmanager
    def narrowed(self, box: Box) -> Iterator["L1Loss"]:
        """Lend the same loss, faster, for scales and shifts inside the box."""
        settled, room = np.array(self._settled), np.empty(BLOCK)
        with DepthPairs(keep_failed=True, memory_limit=MEMORY_LIMIT // 4) as unsettled:  # there may be several
            for block, offset, residual in self._residuals(box.scale, box.level, box.pivot):
                margin = np.abs(offset, out=room[: len(offset)])  # what the box can change
                margin *= box.scale_reach
                margin += box.level_reach
                above = residual > margin
                below = residual < np.negative(margin, out=margin)
                is_open = ~(above | below)  # a nan stays open
                sign = room[: len(offset)]
                np.subtract(above.view(np.int8), below.view(np.int8), out=sign)
                count, offsets = float(sign.sum()), inner_product(sign, offset)
                targets = box.scale * offsets + box.level * count - inner_product(sign, residual)
                settled += offsets + box.pivot * count, count, targets
                unsettled.append(block.prediction[is_open], block.target[is_open])
            by_scale, by_shift, constant = (float(total) for total in settled)
            yield L1Loss(unsettled, (by_scale, by_shift, constant))

    def _residuals(
        self, scale: float, level: float, pivot: float
    ) -> Iterator[tuple[PairBlock, Float64[np.ndarray, "n"], Float64[np.ndarray, "n"]]]:
        """Go through the blocks; give prediction - pivot and the residual, in buffers that are reused."""
        room = np.empty((2, BLOCK))
        for block in self.pairs.blocks():
            offset, residual = room[:, : len(block.target)]
            offset[:] = block.prediction
            offset -= pivot
            np.multiply(offset, scale, out=residual)
            residual += level
            residual -= block.target
            yield block, offset, residual


class FollowedLoss:
    """The loss along a path of small steps: boxes around the path, one inside the other, moved when the path leaves."""

    def __init__(self, pairs: PairSource, reaches: tuple[float, ...]) -> None:
        """Take the pairs and the half widths of the boxes, in scale and in shift, the widest first."""
        self._whole = L1Loss(pairs)
        self._reaches = reaches
        self._levels: list[tuple[Box, L1Loss, ExitStack]] = []

    def at(self, scale: float, shift: float) -> L1Value:
        """Evaluate, with a pass over what the innermost box leaves open."""
        while not all(box.contains(scale, shift) for box, *_ in self._levels):
            self._leave()
        for reach in self._reaches[len(self._levels) :]:
            outer = self._levels[-1][1] if self._levels else self._whole
            box, lent = Box(scale, shift, reach, reach), ExitStack()
            self._levels.append((box, lent.enter_context(outer.narrowed(box)), lent))
        return self._levels[-1][1].at(scale, shift)

    def close(self) -> None:
        """Forget the boxes."""
        while self._levels:
            self._leave()

    def _leave(self) -> None:
        self._levels.pop()[2].close()
