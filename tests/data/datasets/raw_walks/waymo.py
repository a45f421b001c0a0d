"""A laser in the camera's place looks along the rays of some pixels."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from cut3r.data.view import RawFrame
from datasets_preprocess.waymo_frames import Camera, Laser, Picture, Sweep, WaymoFrame
from datasets_preprocess.waymo_lidar import OPENCV_FROM_FORWARD, rotations
from tests.data.datasets.raw_walks import render_walk
from tests.data.datasets.raw_waymo import SEGMENT, write_v1

KNOWN = 0.01  # lasers are sparse
SIZE, ROWS, COLUMNS = (192, 256), 48, 480
RISING = np.linspace(-0.3, 0.3, ROWS)


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_walk(SIZE, frames=3)
    write_v1(raw, [waymo_frame(number, frame) for number, frame in enumerate(frames)])
    return {f"{SEGMENT}/1": frames}


def waymo_frame(number: int, frame: RawFrame) -> WaymoFrame:
    mounted = np.eye(4)
    mounted[:3, :3] = Rotation.from_euler("z", 0.3).as_matrix()
    mounted[:3, 3] = 1.5, 0.1, 2
    world_from_vehicle = frame.world_from_cam @ OPENCV_FROM_FORWARD @ np.linalg.inv(mounted)
    camera = Camera(1, frame.size, frame.intrinsics, np.zeros(5), mounted)
    jpeg = io.BytesIO()
    Image.fromarray(frame.rgb).save(jpeg, "JPEG", quality=95)
    picture = Picture(1, jpeg.getvalue(), world_from_vehicle)
    sweep = look(frame, Laser(1, RISING, (0, 0), mounted), world_from_vehicle)
    return WaymoFrame(number, world_from_vehicle, {1: camera}, (picture,), (sweep,))


def look(frame: RawFrame, laser: Laser, world_from_vehicle: np.ndarray) -> Sweep:
    azimuth = np.pi * (1 - (2 * np.arange(COLUMNS) + 1) / COLUMNS) - 0.3
    rise = RISING[::-1, None]
    forward, left, up = np.broadcast_arrays(
        np.cos(rise) * np.cos(azimuth), np.cos(rise) * np.sin(azimuth), np.sin(rise)
    )
    ahead = forward > 0.2
    k, nearer = frame.intrinsics, np.where(ahead, forward, 1)
    x = (k[0, 2] - k[0, 0] * left / nearer).round().astype(int)
    y = (k[1, 2] - k[1, 1] * up / nearer).round().astype(int)
    shown = ahead & (x >= 0) & (x < frame.size[1]) & (y >= 0) & (y < frame.size[0])
    depth = frame.depth[np.where(shown, y, 0), np.where(shown, x, 0)]
    shown &= depth > 0
    first = np.stack((shown, x * shown, y * shown), axis=-1)
    projections = np.concatenate((first, np.zeros_like(first)), axis=-1).astype(np.int32)
    yaw, pitch, roll = Rotation.from_matrix(world_from_vehicle[:3, :3]).as_euler("ZYX")
    pose = np.array([roll, pitch, yaw, *world_from_vehicle[:3, 3]])
    assert np.allclose(rotations(pose[None, :3])[0], world_from_vehicle[:3, :3])
    poses = np.broadcast_to(pose, (ROWS, COLUMNS, 6))
    return Sweep(laser, np.where(shown, depth / nearer, 0).astype(np.float32), projections, poses)
