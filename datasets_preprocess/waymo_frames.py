"""What both versions of the Waymo Open Dataset say, in one form: frames with pictures and laser sweeps.

The world is Waymo's global frame. Vehicles, lasers and cameras have x forward, y left, z up; metres and radians.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int

TOP = 1  # the laser on the roof: it turns for a tenth of a second, so each of its pixels has a vehicle pose of its own
DISTORTION = ("k1", "k2", "p1", "p2", "k3")


@dataclass(frozen=True)
class Camera:
    """A calibrated camera. `distortion` is OpenCV's k1 k2 p1 p2 k3; `vehicle_from_cam` has axes as the vehicle."""

    name: int
    size: tuple[int, int]  # (h, w)
    intrinsics: Float64[np.ndarray, "3 3"]
    distortion: Float64[np.ndarray, "5"]
    vehicle_from_cam: Float64[np.ndarray, "4 4"]

    @classmethod
    def of(cls, name: int, size: tuple[int, int], numbers: np.ndarray, vehicle_from_cam: np.ndarray) -> "Camera":
        """Take the nine numbers f_u f_v c_u c_v k1 k2 p1 p2 k3 apart.

        Raises:
            ValueError: They are not nine, or give no pinhole camera.
        """
        if numbers.shape != (9,) or not np.isfinite(numbers).all() or min(*numbers[:2], *size) <= 0:
            raise ValueError(f"camera {name} has size {size} and intrinsics {numbers.tolist()}; expected 9 numbers")
        fx, fy, cx, cy = numbers[:4]
        intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        return cls(name, size, intrinsics, numbers[4:].copy(), vehicle_from_cam)


@dataclass(frozen=True)
class Laser:
    """A calibrated laser. `inclinations` of the rows from the lowest up; without them the rows divide `span` evenly."""

    name: int
    inclinations: Float64[np.ndarray, "n"]
    span: tuple[float, float]
    vehicle_from_laser: Float64[np.ndarray, "4 4"]

    def row_inclinations(self, h: int) -> Float64[np.ndarray, "h"]:
        """Give the inclinations of the rows of a range image, from the highest down.

        Raises:
            ValueError: The calibration is for another number of rows.
        """
        low, high = self.span
        rising = self.inclinations if len(self.inclinations) else low + (np.arange(h) + 0.5) / h * (high - low)
        if len(rising) != h:
            raise ValueError(f"laser {self.name} has {len(rising)} inclinations for {h} rows; download it again")
        return rising[::-1]


@dataclass(frozen=True)
class Sweep:
    """The first returns of a laser: ranges in metres, not above 0 where nothing came back.

    `projections` are camera, x, y of the pixel that sees the same, twice; camera 0 is none. `pixel_poses` are
    world_from_vehicle when each pixel was measured: roll, pitch, yaw, x, y, z.
    """

    laser: Laser
    ranges: Float[np.ndarray, "h w"]
    projections: Int[np.ndarray, "h w 6"]
    pixel_poses: Float[np.ndarray, "h w 6"] | None = None

    def __post_init__(self) -> None:
        shape, name = self.ranges.shape, self.laser.name
        others = [self.projections.shape[:2]] + ([] if self.pixel_poses is None else [self.pixel_poses.shape[:2]])
        if any(other != shape for other in others):
            raise ValueError(f"laser {name}: ranges {shape}, projections and poses {others}; download it again")
        if name == TOP and self.pixel_poses is None:
            raise ValueError(f"laser {name} has no poses of its pixels; download it again")


@dataclass(frozen=True)
class Picture:
    """A JPEG file of a camera, and the vehicle's pose when it was taken, some milliseconds from that of its frame."""

    camera: int
    jpeg: bytes
    world_from_vehicle: Float64[np.ndarray, "4 4"]


@dataclass(frozen=True)
class WaymoFrame:
    """A tenth of a second. `number` counts the frames of a segment from 0; pictures and sweeps come by name."""

    number: int
    world_from_vehicle: Float64[np.ndarray, "4 4"]
    cameras: Mapping[int, Camera]
    pictures: tuple[Picture, ...]
    sweeps: tuple[Sweep, ...]


def pose(numbers: np.ndarray, what: str) -> Float64[np.ndarray, "4 4"]:
    """Arrange the 16 numbers of a transform, row by row.

    Raises:
        ValueError: They are not 16.
    """
    if numbers.shape != (16,):
        raise ValueError(f"the pose of {what} has {len(numbers)} numbers; expected 16")
    return np.array(numbers, np.float64).reshape(4, 4)  # a copy that may be written to, as torch wants it


def arrange(values: np.ndarray, shape: np.ndarray, what: str) -> np.ndarray:
    """Arrange the values of a range image as h w channels.

    Raises:
        ValueError: Their number does not fit the shape.
    """
    dims = [int(n) for n in shape]
    if len(dims) != 3 or min(dims) < 0 or len(values) != np.prod(dims, dtype=object):
        raise ValueError(f"{what} has the shape {dims} and {len(values)} values; download it again")
    return values.reshape(dims)
