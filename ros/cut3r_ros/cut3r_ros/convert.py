"""From what a session says to what ROS messages hold: frames, quaternions, bytes. Knows no ROS.

Frames, by REP 103 and REP 105: cameras are optical frames (x right, y down, z ahead), as everywhere in cut3r; the world
of ROS has x ahead, y to the left and z up. `map` has its origin at the first camera, which looks along x. Metres.
"""

import numpy as np
import torch

from cut3r.geometry.poses import quaternion_from_matrix
from cut3r.io.trajectory import XYZW_FROM_WXYZ

# Columns: where x (right), y (down) and z (ahead) of an optical frame lead in a frame with x ahead, y left, z up.
MAP_FROM_WORLD = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("confidence", "<f4")])
FLOAT32, UINT32 = 7, 6  # of sensor_msgs/PointField
FIELDS = [  # name, offset, type; RViz reads rgb as the bits of a float
    (name, POINT.fields[name][1], FLOAT32)  # type: ignore[index]
    for name in ("x", "y", "z", "rgb", "confidence")
]


def map_from_camera(world_from_cam: np.ndarray) -> np.ndarray:
    """The pose (4, 4) of a camera's optical frame in `map`, from its pose in the frame of the first camera."""
    return MAP_FROM_WORLD @ world_from_cam


def position_and_quaternion(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split a pose (4, 4): the translation, and the quaternion as ROS has it, (x, y, z, w) of unit length, w >= 0."""
    wxyz = quaternion_from_matrix(torch.from_numpy(pose[:3, :3].astype(np.float64))).numpy()
    return pose[:3, 3].copy(), wxyz[XYZW_FROM_WXYZ]


def cloud(points: np.ndarray, colors: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Pack points (p, 3) with colours (p, 3; RGB, uint8) and confidence (p,) as a PointCloud2's data (`FIELDS`)."""
    packed = np.empty(len(points), POINT)
    packed["x"], packed["y"], packed["z"] = points.astype(np.float32).T
    red, green, blue = colors.astype(np.uint32).T
    packed["rgb"] = red << 16 | green << 8 | blue
    packed["confidence"] = confidence
    return packed


def spread(count: int, most: int) -> slice:
    """Of so many points in the order of pixels, at most `most`, evenly."""
    return slice(None, None, max(1, -(-count // most)))
