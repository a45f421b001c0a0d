"""TartanAir: the published files are already what training wants, except for the axes of the poses."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from cut3r.data.datasets.tartanair import TartanAir
from cut3r.files.listing import visible
from cut3r.geometry.poses import is_rotation, matrix_from_quaternion, pose_from_parts
from cut3r.io.numbers import read_rows
from datasets_preprocess.runner import Converter, RawScene, Writer

# The official calibration of every camera, for 640x480; the principal point is the corner-convention centre.
INTRINSICS = np.array([[320, 0, 320], [0, 320, 240], [0, 0, 1]], dtype=np.float32)
# OpenCV axes (right, down, forward) as axes of the NED camera (forward, right, down).
NED_FROM_OPENCV = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=np.float64)


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the trajectories RAW/<environment>/<Easy|Hard>/P###."""
    for folder in sorted(path for mode in ("Easy", "Hard") for path in visible(raw, f"*/{mode}/P*") if path.is_dir()):
        yield RawScene(folder.relative_to(raw).as_posix())


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a trajectory is made from."""
    return [raw / scene.name / part for part in ("image_left", "depth_left", "pose_left.txt")]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Copy images and depth, and write one camera file per frame.

    Raises:
        ValueError: The numbers of images, depth maps and poses differ, or a pose is no rigid motion.
    """
    folder = raw / scene.name
    images = visible(folder, "image_left/*_left.png")
    depths = visible(folder, "depth_left/*_left_depth.npy")
    poses = read_poses(folder / "pose_left.txt")
    if not len(images) == len(depths) == len(poses):
        raise ValueError(f"{len(images)} images, {len(depths)} depth maps and {len(poses)} poses; download it again")
    frames = [image.name.removesuffix("_left.png") for image in images]
    for frame, image, depth, pose in zip(frames, images, depths, poses, strict=True):
        writer.copy("rgb", scene.name, frame, image)
        writer.copy("depth", scene.name, frame, depth)
        camera = {"camera_pose": pose.astype(np.float32), "camera_intrinsics": INTRINSICS}
        writer.npz("camera", scene.name, frame, **camera)
    if writer.parity:  # 11_tartanair.md quirk 1: nothing reads the optical flow
        for frame, following in pairwise(frames):
            writer.copy("flow", scene.name, frame, folder / "flow" / f"{frame}_{following}_flow.npy")
            writer.copy("flow_mask", scene.name, frame, folder / "flow" / f"{frame}_{following}_mask.npy")
    return frames


def read_poses(path: Path) -> Float64[np.ndarray, "v 4 4"]:
    """Read lines "tx ty tz qx qy qz qw" of the NED camera; give world_from_cam of the OpenCV camera, in a NED world.

    Raises:
        ValueError: A line that is not seven finite numbers, or whose quaternion is no rotation.
    """
    numbers, lines = read_rows(path, 7, "tx ty tz qx qy qz qw")
    rows = torch.from_numpy(numbers)
    good = is_rotation(rows[:, [6, 3, 4, 5]]) & rows.isfinite().all(dim=1)
    if not good.all():
        line = lines[int((~good).nonzero()[0])]
        raise ValueError(f"{path}, line {line}: its pose is no rigid motion; expected a place and a unit quaternion")
    rotations = matrix_from_quaternion(rows[:, [6, 3, 4, 5]])
    return pose_from_parts(rotations, rows[:, :3]).numpy() @ NED_FROM_OPENCV


CONVERTER = Converter(TartanAir, 1, scenes, convert, sources=sources)
