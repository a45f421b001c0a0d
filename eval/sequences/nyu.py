"""NYU Depth v2, the 654 test pictures: indoor photos with depth, for the protocol of single frames.

`python -m eval.prepare nyu` makes the folders `nyu_images` and `nyu_depths`.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from cut3r.data.layout import read_npy
from eval.sequences.inventory import Found, Request, depth_reader, gather, list_files, pair, shortage
from eval.sequences.sequence import Sequence

ADVICE = (
    "get nyu_depth_v2_labeled.mat and splits.mat from https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html (or "
    "val-*.tar of the release for FastDepth), then run: python -m eval.prepare nyu --raw DOWNLOAD --out {root}"
)
FRAMES = 654


def open_depth(root: Path, request: Request) -> list[Sequence]:
    """Open the test pictures as one sequence named nyu (float32 depth); they are no video."""
    folder = folder_of(root)

    def find(name: str) -> Found:
        images, depths = list_files(folder / "nyu_images", ".png"), list_files(folder / "nyu_depths", ".npy")
        pairs, missing = pair(images, depths, by_order=request.parity)
        missing += shortage(name, len(pairs), FRAMES)
        reader = depth_reader((depth for _, depth in pairs), read_depth)
        return Found(Sequence(name, tuple(image for image, _ in pairs), reader) if pairs else None, missing)

    return gather(["nyu"], find, folder=folder, root=root, advice=ADVICE, request=request)


def folder_of(root: Path) -> Path:
    """Give the folder of the prepared pictures and depth maps (the reference downloads to nyu_v2 but reads nyu-v2)."""
    return root / "nyu-v2" / "val"


def read_depth(path: Path) -> Float32[np.ndarray, "h w"]:
    """Read a depth map of NYU: metres."""
    depth = read_npy(path)
    if depth.ndim != 2:
        raise ValueError(f"{path} has the shape {depth.shape}; expected a depth map (h, w); prepare it again")
    return depth.astype(np.float32)
