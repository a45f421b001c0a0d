"""A drive through a scene of known shape, as Waymo's sensors would record it: a street before a wall, and a post.

The laser on the roof measures its columns one after the other while the vehicle moves; pictures are taken a little
later than the frame's pose; lenses bend.
"""

import io
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from datasets_preprocess.waymo_frames import Camera, Laser, Picture, Sweep, WaymoFrame

PERIOD = 0.1  # seconds between frames, and of a turn of the roof's laser
LATER = {1: 0.03, 2: 0.04}  # seconds from the frame's pose to the picture's
SPEED, TURN = 15.0, 0.3  # metres and radians per second
START = np.array([10000.0, -2000.0, 30.0])
WALL = 25.0  # metres before the start, across the street
POST = (12.0, 2.0, 0.6)  # where it stands in the frame of the start, and its radius
OPENCV_FROM_FORWARD = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]], float)


def rigid(rotation: Rotation, place) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation.as_matrix(), place
    return pose


WORLD_FROM_START = rigid(Rotation.from_euler("z", 0.7), START)
CAMERAS = {
    1: Camera(
        1,
        (120, 160),
        np.array([[150.0, 0, 81], [0, 152, 59], [0, 0, 1]]),
        np.array([-0.2, 0.05, 0.002, -0.001, 0.01]),
        rigid(Rotation.from_euler("zyx", [0.02, 0.01, 0]), (1.5, 0, 2.0)),
    ),
    2: Camera(
        2,
        (120, 160),
        np.array([[150.0, 0, 79], [0, 150, 60], [0, 0, 1]]),
        np.array([-0.1, 0.02, 0, 0, 0.0]),
        rigid(Rotation.from_euler("zyx", [0.6, 0, 0]), (1.4, 0.2, 2.0)),
    ),
}
ROOF = Laser(1, np.linspace(-0.35, 0.1, 24), (0, 0), rigid(Rotation.from_euler("z", 0.5), (1.4, 0, 2.2)))
BUMPER = Laser(2, np.zeros(0), (-0.3, 0.2), rigid(Rotation.from_euler("zy", [0.1, 0.02]), (3.5, 0, 0.7)))


class Drive(NamedTuple):
    """The frames, and of each the true places of its laser points in the world."""

    frames: list[WaymoFrame]
    points_world: list[np.ndarray]


@dataclass(frozen=True)
class Shot:
    camera: Camera
    world_from_vehicle: np.ndarray


def drive(count: int = 6) -> Drive:
    made = [_frame(number) for number in range(count)]
    return Drive([frame for frame, _ in made], [points for _, points in made])


def vehicle_at(time: np.ndarray) -> tuple[Rotation, np.ndarray]:
    """Turn and place in the world, of a vehicle on a circle."""
    time = np.asarray(time, float)
    yaw = TURN * time
    radius = SPEED / TURN
    place = np.stack((radius * np.sin(yaw), radius * (1 - np.cos(yaw)), 0 * yaw), axis=-1)
    start = Rotation.from_matrix(WORLD_FROM_START[:3, :3])
    return start * Rotation.from_euler("z", yaw[..., None]), start.apply(place) + START


def pose_at(time: float) -> np.ndarray:
    rotation, place = vehicle_at(np.array(time))
    return rigid(rotation, place)


def _frame(number: int) -> tuple[WaymoFrame, np.ndarray]:
    time = PERIOD * number
    shots = {name: Shot(camera, pose_at(time + LATER[name])) for name, camera in CAMERAS.items()}
    columns = 240
    # the column that looks forward is measured at the frame's time, those at the rear half a turn before and after
    roof = _sweep(ROOF, np.broadcast_to(time + PERIOD * (np.arange(columns) / columns - 0.5), (24, columns)), shots)
    bumper = _sweep(BUMPER, np.full((10, 100), time), shots)
    pictures = tuple(
        Picture(name, jpeg(CAMERAS[name].size, number), shots[name].world_from_vehicle) for name in CAMERAS
    )
    frame = WaymoFrame(number, pose_at(time), CAMERAS, pictures, (roof[0], bumper[0]))
    return frame, np.concatenate((roof[1], bumper[1]))


