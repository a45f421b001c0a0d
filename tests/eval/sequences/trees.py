"""Tiny data sets, laid out as the readers expect them."""

import struct
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def touch(path: Path) -> None:
    """An empty file: a reader that decodes it fails."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
    path.touch()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_picture(path: Path, level: int = 0, size: tuple[int, int] = (3, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), level, np.uint8)).save(path)


def write_values(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint16)).save(path)


def write_cam(path: Path, world_from_cam: np.ndarray, intrinsics: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.concatenate([intrinsics.ravel(), np.linalg.inv(world_from_cam)[:3].ravel()])
    path.write_bytes(struct.pack("<f21d", 202021.25, *numbers))


def matrix_text(matrix: np.ndarray) -> str:
    return "\n".join(" ".join(str(number) for number in row) for row in matrix) + "\n"


def camera_at(x: float) -> np.ndarray:
    world_from_cam = np.eye(4)
    world_from_cam[0, 3] = x
    return world_from_cam


def unzip_golden(golden: Path, folder: Path) -> Path:
    """Unpack the recorded miniature of the depth sets, and add the pictures that it does not have; give its data root.

    The decoy sequence alley_1 gets none.
    """
    with zipfile.ZipFile(golden / "eval" / "depth_tree.zip") as archive:
        archive.extractall(folder)
    root = folder / "data"
    for depth in root.rglob("*.dpt"):
        if depth.parent.name != "alley_1":
            touch(root / "sintel/training/final" / depth.parent.name / f"{depth.stem}.png")
    for depth in root.glob("bonn/*/*/depth_110/*.png"):
        touch(depth.parents[1] / "rgb_110" / depth.name)
    for depth in root.glob("kitti/*/*/groundtruth_depth_gathered/*/*.png"):
        touch(depth.parents[2] / "image_gathered" / depth.parent.name / depth.name)
    for depth in root.glob("nyu-v2/val/nyu_depths/*.npy"):
        touch(root / "nyu-v2/val/nyu_images" / f"{depth.stem}.png")
    return root
