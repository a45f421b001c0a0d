"""What a file says of cameras: calibrations and poses, of whatever format, as one type.

Whatever a format's habits are, here intrinsics count from the centre of the top-left pixel, and poses are
`world_from_cam` in metres with OpenCV axes. A file has no say on its unit: what it calls 1 is taken for a metre.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float64

from cut3r.geometry.cameras import resize_intrinsics
from cut3r.geometry.poses import is_rigid, is_rotation, matrix_from_quaternion, pose_from_parts
from cut3r.io.distortion import angles_of, distorted, undistorted
from cut3r.io.frame import is_camera_matrix

CORNER = 0.5  # COLMAP and nerfstudio count pixels from the corner of the image: the first centre is there
SAME_SHAPE = 1.0  # pixels: as far as rounding may bring a resized picture from its shape
L = TypeVar("L", bound="Lens")
BENT = ("k1", "k2", "k3", "k4")  # coefficients of a fisheye
OPENGL_FROM_OPENCV = np.diag((1.0, -1.0, -1.0, 1.0))  # y and z turned around; its own inverse


@dataclass(frozen=True)
class Lens:
    """Intrinsics in pixels of a picture of `size` (h, w), None where the file does not say.

    `distortion` holds OpenCV's coefficients k1, k2, p1, p2, k3, k4, k5, k6, as many as are given.
    """

    intrinsics: Float64[np.ndarray, "3 3"]
    size: tuple[int, int] | None = None
    distortion: tuple[float, ...] = ()
    most: ClassVar[int] = 8  # of them

    def __post_init__(self) -> None:
        if not is_camera_matrix(self.intrinsics) or not np.isfinite(self.distortion).all():
            raise ValueError(
                f"{_in_short(self.intrinsics)} are no intrinsics; expected finite numbers, and fx and fy above 0"
            )
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"a picture of {self.size[1]}x{self.size[0]} pixels has none; expected its size")

    @classmethod
    def of(
        cls,
        fx: float,
        fy: float,
        cx: float,
        cy: float,
        size: tuple[int, int] | None = None,
        distortion: tuple[float, ...] = (),
    ) -> "Lens":
        """Pixels, from the centre of the top-left one."""
        return cls(np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), size, _without_zeros(distortion))

    def at(self, size: tuple[int, int]) -> Float64[np.ndarray, "3 3"]:
        """Give the intrinsics for a picture of size (h, w), which may have been resized.

        Raises:
            ValueError: It has another shape, or the principal point lies outside of it.
        """
        h, w = size
        intrinsics = self.intrinsics
        if self.size is not None:
            h0, w0 = self.size
            if abs(h - h0 * w / w0) > SAME_SHAPE and abs(w - w0 * h / h0) > SAME_SHAPE:
                turned = ", which was turned" if (h > w) != (h0 > w0) else ""
                raise ValueError(
                    f"the calibration is for pictures of {w0}x{h0} pixels, and this one has {w}x{h}{turned}; give "
                    "the calibration of pictures of this shape"
                )
            intrinsics = resize_intrinsics(torch.from_numpy(intrinsics), (w / w0, h / h0)).numpy()
        if not (0 < intrinsics[0, 2] < w and 0 < intrinsics[1, 2] < h):
            raise ValueError(
                f"the principal point ({intrinsics[0, 2]:g}, {intrinsics[1, 2]:g}) is outside of a picture of {w}x{h} "
                "pixels; give the calibration of this resolution, or the size that it is for"
            )
        return intrinsics

    def bent(self, *coefficients: float) -> "Fisheye":
        """The fisheye of the same centre and focal lengths."""
        return self.as_kind(Fisheye, *_without_zeros(coefficients))

    def as_kind(self, kind: type[L], *distortion: float) -> L:
        """A lens of another model, of the same centre and focal lengths."""
        return kind(self.intrinsics, self.size, distortion if kind is not Lens else _without_zeros(distortion))

    @property
    def is_straight(self) -> bool:
        """Whether it is a pinhole camera as it is."""
        return not self.distortion

    @property
    def middle(self) -> float:
        """How large the middle of its picture is, as a share of that of a pinhole camera with its focal lengths."""
        return 1.0

    def distort(self, rays: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 2"]:
        """Say where the lens shows what lies along `rays`; all at depth 1."""
        return distorted(rays, self.distortion)

    def rays(self, seen: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 3"]:
        """Say what the lens shows there: the rays, of length 1; nan where nothing is found."""
        rays = np.column_stack((undistorted(self.distort, seen), np.ones(len(seen))))
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)


@dataclass(frozen=True)
class Fisheye(Lens):
    """A lens whose pictures are as large as angles, not as tangents: `distortion` holds k1 ... k4 of OpenCV's fisheye.

    Source: Kannala and Brandt 2006.
    """

    most = 4

    @property
    def is_straight(self) -> bool:
        return False

    def distort(self, rays: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 2"]:
        tangent = np.linalg.norm(rays, axis=1, keepdims=True)
        angle = np.arctan(tangent)
        k1, k2, k3, k4 = (*self.distortion, *(0.0,) * (4 - len(self.distortion)))
        square = angle * angle
        bent = angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
        return rays * np.divide(bent, tangent, out=np.ones_like(bent), where=tangent > 0)

    def rays(self, seen: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 3"]:
        radius = np.linalg.norm(seen, axis=1)
        angle = angles_of(self.distortion, radius)
        share = np.divide(np.sin(angle), radius, out=np.ones_like(radius), where=radius > 0)
        return np.column_stack((seen * share[:, None], np.cos(angle)))


@dataclass(frozen=True)
class KnownCamera:
    """One camera of a file. `name` is its picture's, `time_s` its time stamp in seconds, as the file has them.

    Where `lens` is None, `no_lens` may say why, and `fisheye` may be what it is, of whatever model.
    """

    name: str | None = None
    time_s: float | None = None
    lens: Lens | None = None
    world_from_cam: Float64[np.ndarray, "4 4"] | None = None
    no_lens: str = ""
    fisheye: Lens | None = None

    @property
    def any_lens(self) -> Lens | None:
        return self.lens or self.fisheye


@dataclass(frozen=True)
class KnownCameras:
    """The cameras of a file in its order. `what` names it in messages.

    `for_all`: its only camera took every picture.
    """

    what: str
    cameras: tuple[KnownCamera, ...]
    for_all: bool = False

    def __post_init__(self) -> None:
        if not self.cameras:
            raise ValueError(f"{self.what} has no camera; expected one or more")

    def __len__(self) -> int:
        return len(self.cameras)

    def only_lens(self) -> Lens | None:
        """The calibration that all cameras share; None if there is none, or several."""
        lenses = [camera.any_lens for camera in self.cameras]
        first = lenses[0]
        same = first is not None and all(lens is not None and _equal(lens, first) for lens in lenses[1:])
        return first if same else None

    def require_lenses(self) -> None:
        """Raises ValueError where no camera has intrinsics, also of a fisheye."""
        if not any(camera.any_lens for camera in self.cameras):
            why = next((camera.no_lens for camera in self.cameras if camera.no_lens), "it holds poses only")
            raise ValueError(
                f"{self.what} gives no intrinsics of pinhole or fisheye cameras: {why}; give a calibration that does"
            )

    def require_poses(self) -> None:
        """Raises ValueError where no camera has a pose."""
        if not any(camera.world_from_cam is not None for camera in self.cameras):
            raise ValueError(f"{self.what} gives no poses; expected is a file that says where cameras stood")


def pose_of_matrix(matrix: Float[np.ndarray, "4 4"], where: str) -> Float64[np.ndarray, "4 4"]:
    """Check a pose.

    Raises:
        ValueError: Not finite, scaled, mirrored, zeros; the message begins with `where` (file, and line or frame).
    """
    matrix = np.asarray(matrix, np.float64)
    if not bool(is_rigid(torch.from_numpy(matrix))):
        raise ValueError(
            f"{where}: its pose is no rotation and translation (zeros, a mirror, a scale, or not finite); leave the "
            "frame out if its camera is unknown"
        )
    return matrix


def pose_of_quaternion(
    wxyz: Float[np.ndarray, "4"], translation: Float[np.ndarray, "3"], where: str
) -> Float64[np.ndarray, "4 4"]:
    """Make a pose of a quaternion (w, x, y, z) of about unit length.

    Raises:
        ValueError: No rotation, or not finite; the message begins with `where`.
    """
    quaternion, place = (torch.from_numpy(np.array(part, np.float64)) for part in (wxyz, translation))
    if not (bool(is_rotation(quaternion)) and bool(place.isfinite().all())):
        raise ValueError(
            f"{where}: its pose is no rigid motion; expected a quaternion that has a direction and a place, all "
            "finite; leave the frame out if its camera is unknown"
        )
    return pose_from_parts(matrix_from_quaternion(quaternion), place).numpy()


def _without_zeros(distortion: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(distortion) if any(value != 0 or math.isnan(value) for value in distortion) else ()


def _equal(a: Lens, b: Lens) -> bool:
    alike = type(a) is type(b) and a.size == b.size and a.distortion == b.distortion
    return alike and np.array_equal(a.intrinsics, b.intrinsics)


def _in_short(matrix: Float64[np.ndarray, "3 3"]) -> str:
    fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    return f"fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g}"
