"""See the README of the recording."""

from pathlib import Path

import numpy as np
from PIL import Image

DEPTH = 1e-6  # relative
SAMPLES = {"grey": 2}  # resampled, a grey level becomes two
GREY = 1  # the original works partly in half precision


def differently(name: str, ours: Path, theirs: Path) -> bool:
    if name.endswith("_depth.npy"):
        first, second = np.load(ours), np.load(theirs)
        assert first.dtype == second.dtype
        np.testing.assert_allclose(first, second, rtol=DEPTH, err_msg=name)
        return True
    if name.endswith("_rgb.png"):
        with Image.open(ours) as first_image, Image.open(theirs) as second_image:
            first, second = np.asarray(first_image), np.asarray(second_image)
        assert first.shape == second.shape, name
        assert np.abs(first.astype(int) - second).max() <= GREY, name
        return True
    return False
