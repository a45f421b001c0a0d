"""Exact weighted medians of numbers that are too many to sort, in two passes (float32) or four (float64).

Floating-point numbers of one sign are ordered like their bits. A pass weighs the values by their next 16 bits, among
those that share all bits found so far, and finds in which of the 65,536 bins the median lies: a radix selection.
"""

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float

DIGIT_BITS = 16
BINS = 2**DIGIT_BITS
_RISING = np.arange(BINS)
_FALLING = _RISING[::-1]  # the more negative a number, the larger its bits
_SIGNED = np.concatenate((_FALLING[: BINS // 2], _RISING[: BINS // 2]))  # the first bit is the sign

Column = tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"] | None]  # values, and weights where they are not all 1


def stream_medians(passes: Callable[[], Iterable[tuple[Column, ...]]]) -> tuple[float, ...]:
    """Find the weighted median of each of some columns of numbers; one pass serves all.

    The median is the smallest value at which half of the weight is reached: with equal weights the lower median, number
    (n - 1) // 2 of the sorted values, counted from 0. A nan has no weight; where nothing has, the median is nan.

    Args:
        passes: Starts a pass over blocks of the same columns with the same content, float32 or float64. Weights are not
            negative.

    Raises:
        ValueError: There are no blocks.
    """
    searches: list[MedianSearch] = []
    while not searches or not all(search.done for search in searches):
        for columns in passes():
            searches = searches or [MedianSearch(values.dtype) for values, _ in columns]
            for search, (values, weights) in zip(searches, columns, strict=True):
                if not search.done:
                    search.weigh(values, weights)
        if not searches:
            raise ValueError("there are no numbers, so there is no median; check that any pixel is valid")
        for search in searches:
            if not search.done:
                search.refine()
    return tuple(search.value for search in searches)


class MedianSearch:
    """The state of one search between passes."""

    def __init__(self, dtype: np.dtype) -> None:
        self._float = dtype
        self._bits = np.dtype(f"u{dtype.itemsize}")
        self._shift = 8 * dtype.itemsize - DIGIT_BITS  # of the digit that is looked for
        self._prefix = 0  # the bits before it, as a number
        self._weight_in_bin = np.zeros(BINS)
        self._half: float | None = None  # the weight to reach among the values that share the prefix

    @property
    def done(self) -> bool:
        return self._shift < 0

    @property
    def value(self) -> float:
        """The median, once done."""
        return float(np.array(self._prefix, self._bits).view(self._float))

    def weigh(self, values: Float[np.ndarray, "n"], weights: Float[np.ndarray, "n"] | None) -> None:
        """Look at a block of a pass."""
        bits = values.view(self._bits)
        relevant = ~np.isnan(values)
        if self._half is not None:
            relevant &= (bits >> (self._shift + DIGIT_BITS)) == self._prefix
        if not relevant.all():
            bits, weights = bits[relevant], None if weights is None else weights[relevant]
        digits = ((bits >> self._shift) & (BINS - 1)).astype(np.intp)
        self._weight_in_bin += np.bincount(digits, weights, minlength=BINS)

    def refine(self) -> None:
        """Settle the digit after a pass."""
        if self._half is None:
            order, self._half = _SIGNED, self._weight_in_bin.sum() / 2
            if self._half == 0:
                self._prefix, self._shift = int(np.array(np.nan, self._float).view(self._bits)), -1
                return
        else:
            order = _FALLING if self._is_negative else _RISING
        reached = self._weight_in_bin[order].cumsum()
        position = np.searchsorted(reached, self._half)
        # rounding of the sums of weights can make the half unreachable by a hair: then it is the last value
        position = min(position, np.searchsorted(reached, reached[-1]))
        self._half -= reached[position - 1] if position else 0.0
        self._prefix = (self._prefix << DIGIT_BITS) | int(order[position])
        self._shift -= DIGIT_BITS
        self._weight_in_bin = np.zeros(BINS)

    @property
    def _is_negative(self) -> bool:
        found = 8 * self._bits.itemsize - DIGIT_BITS - self._shift  # bits
        return bool(self._prefix >> (found - 1))
