"""Cameras of Map-free Relocalization: as published (poses.txt, intrinsics.txt), or of a model of COLMAP."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from cut3r.files.damaged import naming_the_file
from cut3r.geometry.poses import invert, matrix_from_quaternion, pose_from_parts
from cut3r.io import colmap
from cut3r.io.numbers import read_lines
from datasets_preprocess.runner import require_rigid

Intrinsics = Float64[np.ndarray, "3 3"]
Pose = Float64[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Camera:
    """Intrinsics whose (0, 0) is the corner of the picture, as published, and world_from_cam."""

    intrinsics: Intrinsics
    world_from_cam: Pose


def read_published(poses: Path) -> dict[str, Camera]:
    """Read poses.txt ("<photo> qw qx qy qz tx ty tz", cam_from_world) and intrinsics.txt beside it ("<photo> fx fy cx
    cy W H"), if they are there.

    Raises:
        ValueError: A damaged file.
    """
    calibration = poses.with_name("intrinsics.txt")
    if not (poses.is_file() and calibration.is_file()):
        return {}
    intrinsics = {}
    for photo, (fx, fy, cx, cy, *_) in _rows(calibration, 6).items():
        intrinsics[photo] = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    cameras = {}
    for photo, row in _rows(poses, 7).items():
        numbers = torch.tensor(row, dtype=torch.float64)
        pose = invert(pose_from_parts(matrix_from_quaternion(numbers[:4]), numbers[4:])).numpy()
        require_rigid(pose, f"{poses}, {photo}")
        if photo in intrinsics:
            cameras[photo] = Camera(intrinsics[photo], pose)
    return cameras


def read_model(model: Path, photos: Path, *, parity: bool) -> tuple[dict[str, Path], dict[str, Camera]]:
    cameras_file, images_file = (
        path if (path := model / f"{name}.bin").is_file() else model / f"{name}.txt" for name in ("cameras", "images")
    )
    models = colmap.read_cameras(cameras_file)
    paths, cameras = {}, {}
    with naming_the_file(images_file):
        for image in sorted(colmap.read_images(images_file), key=lambda image: image.name):
            camera = models[image.camera]
            if camera.model != "PINHOLE" and not parity:
                raise ValueError(f"{image.name} is of a {camera.model} camera; expected PINHOLE, so undistort it first")
            fx, fy, cx, cy = [*camera.parameters.values()][:4]
            frame = Path(image.name).stem
            paths[frame] = photos / image.name
            cameras[frame] = Camera(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), image.world_from_cam)
    return paths, cameras


def _rows(path: Path, width: int) -> dict[str, list[float]]:
    rows = {}
    with naming_the_file(path):
        for line, (photo, *numbers) in read_lines(path):
            if len(numbers) != width:
                raise ValueError(f"line {line} has {len(numbers)} numbers; expected {width}")
            rows[photo] = [float(number) for number in numbers]
    return rows
