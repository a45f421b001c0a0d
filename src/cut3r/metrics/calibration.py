"""Does a confidence know where the errors are? The area under the sparsification error, AUSE.

Leave out the least confident pixels, more and more of them: the mean error of the others should fall, at best as if one
had left out the pixels with the largest errors. The area between the two curves is 0 for a confidence that sorts the
pixels like their errors do.
"""

import numpy as np
from jaxtyping import Float, Float64, Num


def ause(errors: Float[np.ndarray, "n"], confidence: Num[np.ndarray, "n"]) -> float:
    """Give the area between the curves, in units of the mean error of all pixels: 0 at best; a confidence that says
    nothing gets the area above the best curve. 0 where nothing is wrong.

    Args:
        errors: Not negative, finite.
        confidence: More is surer; only the order counts. Pixels of the same confidence are left out in random order (by
            its expectation).

    Raises:
        ValueError: There are no pixels.

    Source: Ilg et al. 2018, section 5.2.
    """
    if not len(errors):
        raise ValueError("there are no pixels, so there is no curve; leave such pictures out and say how many")
    errors = errors.astype(np.float64)
    mean = errors.mean()
    if mean == 0:
        return 0.0
    _, group = np.unique(confidence, return_inverse=True)
    alike = np.bincount(group, errors) / np.bincount(group)  # by group: what is expected of each of its pixels
    by_confidence = _mean_of_first(alike[np.sort(group)[::-1]])
    return float((by_confidence - _mean_of_first(np.sort(errors))).mean() / mean)


def _mean_of_first(errors: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """Mean of the first 1, 2, ... n."""
    return np.cumsum(errors) / np.arange(1, len(errors) + 1)
