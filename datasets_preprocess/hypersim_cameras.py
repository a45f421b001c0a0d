"""The cameras of Hypersim, many of which have tilted and shifted lenses.

`metadata_camera_parameters.csv` says of each scene which ray of the camera goes through a pixel. An upright pinhole
camera that looks elsewhere sees along the same rays: the difference is a rotation.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy.linalg import rq

from cut3r.data.transforms import Size

OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0])  # x right, y up, z backward
HALF = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])  # from the centre of the first pixel to its corner


@dataclass(frozen=True)
class SceneCamera:
    """The camera of all frames of a scene. In `intrinsics` the centre of the first pixel is (0, 0); they may have skew.
    `nominal_from_cam` turns the pinhole camera into the one whose pose is published, both in OpenCV's axes."""

    size: Size
    intrinsics: Float64[np.ndarray, "3 3"]
    nominal_from_cam: Float64[np.ndarray, "3 3"]

    def planar(self, distance: Float[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        """Turn distances from the camera's centre into depth along its axis."""
        rays = _pixels(self.size) @ np.linalg.inv(self.intrinsics).T
        return (distance / np.linalg.norm(rays, axis=-1)).astype(np.float32)


@dataclass(frozen=True)
class OriginalCamera(SceneCamera):
    """Parity: the camera as the original has it. Its depth comes from the middle of the picture and the mean of the
    focal lengths, whatever the intrinsics say."""

    def planar(self, distance: Float[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        focal = (self.intrinsics[0, 0] + self.intrinsics[1, 1]) / 2
        offset = _pixels(self.size)[..., :2] - (np.array(self.size[::-1]) - 1) / 2
        return (distance * focal / np.sqrt((offset**2).sum(axis=-1) + focal**2)).astype(np.float32)


def scene_camera(row: dict[str, str]) -> SceneCamera:
    """Find the pinhole camera that sees along the rays of a row of the table.

    Raises:
        ValueError: The row lacks them, or they are none.
    """
    h, w = _size(row)
    cam_from_uv = _matrix(row, "M_cam_from_uv", 3)
    pixel_from_uv = np.array([[w / 2, 0, w / 2], [0, -h / 2, h / 2], [0, 0, 1]])  # u, v from -1 to 1, v up
    if abs(np.linalg.det(cam_from_uv)) < 1e-12:
        raise ValueError(f"M_cam_from_uv of {row['scene_name']} has no inverse; copy the table again")
    pixel_from_nominal = pixel_from_uv @ np.linalg.inv(cam_from_uv) @ OPENCV_FROM_OPENGL
    intrinsics, cam_from_nominal = rq(pixel_from_nominal)
    signs = np.sign(np.diag(intrinsics))
    intrinsics, cam_from_nominal = intrinsics * signs, signs[:, None] * cam_from_nominal
    if np.linalg.det(cam_from_nominal) < 0:  # the same pixels, as it only counts up to a factor
        cam_from_nominal = -cam_from_nominal
    return SceneCamera((h, w), intrinsics / intrinsics[2, 2] - HALF, cam_from_nominal.T)


def original_camera(row: dict[str, str]) -> OriginalCamera:
    """Give the camera that the original takes: its projection without the last row, and pixel corners for centres."""
    h, w = _size(row)
    projection = _matrix(row, "M_proj", 4)
    intrinsics = np.array(
        [
            [projection[0, 0] * w / 2, -projection[0, 1] * w / 2, (1 - projection[0, 2]) * w / 2],
            [0, projection[1, 1] * h / 2, (1 + projection[1, 2]) * h / 2],
            [0, 0, 1],
        ]
    )
    return OriginalCamera((h, w), intrinsics, np.eye(3))


def _size(row: dict[str, str]) -> Size:
    return int(float(row["settings_output_img_height"])), int(float(row["settings_output_img_width"]))


def _matrix(row: dict[str, str], name: str, side: int) -> Float64[np.ndarray, "n n"]:
    names = [f"{name}_{i}{j}" for i in range(side) for j in range(side)]
    if lacking := [column for column in names if not row.get(column)]:
        raise ValueError(f"the table lacks {lacking[0]} of {row['scene_name']}; take a newer one from its authors")
    return np.array([float(row[column]) for column in names]).reshape(side, side)


def _pixels(size: Size) -> Float64[np.ndarray, "h w 3"]:
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    return np.stack((x, y, np.ones_like(x)), axis=-1)
