"""KITTI: the first 110 frames with depth of each validation drive, or the first N."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from eval.prepare.archives import copy_files, download_folder
from eval.prepare.runner import Job, Order, Preparer
from eval.sequences.inventory import list_files
from eval.sequences.kitti import DRIVES, FRAMES, folders_of

logger = logging.getLogger(__name__)

DATE = len("2011_09_26")


def jobs(order: Order) -> Iterator[Job]:
    images, depths = folders_of(order.out, order.frames)
    for drive in DRIVES:
        name = f"{drive}_sync_02"
        yield Job(name, (depths / name, images / name), partial(make, order, drive))


def make(order: Order, drive: str, hidden: tuple[Path, ...]) -> str:
    """Copy depth, and the pictures of the same names.

    A depth map without a picture is left out, with a warning. Parity: it is copied, which shifts the pairs that follow
    (quirk 19).

    Raises:
        ValueError: The drive has no depth.
    """
    annotated, data = f"val/{drive}_sync/proj_depth/groundtruth/image_02", f"{drive[:DATE]}/{drive}_sync/image_02/data"
    with (
        download_folder(annotated, order.raw, ["data_depth_annotated.zip"], order.out) as depth_folder,
        download_folder(data, order.raw, [f"{drive}_sync.zip"], order.out) as image_folder,
    ):
        depths = list_files(depth_folder, ".png")[: order.frames or FRAMES]
        if not depths:
            raise ValueError(f"{depth_folder} holds no depth map; download it again")
        there = {path.name for path in list_files(image_folder, ".png")}
        lonely = [depth.name for depth in depths if depth.name not in there]
        if lonely:
            logger.warning("%s: %d depth maps have no picture, first %s", drive, len(lonely), lonely[0])
        images = [image_folder / depth.name for depth in depths if depth.name in there]
        copy_files((depth for depth in depths if order.parity or depth.name in there), hidden[0])
        copy_files(images, hidden[1])
    return f"{len(images)} frames"


PREPARER = Preparer(
    "kitti",
    "KITTI depth completion: 13 validation drives, at most 110 frames each",
    "data_depth_annotated.zip and the 13 <drive>_sync.zip of the raw data, packed or unpacked",
    jobs,
    by_length=True,
)
