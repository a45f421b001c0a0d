"""Hand-held walks through a room: smooth closed paths with clearance, looking around, shaking a little."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.data.raycast import cast, clearance, exit_room
from cut3r.data.rooms import Room, tensor
from cut3r.geometry.poses import pose_from_parts

Rng = np.random.Generator
CANDIDATES = 32  # paths drawn at once; the first one with room around it is taken


@dataclass  # not frozen: Hydra must be able to merge overrides into it
class WalkConfig:
    size: tuple[int, int] = (96, 128)  # (h, w) in pixels
    frames: int = 40
    fov_deg: tuple[float, float] = (45.0, 85.0)  # horizontal, range; one value per walk
    speed_m: float = 0.06  # mean step between frames; walks vary by a factor of 0.5 to 1.5
    turn_deg: float = 4.0  # mean turn between frames; walks vary by a factor of 0.5 to 1.5
    shake: float = 1.0  # hand shake: 1 is about 3 mm and 0.3 degrees
    moving: int = 0  # at most so many moving objects
    rate_hz: float = 10.0  # frames per second, for the moving objects
    noise: float = 0.01  # mean deviation of the sensor noise, pictures are in [0, 1]; walks vary by a factor of 0 to 2
    blur_px: float = 0.7  # walks vary from 0 to so much
    clearance_m: float = 0.35  # between the camera and any surface, where the room allows

    def __post_init__(self) -> None:
        self.size = (int(self.size[0]), int(self.size[1]))
        self.fov_deg = (float(self.fov_deg[0]), float(self.fov_deg[1]))
        if not 0 < self.fov_deg[0] <= self.fov_deg[1] < 150:
            raise ValueError(
                f"fov_deg {self.fov_deg} must be a range of angles within 0 ... 150 degrees; swap or narrow it"
            )
        if self.frames < 1 or min(self.size) < 2:
            raise ValueError(
                f"a walk needs at least one frame of 2x2 pixels, not {self.frames} of {self.size}; raise frames or size"
            )


def make_walk(rng: Rng, room: Room, config: WalkConfig) -> tuple[Float[Tensor, "v 4 4"], Float[Tensor, "v 3 3"]]:
    """Draw a walk: world_from_cam and intrinsics of every frame."""
    positions = candidate_paths(rng, room, config)  # [k, v, 3]
    yaw = candidate_headings(rng, positions, room, config)  # [k, v]
    best = choose(room, positions, yaw, config)
    pitch = math.radians(float(np.clip(rng.normal(-10, 9), -40, 15))) + math.radians(4) * wave(rng, config.frames, 25.0)
    roll = math.radians(2) * wave(rng, config.frames, 20.0)
    shake = config.shake * np.stack([wave(rng, config.frames, 5.0) for _ in range(6)], axis=-1)  # [v, 6]
    angles = np.stack((yaw[best], pitch, roll), axis=-1) + math.radians(0.3) * shake[:, :3]
    position = positions[best] + 0.003 * shake[:, 3:]
    world_from_cam = pose_from_parts(camera_axes(angles), torch.from_numpy(position)).float()
    return world_from_cam, intrinsics_of(rng, config)


def choose(room: Room, positions: np.ndarray, yaw: np.ndarray, config: WalkConfig) -> int:
    """The first candidate with clearance that looks into the room, not at a near surface; else the best there is."""
    time_s = torch.arange(config.frames) / config.rate_hz
    gap = clearance(room.solids, room.size, tensor(positions), time_s).amin(dim=-1)  # [k]
    free = (gap > config.clearance_m).nonzero().flatten()
    if not len(free):
        return int(gap.argmax())
    some = slice(None, None, max(1, config.frames // 6))
    distance = view_distances(room, positions[free.numpy()][:, some], yaw[free.numpy()][:, some], time_s[some])
    openness = torch.minimum(distance.mean(dim=(1, 2)) / 2.0, distance[..., 1].amin(dim=1) / 0.9)
    good = (openness > 1).nonzero().flatten()
    return int(free[good[0] if len(good) else openness.argmax()])


def view_distances(room: Room, positions: np.ndarray, yaw: np.ndarray, time_s: Tensor) -> Float[Tensor, "k t 3"]:
    """How far one sees to the left, ahead and to the right, slightly downwards; metres."""
    k, t = yaw.shape
    angles = yaw[..., None] + np.radians([20.0, 0.0, -20.0])
    ahead = np.stack((np.cos(angles), np.sin(angles), np.full_like(angles, -0.12)), axis=2)  # [k, t, 3, 3 rays]
    origins, rays, times = tensor(positions).flatten(0, 1), tensor(ahead).flatten(0, 1), time_s.repeat(k)
    distances = exit_room(room.size, origins, rays).unsqueeze(1)
    return torch.cat((distances, cast(room.solids, origins, rays, times)), dim=1).amin(dim=1).view(k, t, 3)


def candidate_paths(rng: Rng, room: Room, config: WalkConfig) -> np.ndarray:
    """Closed curves, walked as far as speed and frames say, some of them to and fro: [k, v, 3]."""
    curves = Curves.draw(rng, room.size.numpy(), CANDIDATES)
    pace = (1 + 0.35 * wave(rng, config.frames, 15.0)).clip(0.1)
    walked_m = config.speed_m * rng.uniform(0.5, 1.5) * np.cumsum(pace / pace.mean())  # [v]
    if rng.random() < 0.3:  # to and fro: the same places again, from the other side
        sweep_m = rng.uniform(0.3, 0.7) * max(walked_m[-1], 0.2)
        walked_m = sweep_m / 2 * (1 - np.cos(np.pi * walked_m / sweep_m))
    return curves.walk(walked_m)


@dataclass(frozen=True)
class Curves:
    """k closed curves: ellipses, bent by a second harmonic."""

    center: np.ndarray  # [k, 3]
    extent: np.ndarray  # [k, 3]
    start: np.ndarray  # [k, 1]
    bend: np.ndarray  # [k, 2], phases of the second harmonic

    @staticmethod
    def draw(rng: Rng, size: np.ndarray, k: int) -> "Curves":
        """Later curves are smaller and farther from the middle of the room: in the end one finds a place."""
        shrink = np.linspace(1, 0.05, k)[:, None]
        center = (0.5 + rng.uniform(-0.1, 0.1, (k, 2)) + (1 - shrink) * rng.uniform(-0.3, 0.3, (k, 2))) * size[:2]
        extent = shrink * rng.uniform(0.1, 0.4, (k, 2)) * size[:2]
        height = rng.uniform(0.8, 1.8, (k, 1)).clip(None, size[2] - 0.6)
        return Curves(
            center=np.concatenate((center, height), axis=1),
            extent=np.concatenate((extent, 0.1 * shrink), axis=1) * rng.choice([-1, 1], (k, 1)),
            start=2 * np.pi * rng.random((k, 1)),
            bend=2 * np.pi * rng.random((k, 2)),
        )

    def walk(self, walked_m: np.ndarray) -> np.ndarray:
        """Positions after so many metres along each curve, round and round: [k, v, 3]."""
        angles = np.linspace(0, 2 * np.pi, 129)
        steps = np.linalg.norm(np.diff(self.at(self.start + angles), axis=1), axis=-1)
        lengths = np.concatenate((np.zeros_like(self.start), steps.cumsum(axis=1)), axis=1)  # [k, 129]
        turned = [np.interp(walked_m % length[-1], length, angles) for length in lengths]
        return self.at(self.start + np.stack(turned))

    def at(self, angle: np.ndarray) -> np.ndarray:
        x = np.cos(angle) + 0.25 * np.cos(2 * angle + self.bend[:, :1])
        y = np.sin(angle) + 0.25 * np.sin(2 * angle + self.bend[:, 1:])
        shape = np.stack((x, y, np.sin(angle + self.bend[:, :1])), axis=-1)
        return np.asarray(self.center[:, None] + self.extent[:, None] * shape)


def candidate_headings(rng: Rng, positions: np.ndarray, room: Room, config: WalkConfig) -> np.ndarray:
    """Yaw of the optical axis of every candidate, [k, v]: some wander, some keep looking at a place."""
    k, v, _ = positions.shape
    turn = math.radians(config.turn_deg) * rng.uniform(0.5, 1.5)
    wander = 8 * wave(rng, v, 12.0) + rng.uniform(-1, 1) * np.arange(v)
    wander *= turn / max(np.abs(np.diff(wander)).mean() if v > 1 else 1.0, 1e-6)
    target = rng.uniform(0.1, 0.9, (k, 1, 2)) * room.size.numpy()[:2]
    towards = target - positions[..., :2]
    looking = np.unwrap(np.arctan2(towards[..., 1], towards[..., 0]), axis=1)
    calm = np.abs(np.diff(looking, axis=1)).max(axis=1, initial=0) < 2.5 * turn  # the target is not passed closely
    watching = calm & (rng.random(k) < 0.6)
    return np.where(watching[:, None], looking + 0.15 * wander, 2 * np.pi * rng.random((k, 1)) + wander)


def wave(rng: Rng, frames: int, period: float) -> np.ndarray:
    """Smooth noise of about unit variance over the frames, with a typical period in frames."""
    periods = period * np.exp(rng.uniform(-0.4, 0.8, 4))
    angles = 2 * np.pi * (np.arange(frames) / periods[:, None] + rng.random((4, 1)))
    return np.sin(angles).sum(axis=0) / math.sqrt(2)


def camera_axes(angles: np.ndarray) -> Float[Tensor, "v 3 3"]:
    """World axes (z up) of a camera (x right, y down, z forward) with yaw, pitch (up) and roll, radians."""
    yaw, pitch, roll = angles.T
    zero = np.zeros_like(yaw)
    forward = np.stack((np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)), axis=-1)
    level = np.stack((np.sin(yaw), -np.cos(yaw), zero), axis=-1)
    down = np.cross(forward, level)
    c, s = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return torch.from_numpy(np.stack((c * level + s * down, c * down - s * level, forward), axis=-1))


def intrinsics_of(rng: Rng, config: WalkConfig) -> Float[Tensor, "v 3 3"]:
    """One pinhole camera with square pixels and its principal point in the middle of the picture, for all frames."""
    h, w = config.size
    focal = w / 2 / math.tan(math.radians(rng.uniform(*config.fov_deg)) / 2)
    camera = torch.tensor([[focal, 0, (w - 1) / 2], [0, focal, (h - 1) / 2], [0, 0, 1]], dtype=torch.float32)
    return camera.expand(config.frames, 3, 3).clone()
