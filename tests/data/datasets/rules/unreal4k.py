"""Depth differs by rounding: the original divided in another version of NumPy."""

from pathlib import Path

import numpy as np


def differently(name: str, ours: Path, theirs: Path) -> bool:
    if not name.endswith("_depth.npy"):
        return False
    np.testing.assert_allclose(np.load(ours), np.load(theirs), rtol=1e-6)
    return True
