"""ScanNet v2, test scans: 100 rooms, hand-held, every 3rd frame; cameras from BundleFusion, some of them lost.

`python -m eval.prepare scannet` makes `color_90` and `pose_90.txt` (or another number, for the long variants).
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from cut3r.io.numbers import read_rows
from eval.sequences.inventory import Found, Request, gather, list_files, number_in_name, shortage
from eval.sequences.sequence import Sequence

ADVICE = (
    "get scans_test from http://www.scan-net.org (access on request), then run: "
    "python -m eval.prepare scannet --raw DOWNLOAD --out {root}{length}"
)
SCENES = tuple(f"scene{number:04d}_00" for number in range(707, 807))
FRAMES = 90


def open_poses(root: Path, request: Request) -> list[Sequence]:
    """Open the 100 scenes with cameras; a camera whose tracking was lost is -inf. Line i belongs to frame_<i>.jpg."""
    frames = request.frames or FRAMES

    def find(name: str) -> Found:
        images = list_files(folder / name / f"color_{frames}", ".jpg")
        truth = folder / name / f"pose_{frames}.txt"
        if not images or not truth.is_file():
            return Found(None, (f"{name} ({truth.name})" if images else f"{name} (0 of {frames} frames)",))
        cameras = read_cameras(truth)
        present = {number_of(image): image for image in images}
        numbers = sorted(present.keys() & range(len(cameras)))
        missing = shortage(name, len(numbers), FRAMES if request.frames is None else 1, frames)
        if len(present) != len(numbers) or len(cameras) != len(numbers):
            missing += (f"{name} ({len(present)} pictures but {len(cameras)} cameras)",)
        if not numbers:
            return Found(None, missing)
        return Found(Sequence(name, tuple(present[i] for i in numbers), world_from_cam=cameras[numbers]), missing)

    folder = folder_of(root, request.frames)
    return gather(SCENES, find, folder=folder, root=root, advice=ADVICE, request=request)


def folder_of(root: Path, frames: int | None) -> Path:
    """Give the folder of the prepared scenes; `frames` is None for the set as published."""
    return root / ("scannetv2" if frames is None else "long_scannet_s3")


def read_cameras(path: Path) -> Float64[np.ndarray, "v 4 4"]:
    """Read world_from_cam matrices, one per line; what was lost is not finite.

    Raises:
        ValueError: A line that is not sixteen numbers.
    """
    rows, _ = read_rows(path, 16, "a 4x4 matrix")
    return rows.reshape(-1, 4, 4)


def number_of(image: Path) -> int:
    """Tell the line of a picture's camera from its name, frame_<line>.jpg."""
    return int(number_in_name(image, "frame_"))
