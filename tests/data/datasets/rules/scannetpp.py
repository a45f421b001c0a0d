"""See the README of the recording."""

from pathlib import Path

import numpy as np
from PIL import Image

from datasets_preprocess.scannetpp import ScanNetppOptions

SAMPLES = {"depth": 0.0011}  # a millimetre: where the original renders depth is not known that well
OPTIONS = ScanNetppOptions(target_height=1, target_width=92)


def differently(name: str, ours: Path, theirs: Path) -> bool:
    """98 % of the pixels lie in the range of their neighbourhood: the original's renderer samples elsewhere."""
    if "/depth/" not in name:
        return False
    with Image.open(ours) as first, Image.open(theirs) as second:
        depth, recorded = np.asarray(first).astype(int), np.asarray(second).astype(int)
    h, w = recorded.shape
    padded = np.pad(recorded, 1, mode="edge")
    near = np.stack([padded[y : y + h, x : x + w] for y in range(3) for x in range(3)])
    inside = (depth >= near.min(0) - 1) & (depth <= near.max(0) + 1)
    assert inside.mean() >= 0.98, f"{ours}: {inside.mean():.1%} of the pixels"
    return True
