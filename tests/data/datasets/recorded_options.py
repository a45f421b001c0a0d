"""What the recordings of single datasets were made with, and how far their files may differ from ours.

One entry per dataset that needs one; see the dataset's README in shared/golden/datasets.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasets_preprocess.scannetpp import ScanNetppOptions

OPTIONS: dict[str, Any] = {"scannetpp": ScanNetppOptions(target_height=1, target_width=92)}
TOLERANCES: dict[str, float] = {}  # of arrays and float depth, relative


def differently(slug: str, name: str, ours: Path, theirs: Path) -> bool:
    """Compare a file by a rule of its own; False if the general rule holds for it."""
    if slug == "scannetpp" and "/depth/" in name:
        _rendered_depth(ours, theirs)
        return True
    return False


def _rendered_depth(ours: Path, theirs: Path) -> None:
    """98 % of the pixels lie in the range of their neighbourhood: the original's renderer samples elsewhere."""
    with Image.open(ours) as first, Image.open(theirs) as second:
        depth, recorded = np.asarray(first).astype(int), np.asarray(second).astype(int)
    h, w = recorded.shape
    padded = np.pad(recorded, 1, mode="edge")
    near = np.stack([padded[y : y + h, x : x + w] for y in range(3) for x in range(3)])
    inside = (depth >= near.min(0) - 1) & (depth <= near.max(0) + 1)
    assert inside.mean() >= 0.98, f"{ours}: {inside.mean():.1%} of the pixels"