def _sweep(laser: Laser, times: np.ndarray, shots: dict[int, Shot]) -> tuple[Sweep, np.ndarray]:
    h, w = times.shape
    rising = laser.inclinations if len(laser.inclinations) else np.linspace(*laser.span, 2 * h + 1)[1::2]
    inclination = rising[::-1][:, None]
    turned = Rotation.from_matrix(laser.vehicle_from_laser[:3, :3]).as_euler("ZYX")[0]
    azimuth = np.pi * (1 - (2 * np.arange(w) + 1) / w) - turned
    rays = np.stack(
        np.broadcast_arrays(
            np.cos(inclination) * np.cos(azimuth), np.cos(inclination) * np.sin(azimuth), np.sin(inclination)
        ),
        axis=-1,
    ).reshape(-1, 3)
    rotation, place = vehicle_at(times.ravel())
    mounted = Rotation.from_matrix(laser.vehicle_from_laser[:3, :3])
    directions = rotation.apply(mounted.apply(rays))
    origins = rotation.apply(laser.vehicle_from_laser[:3, 3]) + place
    ranges = cast(origins, directions)
    back = np.isfinite(ranges)
    points = origins + np.where(back, ranges, 0)[:, None] * directions
    projections = _projections(points, back, shots)
    yaw, pitch, roll = rotation.as_euler("ZYX").T
    poses = np.concatenate((np.stack((roll, pitch, yaw), axis=-1), place), axis=-1).reshape(h, w, 6)
    ranges = np.where(back, ranges, -1.0).reshape(h, w).astype(np.float32)
    return Sweep(laser, ranges, projections.reshape(h, w, 6), poses if laser.name == 1 else None), points[back]


def cast(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Distance to the street, the wall or the post, whichever is nearest; infinite where there is nothing."""
    start_from_world = np.linalg.inv(WORLD_FROM_START)
    o = origins @ start_from_world[:3, :3].T + start_from_world[:3, 3]
    d = directions @ start_from_world[:3, :3].T
    x, y, radius = POST
    with np.errstate(divide="ignore", invalid="ignore"):
        street, wall = -o[:, 2] / d[:, 2], (WALL - o[:, 0]) / d[:, 0]
        a, b = (d[:, :2] ** 2).sum(1), ((o[:, :2] - (x, y)) * d[:, :2]).sum(1)
        c = ((o[:, :2] - (x, y)) ** 2).sum(1) - radius**2
        post = (-b - np.sqrt(b * b - a * c)) / a
    candidates = np.stack((street, wall, post))
    candidates = np.where((candidates > 0.5) & (candidates < 60), candidates, np.inf)
    return candidates.min(0)


def _projections(points: np.ndarray, back: np.ndarray, shots: dict[int, Shot]) -> np.ndarray:
    """Which cameras show a point, at most two, at which whole pixels."""
    found = np.zeros((len(points), 2, 3), int)
    slot = np.zeros(len(points), int)
    for name, shot in shots.items():
        inside, pixels = project(points, shot)
        for k in np.flatnonzero(inside & back):
            found[k, slot[k]] = name, *pixels[k]
            slot[k] += 1
    return found.reshape(-1, 6)


def project(points_world: np.ndarray, shot: Shot) -> tuple[np.ndarray, np.ndarray]:
    """Whether the picture shows points, and where, bent by the lens."""
    forward_from_world = np.linalg.inv(shot.world_from_vehicle @ shot.camera.vehicle_from_cam)
    cam = (points_world @ forward_from_world[:3, :3].T + forward_from_world[:3, 3]) @ OPENCV_FROM_FORWARD.T
    # far outside of the picture the formula of the lens means nothing
    ahead = (cam[:, 2] > 0.1) & (np.abs(cam[:, :2]).max(1) < 0.8 * cam[:, 2])
    cam = np.where(ahead[:, None], cam, [0, 0, 1.0])
    lens = shot.camera.intrinsics, shot.camera.distortion
    pixels = cv2.projectPoints(cam, np.zeros(3), np.zeros(3), *lens)[0].reshape(-1, 2).round().astype(int)
    h, w = shot.camera.size
    return ahead & (pixels >= 0).all(1) & (pixels[:, 0] < w) & (pixels[:, 1] < h), pixels


def jpeg(size: tuple[int, int], seed: int) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(size[::-1]).save(file, "JPEG")
    return file.getvalue()
