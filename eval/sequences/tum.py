"""TUM RGB-D, dynamic objects: eight hand-held sequences at a desk, people sitting or walking; cameras from a tracker.

`python -m eval.prepare tum` makes `rgb_90` and `groundtruth_90.txt` (or another number, for the long variants).
"""

from pathlib import Path

import numpy as np

from cut3r.io.trajectory import read_tum
from eval.sequences.inventory import Found, Request, gather, list_files, number_in_name, shortage
from eval.sequences.sequence import Sequence

ADVICE = (
    "get https://cvg.cit.tum.de/rgbd/dataset/freiburg3/SEQUENCE.tgz, then run: "
    "python -m eval.prepare tum --raw DOWNLOAD --out {root}{length}"
)
SEQUENCES = tuple(
    f"rgbd_dataset_freiburg3_{who}_{motion}"
    for who in ("sitting", "walking")
    for motion in ("static", "xyz", "halfsphere", "rpy")
)
FRAMES = 90
LARGEST_GAP_S = 0.02  # between a picture and its camera, in the preparation


def open_poses(root: Path, request: Request) -> list[Sequence]:
    """Open the eight sequences with cameras and their time stamps; row i belongs to picture i.

    Raises:
        ValueError: A row's time stamp is not that of its picture (checked unless parity is asked for).
    """
    frames = request.frames or FRAMES

    def find(name: str) -> Found:
        images = list_files(folder / name / f"rgb_{frames}", ".png")
        truth = folder / name / f"groundtruth_{frames}.txt"
        if not images or not truth.is_file():
            return Found(None, (f"{name} ({truth.name})" if images else f"{name} (0 of {frames} frames)",))
        world_from_cam, times_s = read_tum(truth)
        if len(images) != len(times_s):
            return Found(None, (f"{name} ({len(images)} pictures but {len(times_s)} cameras)",))
        if not request.parity:
            _require_same_times(images, times_s, truth)
        sequence = Sequence(name, tuple(images), world_from_cam=world_from_cam, times_s=times_s)
        # A long variant ends where its sequence ends; every sequence has the published 90.
        return Found(sequence, shortage(name, len(images), min(frames, FRAMES), frames))

    folder = folder_of(root, request.frames)
    return gather(SEQUENCES, find, folder=folder, root=root, advice=ADVICE, request=request)


def folder_of(root: Path, frames: int | None) -> Path:
    """Give the folder of the prepared sequences; `frames` is None for the set as published."""
    return root / ("tum" if frames is None else "long_tum_s1")


def _require_same_times(images: list[Path], times_s: np.ndarray, truth: Path) -> None:
    gaps = np.abs(np.array([number_in_name(image) for image in images]) - times_s)
    if gaps.max() > LARGEST_GAP_S:
        worst = int(gaps.argmax())
        raise ValueError(
            f"{truth}, camera {worst + 1} is {gaps[worst]:.3f} s away from picture {images[worst].name}; expected "
            f"at most {LARGEST_GAP_S} s; the folder may mix two preparations: remove it and prepare it again"
        )
