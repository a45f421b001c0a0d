"""KITTI depth completion, validation drives: 13 drives of a car with sparse laser depth, at most 110 frames each.

`python -m eval.prepare kitti` makes the folders `image_gathered` and `groundtruth_depth_gathered`.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from cut3r.data.layout import read_png16
from eval.sequences.inventory import Found, Request, depth_reader, gather, list_files, pair, shortage
from eval.sequences.sequence import Sequence

ADVICE = (
    "get data_depth_annotated.zip and the synced raw data of the 13 drives from https://www.cvlibs.net/datasets/kitti, "
    "then run: python -m eval.prepare kitti --raw DOWNLOAD --out {root}{length}"
)
FRAMES = 110
DRIVES = {  # name of the drive: frames with true depth, as far as the set goes
    "2011_09_26_drive_0002": 67,
    "2011_09_26_drive_0005": 110,
    "2011_09_26_drive_0013": 110,
    "2011_09_26_drive_0020": 76,
    "2011_09_26_drive_0023": 110,
    "2011_09_26_drive_0036": 110,
    "2011_09_26_drive_0079": 90,
    "2011_09_26_drive_0095": 110,
    "2011_09_26_drive_0113": 77,
    "2011_09_28_drive_0037": 79,
    "2011_09_29_drive_0026": 110,
    "2011_09_30_drive_0016": 110,
    "2011_10_03_drive_0047": 110,
}
UNITS_PER_METRE = 256.0


def open_depth(root: Path, request: Request) -> list[Sequence]:
    """Open the 13 drives with depth (float64, -1 where nothing was measured)."""
    images_folder, depths_folder = folders_of(root, request.frames)

    def find(drive: str) -> Found:
        name = f"{drive}_sync_02"
        images, depths = list_files(images_folder / name, ".png"), list_files(depths_folder / name, ".png")
        pairs, missing = pair(images, depths, by_order=request.parity)
        missing += shortage(name, len(pairs), *_expected(drive, request.frames))
        reader = depth_reader((depth for _, depth in pairs), read_depth)
        return Found(Sequence(name, tuple(image for image, _ in pairs), reader) if pairs else None, missing)

    return gather(DRIVES, find, folder=images_folder.parent, root=root, advice=ADVICE, request=request)


def folders_of(root: Path, frames: int | None) -> tuple[Path, Path]:
    """Give the prepared folders of pictures and depth; `frames` is None for the set as published."""
    folder = root / ("kitti" if frames is None else "long_kitti_s1") / "depth_selection" / "val_selection_cropped"
    suffix = "" if frames is None else f"_{frames}"
    return folder / f"image_gathered{suffix}", folder / f"groundtruth_depth_gathered{suffix}"


def read_depth(path: Path) -> Float64[np.ndarray, "h w"]:
    """Read a depth map of KITTI: metres, -1 where nothing was measured.

    Raises:
        ValueError: No value is above 255 (0.996 m) but some are known: an 8-bit picture of the depth.
    """
    values = read_png16(path)
    if 0 < values.max() <= 255:
        raise ValueError(f"{path} holds nothing above 255; expected 16-bit depth in 1/256 m; unpack it again")
    return np.where(values == 0, -1.0, values / UNITS_PER_METRE)


def _expected(drive: str, frames: int | None) -> tuple[int, int]:
    """The least and the most frames: the shorter drives end early, and how far the others go is not recorded."""
    known = DRIVES[drive]
    if frames is None:
        return known, known
    return min(frames, known), frames if known == FRAMES else min(frames, known)
