"""A walk along textured walls, and the raw formats of datasets that lack depth: what multi-view stereo is made for."""

import struct
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from cut3r.data.view import RawFrame
from tests.data.datasets.colmap_model import write_model
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks.mapfree import pose_line

SIZE = (96, 128)
FRAMES = 5
STEP_M = 0.25
FOCAL = 0.86  # by the width
WALLS = ((2, 5.0), (1, 1.2), (0, 3.5), (0, -3.0), (1, -1.8))  # axis and place (metres) of planes around the camera
BOX = np.array([[-0.9, -0.3, 2.8], [0.5, 1.2, 3.4]])  # stands in front of the far wall
SAMPLES = 2  # rays per pixel and axis


def textured_walk(seed: int = 0, size: tuple[int, int] = SIZE, frames: int = FRAMES) -> list[RawFrame]:
    """Walk sideways, looking around a little; y is down, the far wall ahead."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(0, 1, (60, 3)) * rng.uniform(2, 25, (60, 1)), rng.uniform(0, 2 * np.pi, 60)
    h, w = size
    intrinsics = np.array([[FOCAL * w, 0, (w - 1) / 2], [0, FOCAL * w, (h - 1) / 2], [0, 0, 1]])
    walk = []
    for number in range(frames):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("yx", rng.normal(0, 2, 2), degrees=True).as_matrix()
        pose[:3, 3] = (number - frames / 2) * STEP_M, rng.normal(0, 0.05), rng.normal(0, 0.05)
        walk.append(_see(size, intrinsics, pose, waves))
    return walk


def _see(size: tuple[int, int], intrinsics: np.ndarray, pose: np.ndarray, waves: tuple) -> RawFrame:
    offsets = (np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5
    color = np.mean([_paint(_hit(size, intrinsics, pose, (x, y))[1], waves) for x in offsets for y in offsets], axis=0)
    return RawFrame(
        color.astype(np.uint8), _hit(size, intrinsics, pose, (0.0, 0.0))[0].astype(np.float32), intrinsics, pose
    )


def _hit(size: tuple[int, int], intrinsics: np.ndarray, pose: np.ndarray, offset: tuple[float, float]) -> tuple:
    """Depth of the nearest surface, and its point in the world."""
    v, u = np.mgrid[: size[0], : size[1]].astype(np.float64)
    rays = np.stack((u + offset[0], v + offset[1], np.ones_like(u)), -1) @ np.linalg.inv(intrinsics).T @ pose[:3, :3].T
    origin = pose[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        walls = np.stack([(place - origin[axis]) / rays[..., axis] for axis, place in WALLS])
        near, far = np.sort((BOX[:, None, None] - origin) / rays, axis=0)
    depth = np.where(walls > 0, walls, np.inf).min(axis=0)
    enter, leave = near.max(axis=-1), far.min(axis=-1)
    depth = np.where((enter > 0) & (enter < leave), np.minimum(depth, enter), depth)
    return depth, origin + depth[..., None] * rays


def _paint(points: np.ndarray, waves: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Waves of all directions; for each colour another third of them."""
    values = np.sin(points @ waves[0].T + waves[1]).reshape(*points.shape[:-1], 3, -1).sum(axis=-1)
    return np.clip(127 + 20 * values, 0, 255)


def write_mapfree(raw: Path, walk: list[RawFrame]) -> None:
    """One video, with poses.txt and intrinsics.txt, without a model."""
    train, poses, calibration = raw / "train/s00000", [], []
    (train / "seq0").mkdir(parents=True)
    h, w = walk[0].size
    k = walk[0].intrinsics
    for number, frame in enumerate(walk):
        photo = f"seq0/frame_{number:05d}.jpg"
        Image.fromarray(frame.rgb).save(train / photo, quality=95)
        poses.append(f"{photo} {pose_line(frame.world_from_cam)}")
        calibration.append(f"{photo} {k[0, 0]} {k[1, 1]} {k[0, 2] + 0.5} {k[1, 2] + 0.5} {w} {h}")
    (train / "poses.txt").write_text("\n".join(poses) + "\n")
    (train / "intrinsics.txt").write_text("\n".join(calibration) + "\n")


def write_dl3dv(raw: Path, walk: list[RawFrame]) -> str:
    """A workspace without stereo, with a model that has points; gives the name of the scene."""
    name = f"3K/{'c4' * 32}"
    workspace, k = raw / name / "dense", walk[0].intrinsics
    parameters = [k[0, 0], k[1, 1], k[0, 2] + 0.5, k[1, 2] + 0.5]
    images = []
    for number, frame in enumerate(walk, start=1):
        save_image(workspace / "images" / f"frame_{number:05d}.png", frame.rgb)
        images.append((f"frame_{number:05d}.png", 1, np.linalg.inv(frame.world_from_cam)))
    write_model(workspace / "sparse", {1: ("PINHOLE", walk[0].size, parameters)}, images)
    write_points(workspace / "sparse/points3D.bin", walk)
    return name


def write_points(path: Path, walk: list[RawFrame], step: int = 8) -> None:
    """Points of each frame, with the frames that see them at that depth."""
    data, count = b"", 0
    for frame in walk:
        v, u = np.mgrid[step // 2 : frame.size[0] : step, step // 2 : frame.size[1] : step]
        depth = frame.depth[v, u]
        rays = np.stack((u, v, np.ones_like(u)), -1) @ np.linalg.inv(frame.intrinsics).T * depth[..., None]
        for point in (rays @ frame.world_from_cam[:3, :3].T + frame.world_from_cam[:3, 3]).reshape(-1, 3):
            seen = [number for number, other in enumerate(walk, start=1) if _sees(other, point)]
            count += 1
            data += struct.pack("<Q3d3BdQ", count, *point, 1, 2, 3, 0.5, len(seen))
            data += b"".join(struct.pack("<ii", number, 0) for number in seen)
    path.write_bytes(struct.pack("<Q", count) + data)


def _sees(frame: RawFrame, point: np.ndarray) -> bool:
    x, y, z = frame.intrinsics @ (frame.world_from_cam[:3, :3].T @ (point - frame.world_from_cam[:3, 3]))
    if z <= 0:
        return False
    column, row = round(x / z), round(y / z)
    h, w = frame.size
    return 0 <= column < w and 0 <= row < h and abs(frame.depth[row, column] / z - 1) < 0.03
