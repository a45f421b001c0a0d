"""What both kinds of ARKitScenes share: the tablet's trajectory, which way is up, and pictures turned upright.

A video folder has `lowres_wide.traj`, lines "time, axis-angle, place" of cam_from_world about ten times a second, the
world's z up; and `vga_wide_intrinsics/<video>_<time>.pincam`, "width height fx fy cx cy" of pictures as they were
taken. Times are seconds with three decimals. Source: 01_arkitscenes.md.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Shaped

from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import invert, matrix_from_quaternion, pose_from_parts, quaternion_from_matrix
from cut3r.geometry.squad import continuous, squad
from cut3r.io.numbers import read_matrix, read_rows

TRAJECTORY = "lowres_wide.traj"
PICTURES, CALIBRATIONS = "vga_wide", "vga_wide_intrinsics"
LEVEL_DEG = 45  # how far the camera may be turned about its axis from one of the four directions


class Sky(Enum):
    """Where the sky is in pictures as they were taken."""

    UP = "UP"
    LEFT = "LEFT"
    RIGHT = "RIGHT"
    DOWN = "DOWN"

    @property
    def quarters(self) -> int:
        """How many quarters of a turn, counter-clockwise, make a picture upright."""
        return {"UP": 0, "RIGHT": 1, "DOWN": 2, "LEFT": 3}[self.value]


@dataclass(frozen=True)
class Trajectory:
    """Poses world_from_cam of pictures as they were taken. Quaternions are continuous."""

    times: Float64[np.ndarray, "n"]
    quaternions: Float64[np.ndarray, "n 4"]
    centres: Float64[np.ndarray, "n 3"]

    def covers(self, time: float) -> bool:
        return bool(self.times[0] <= time <= self.times[-1])

    def sky(self) -> Sky:
        """Say where the sky is, from the mean directions of the pictures' upper and right borders.

        Raises:
            ValueError: The tablet was held in between.
        """
        rotations = matrix_from_quaternion(torch.from_numpy(self.quaternions)).numpy()
        up = math.degrees(math.acos(np.clip(-rotations[:, 2, 1].mean(), -1, 1)))
        right = math.degrees(math.acos(np.clip(rotations[:, 2, 0].mean(), -1, 1)))
        upright = abs(up - 90) >= abs(right - 90)
        if not abs((right if upright else up) - 90) < LEVEL_DEG:
            raise ValueError(f"the tablet was held slantwise: its upper border points {up:.0f} degrees from the sky")
        if upright:
            return Sky.DOWN if up > 90 else Sky.UP
        return Sky.LEFT if right > 90 else Sky.RIGHT

    def upright(self, times: list[float], sky: Sky) -> Float64[np.ndarray, "m 4 4"]:
        """Give world_from_cam of upright pictures: places interpolated linearly, rotations by squad.

        Raises:
            ValueError: A time outside of the trajectory.
        """
        at = torch.tensor(times, dtype=torch.float64)
        turned = squad(torch.from_numpy(self.times), torch.from_numpy(self.quaternions), at)
        centres = [np.interp(times, self.times, column) for column in self.centres.T]
        rotations = matrix_from_quaternion(turned) @ torch.from_numpy(_taken_from_upright(sky))
        return pose_from_parts(rotations, torch.from_numpy(np.stack(centres, axis=-1))).numpy()


def read_trajectory(path: Path) -> Trajectory:
    """Read a .traj file, in order of time; of several poses of one time the first counts.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It has no pose, or a line that is no pose.
    """
    rows, lines = read_rows(path, 7, "time, axis-angle, place")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad) or not len(rows):
        where = f", line {lines[bad[0]]}: it holds no finite pose" if len(bad) else " holds no pose"
        raise ValueError(f"{path}{where}; download it again")
    times, first = np.unique([rounded(time) for time in rows[:, 0]], return_index=True)
    numbers = torch.from_numpy(rows[first])
    world_from_cam = invert(pose_from_parts(rotation_from_vector(numbers[:, 1:4]), numbers[:, 4:]))
    quaternions = continuous(quaternion_from_matrix(world_from_cam[:, :3, :3]))
    return Trajectory(times, quaternions.numpy(), world_from_cam[:, :3, 3].numpy())


def rounded(time: float) -> float:
    """Round to milliseconds; halves go up."""
    return float(Decimal(repr(float(time))).quantize(Decimal("0.001"), ROUND_HALF_UP))


def time_of(frame: str) -> float:
    """Give the time in the name <video>_<time>.

    Raises:
        ValueError: The name has none.
    """
    try:
        return float(frame.rpartition("_")[2])
    except ValueError:
        raise ValueError(
            f"the name {frame!r} holds no time; expected <video>_<seconds>, such as 41125722_3358.021"
        ) from None


def calibration(folder: Path, video: str, time: float, shifts_ms: Iterable[int]) -> Path | None:
    """Give the first calibration file there is of these milliseconds around a time; None if there is none."""
    names = (f"{video}_{time + shift / 1000:.3f}.pincam" for shift in shifts_ms)
    return next((path for name in names if (path := folder / CALIBRATIONS / name).is_file()), None)


def read_calibration(path: Path, sky: Sky, *, parity: bool = False) -> Float64[np.ndarray, "6"]:
    """Read w, h, fx, fy, cx, cy, and give those of the upright picture.

    Parity: 01_arkitscenes.md quirk 2, the principal point is swapped instead of turned.

    Raises:
        ValueError: It is no calibration.
    """
    w, h, fx, fy, cx, cy = row = read_matrix(path, 1, 6)[0]
    if not (np.isfinite(row).all() and min(w, h, fx, fy) > 0):
        raise ValueError(f"{path} has no size or focal length; download it again")
    if parity:
        return np.array([h, w, fy, fx, cy, cx]) if sky in (Sky.LEFT, Sky.RIGHT) else row
    return {
        Sky.UP: row,
        Sky.RIGHT: np.array([h, w, fy, fx, cy, w - 1 - cx]),
        Sky.LEFT: np.array([h, w, fy, fx, h - 1 - cy, cx]),
        Sky.DOWN: np.array([w, h, fx, fy, w - 1 - cx, h - 1 - cy]),
    }[sky]


def turn_upright(pixels: Shaped[np.ndarray, "h w *c"], sky: Sky) -> Shaped[np.ndarray, "h1 w1 *c"]:
    return np.ascontiguousarray(np.rot90(pixels, sky.quarters))


def _taken_from_upright(sky: Sky) -> Float64[np.ndarray, "3 3"]:
    """Give the rotation from the axes of an upright picture's camera to those of the camera as it was held."""
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    return np.linalg.matrix_power(quarter, sky.quarters)
