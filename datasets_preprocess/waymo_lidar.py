"""From range images of Waymo's lasers to points of its cameras."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int

from cut3r.geometry.poses import invert
from datasets_preprocess.waymo_frames import TOP, Camera, Picture, Sweep, WaymoFrame

# Axes of OpenCV (right, down, forward) from those of a vehicle (forward, left, up).
OPENCV_FROM_FORWARD = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], np.float64)


class Points(NamedTuple):
    """Laser points that some camera sees, in the vehicle's frame at the pose of their frame; see `Sweep`."""

    xyz: Float64[np.ndarray, "n 3"]
    projections: Int[np.ndarray, "n 6"]


class Seen(NamedTuple):
    """Points of one picture: where it shows them, (x, y) in whole pixels of the published picture, and their z."""

    pixels: Float64[np.ndarray, "n 2"]
    depth: Float64[np.ndarray, "n"]


def frame_points(frame: WaymoFrame) -> Points:
    """Give the points of all lasers of a frame: laser by laser, row by row."""
    parts = [_sweep_points(sweep, frame.world_from_vehicle) for sweep in frame.sweeps]
    xyz = [np.zeros((0, 3)), *(part.xyz for part in parts)]
    return Points(np.concatenate(xyz), np.concatenate([np.zeros((0, 6), int), *(part.projections for part in parts)]))


def seen_by(camera: Camera, picture: Picture, frame: WaymoFrame, points: Points, *, parity: bool = False) -> Seen:
    """Find the points that a picture shows, in front of its camera.

    Args:
        parity: 08_waymo.md quirks 2, 3, 6: points behind the camera stay, the picture's own pose does not count, and
            neither does the second of the two cameras that may see a point.
    """
    pairs = points.projections.reshape(-1, 2, 3)[:, : 1 if parity else 2]
    which, pair = np.nonzero(pairs[..., 0] == camera.name)
    moved = np.eye(4) if parity else inverse(picture.world_from_vehicle) @ frame.world_from_vehicle
    cam_from_vehicle = OPENCV_FROM_FORWARD @ inverse(camera.vehicle_from_cam) @ moved
    depth = points.xyz[which] @ cam_from_vehicle[2, :3] + cam_from_vehicle[2, 3]
    kept = np.full(len(depth), True) if parity else depth > 0
    return Seen(pairs[which, pair, 1:][kept].astype(np.float64), depth[kept])


def world_from_cam(camera: Camera, picture: Picture) -> Float64[np.ndarray, "4 4"]:
    """Give the pose of the camera, in OpenCV axes, when it took the picture."""
    return picture.world_from_vehicle @ camera.vehicle_from_cam @ OPENCV_FROM_FORWARD.T


def _sweep_points(sweep: Sweep, world_from_vehicle: Float64[np.ndarray, "4 4"]) -> Points:
    first, second = sweep.projections[..., 0], sweep.projections[..., 3]
    rows, columns = np.nonzero((sweep.ranges > 0) & ((first > 0) | (second > 0)))
    vehicle_from_laser = sweep.laser.vehicle_from_laser
    xyz = _laser_points(sweep, rows, columns) @ vehicle_from_laser[:3, :3].T + vehicle_from_laser[:3, 3]
    if sweep.laser.name == TOP:
        assert sweep.pixel_poses is not None
        poses = sweep.pixel_poses[rows, columns].astype(np.float64)
        world = np.einsum("nij,nj->ni", rotations(poses[:, :3]), xyz) + poses[:, 3:]
        vehicle_from_world = inverse(world_from_vehicle)
        xyz = world @ vehicle_from_world[:3, :3].T + vehicle_from_world[:3, 3]
    return Points(xyz, sweep.projections[rows, columns])


def _laser_points(
    sweep: Sweep, rows: Int[np.ndarray, "n"], columns: Int[np.ndarray, "n"]
) -> Float64[np.ndarray, "n 3"]:
    """Give points in the frame of the laser. The columns go around clockwise, from behind the vehicle."""
    h, w = sweep.ranges.shape
    inclination = sweep.laser.row_inclinations(h)[rows]
    turned = np.arctan2(sweep.laser.vehicle_from_laser[1, 0], sweep.laser.vehicle_from_laser[0, 0])
    azimuth = ((w - columns - 0.5) / w * 2 - 1) * np.pi - turned
    rays = (np.cos(azimuth) * np.cos(inclination), np.sin(azimuth) * np.cos(inclination), np.sin(inclination))
    return sweep.ranges[rows, columns].astype(np.float64)[:, None] * np.stack(rays, axis=-1)


def rotations(roll_pitch_yaw: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3 3"]:
    """Give Rz(yaw) Ry(pitch) Rx(roll)."""
    (sr, sp, sy), (cr, cp, cy) = np.sin(roll_pitch_yaw).T, np.cos(roll_pitch_yaw).T
    rows = (
        *(cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
        *(sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
        *(-sp, cp * sr, cp * cr),
    )
    return np.stack(rows, axis=-1).reshape(-1, 3, 3)


def inverse(a_from_b: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    return invert(torch.from_numpy(np.ascontiguousarray(a_from_b))).numpy()
