"""Sums of products that do not wait for other processor cores."""

import numpy as np
from jaxtyping import Float

PORTION = 8192  # from 10,000 numbers on OpenBLAS starts threads for a product that takes microseconds without them


def inner_product(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> float:
    """Sum a * b; portions in the precision of the input, their sum in float64.

    On a machine that does other things too, a thread that has to wait for its core costs a thousand times the sum.
    """
    return sum(float(a[i : i + PORTION].dot(b[i : i + PORTION])) for i in range(0, len(a), PORTION))
