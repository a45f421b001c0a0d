"""Bonn: 110 frames of each scored sequence from its 30th on, or the first N from there.

A picture gets the depth and the camera that are closest in time. The reference counts instead: picture, depth and line
of the same number, from clocks that differ (quirk 18).
"""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from eval.prepare.archives import copy_files, download_folder
from eval.prepare.association import associate, read_rows
from eval.prepare.runner import Job, Order, Preparer
from eval.sequences.bonn import FRAMES, SEQUENCES, folder_of
from eval.sequences.inventory import list_files, number_in_name

logger = logging.getLogger(__name__)

START = 30  # the published numbers need it: from frame 0 on, AbsRel is 0.42 instead of 0.077


def jobs(order: Order) -> Iterator[Job]:
    frames = order.frames or FRAMES
    for name in SEQUENCES:
        folder = folder_of(order.out, order.frames) / f"rgbd_bonn_{name}"
        targets = (folder / f"depth_{frames}", folder / f"groundtruth_{frames}.txt", folder / f"rgb_{frames}")
        yield Job(name, targets, partial(make, order, name))


def make(order: Order, name: str, hidden: tuple[Path, ...]) -> str:
    """Copy the frames of a sequence.

    Raises:
        ValueError: It has fewer than the published 110, or none for a long variant.
    """
    archives = ["rgbd_bonn_dataset.zip"]
    with download_folder(f"rgbd_bonn_{name}", order.raw, archives, order.out, holding="rgb") as folder:
        images, depths = list_files(folder / "rgb", ".png"), list_files(folder / "depth", ".png")
        camera_times_s, cameras = read_rows(folder / "groundtruth.txt")
        if order.parity:
            chosen = list(zip(images[START:], depths[START:], cameras[START:], strict=False))
        else:
            chosen = _by_time(images, depths, camera_times_s, cameras)
        chosen = chosen[: order.frames or FRAMES]
        if not chosen or (order.frames is None and len(chosen) < FRAMES):
            raise ValueError(f"{folder} gives {len(chosen)} frames from number {START} on; expected {FRAMES}")
        depth_folder, truth_file, image_folder = hidden
        copy_files((depth for _, depth, _ in chosen), depth_folder)
        truth_file.write_text("".join(f"{' '.join(camera)}\n" for _, _, camera in chosen if camera))
        copy_files((image for image, _, _ in chosen), image_folder)
    return f"{len(chosen)} frames, paired by {'count, as the reference' if order.parity else 'time'}"


def _by_time(
    images: list[Path], depths: list[Path], camera_times_s: np.ndarray, cameras: list[list[str]]
) -> list[tuple[Path, Path, list[str]]]:
    """Pair pictures with depth; a picture without depth is left out, one without a camera has an empty row."""
    times_s = _stamps(images)
    depth_of = dict(associate(times_s, _stamps(depths)).tolist())
    camera_of = dict(associate(times_s, camera_times_s).tolist())
    left_out = [images[i].name for i in range(START, len(images)) if i not in depth_of]
    if left_out:
        logger.warning("%d pictures have no depth within 0.02 s and are left out, first %s", len(left_out), left_out[0])
    return [
        (images[i], depths[depth_of[i]], cameras[camera_of[i]] if i in camera_of else [])
        for i in range(START, len(images))
        if i in depth_of
    ]


def _stamps(paths: list[Path]) -> np.ndarray:
    return np.array([number_in_name(path) for path in paths])


PREPARER = Preparer(
    "bonn",
    "Bonn RGB-D dynamic: five sequences, 110 frames each",
    "rgbd_bonn_dataset.zip, packed or unpacked",
    jobs,
    by_length=True,
)
