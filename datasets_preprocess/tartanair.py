"""TartanAir: the published files are already what training wants, except for the axes of the poses."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from cut3r.geometry.poses import matrix_from_quaternion, pose_from_parts
from datasets_preprocess.runner import Converter, RawScene, Writer, require_rigid

# The official calibration of every camera, for 640x480; the principal point is the corner-convention centre.
INTRINSICS = np.array([[320, 0, 320], [0, 320, 240], [0, 0, 1]], dtype=np.float32)
# OpenCV axes (right, down, forward) as axes of the NED camera (forward, right, down).
NED_FROM_OPENCV = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=np.float64)


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the trajectories RAW/<environment>/<Easy|Hard>/P###."""
    for folder in sorted(path for mode in ("Easy", "Hard") for path in raw.glob(f"*/{mode}/P*") if path.is_dir()):
        yield RawScene(folder.relative_to(raw).as_posix())


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Copy images and depth, and write one camera file per frame.

    Raises:
        ValueError: The numbers of images, depth maps and poses differ.
    """
    folder = raw / scene.name
    images = sorted(folder.glob("image_left/*_left.png"))
    depths = sorted(folder.glob("depth_left/*_left_depth.npy"))
    poses = read_poses(folder / "pose_left.txt")
    if not len(images) == len(depths) == len(poses):
        raise ValueError(f"{len(images)} images, {len(depths)} depth maps and {len(poses)} poses; download it again")
    frames = [image.name.removesuffix("_left.png") for image in images]
    for frame, image, depth, pose in zip(frames, images, depths, poses, strict=True):
        require_rigid(pose, frame)
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
    """Read lines "tx ty tz qx qy qz qw" of the NED camera; give world_from_cam of the OpenCV camera, in a NED world."""
    rows = torch.from_numpy(np.loadtxt(path, ndmin=2))
    rotations = matrix_from_quaternion(rows[:, [6, 3, 4, 5]])
    return pose_from_parts(rotations, rows[:, :3]).numpy() @ NED_FROM_OPENCV


CONVERTER = Converter(
    "tartanair",
    "TartanAir: synthetic flights, metric, exact depth, 18 environments. https://theairlab.org/tartanair-dataset/",
    1,
    scenes,
    convert,
)
