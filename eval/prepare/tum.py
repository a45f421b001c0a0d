"""TUM dynamics: pictures and cameras paired by time; every 3rd pair, the first 90; or the first N pairs."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from eval.prepare.archives import copy_files, download_folder
from eval.prepare.association import associate, read_rows
from eval.prepare.runner import Job, Order, Preparer
from eval.sequences.tum import FRAMES, SEQUENCES, folder_of

STEP = 3  # of the published set; the long variants take every pair


def jobs(order: Order) -> Iterator[Job]:
    frames = order.frames or FRAMES
    for name in SEQUENCES:
        folder = folder_of(order.out, order.frames) / name
        targets = (folder / f"groundtruth_{frames}.txt", folder / f"rgb_{frames}")
        yield Job(name, targets, partial(make, order, name))


def make(order: Order, name: str, hidden: tuple[Path, ...]) -> str:
    """Copy the pictures of a sequence and write their cameras, under the time stamps of the tracker.

    Raises:
        ValueError: It has fewer than the published 90 frames, or none for a long variant.
    """
    with download_folder(name, order.raw, [f"{name}.tgz"], order.out, holding="rgb.txt") as folder:
        image_times_s, images = read_rows(folder / "rgb.txt")
        camera_times_s, cameras = read_rows(folder / "groundtruth.txt")
        pairs = associate(image_times_s, camera_times_s)
        pairs = pairs[::STEP][:FRAMES] if order.frames is None else pairs[: order.frames]
        if len(pairs) == 0 or (order.frames is None and len(pairs) < FRAMES):
            raise ValueError(f"{folder} gives {len(pairs)} pictures with a camera; expected {FRAMES}")
        truth_file, image_folder = hidden
        truth_file.write_text("".join(f"{' '.join(cameras[j])}\n" for _, j in pairs))
        copy_files((folder / images[i][1] for i, _ in pairs), image_folder)
    return f"{len(pairs)} frames"


PREPARER = Preparer(
    "tum",
    "TUM RGB-D, dynamic objects: eight sequences, 90 frames each",
    "the eight rgbd_dataset_freiburg3_*.tgz, packed or unpacked",
    jobs,
    by_length=True,
)
