"""Pictures of Waymo's cameras and their sparse depth: smaller and, by default, without the distortion of the lens."""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8
from PIL import Image

from cut3r.data.transforms import Rescale
from datasets_preprocess.waymo_frames import Camera
from datasets_preprocess.waymo_lidar import Seen

STEPS, PRECISION = 50, 1e-9  # of undoing the distortion of a point, whose formula has no inverse
CONVERGED = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, STEPS, PRECISION)


@dataclass(frozen=True)
class View:
    """How pictures of a camera are stored: resampled by `scaling`, of a pinhole camera unless in parity mode."""

    camera: Camera
    scaling: Rescale
    intrinsics: Float64[np.ndarray, "3 3"]  # of the stored pictures
    maps: tuple[np.ndarray, np.ndarray] | None  # where each pixel without distortion lies in a published picture

    @classmethod
    def of(cls, camera: Camera, width: int, *, parity: bool = False) -> "View":
        """Resample to so many columns.

        Args:
            parity: 08_waymo.md quirk 4: the distortion stays.
        """
        scaling = Rescale.to_cover(camera.size, (1, width))
        straight = parity or not camera.distortion.any()
        size = camera.size[::-1]
        maps = None
        if not straight:
            maps = cv2.initUndistortRectifyMap(
                camera.intrinsics, camera.distortion, np.eye(3), camera.intrinsics, size, cv2.CV_32FC1
            )
        return cls(camera, scaling, scaling.intrinsics(camera.intrinsics), maps)

    @property
    def distortion(self) -> Float64[np.ndarray, "5"]:
        """What is left of the distortion in stored pictures."""
        return self.camera.distortion if self.maps is None else np.zeros(5)

    def picture(self, rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h1 w1 3"]:
        """Resample a published picture. What the lens does not show of the border stays black.

        Raises:
            ValueError: It has another size than the calibration.
        """
        if rgb.shape[:2] != self.camera.size:
            raise ValueError(f"the picture has {rgb.shape[:2]} pixels, camera {self.camera.name} {self.camera.size}")
        return self.scaling.image(rgb if self.maps is None else cv2.remap(rgb, *self.maps, cv2.INTER_LINEAR))

    def pixels(self, published: Float64[np.ndarray, "n 2"]) -> Float64[np.ndarray, "n 2"]:
        """Say where stored pictures show what published ones show at these (x, y)."""
        if self.maps is None or not len(published):
            homogeneous = np.concatenate((published, np.ones((len(published), 1))), axis=1)
            return (homogeneous @ (self.intrinsics @ np.linalg.inv(self.camera.intrinsics)).T)[:, :2]
        points = cv2.undistortPoints(
            published[:, None],
            self.camera.intrinsics,
            self.camera.distortion,
            R=np.eye(3),
            P=self.intrinsics,
            criteria=CONVERGED,
        )
        return np.asarray(points, np.float64).reshape(-1, 2)

    def depth(self, seen: Seen, *, parity: bool = False) -> Float32[np.ndarray, "h w"]:
        """Draw the depth of points, each into one pixel: the nearest where several meet, none outside of the picture.

        Args:
            parity: 08_waymo.md quirks 2, 8: the last instead of the nearest; points outside go to the border.
        """
        h, w = self.scaling.new
        depth = np.zeros((h, w), np.float32)
        column, row = self.pixels(seen.pixels).round().T
        if parity:
            column, row, order = column.clip(0, w - 1), row.clip(0, h - 1), np.arange(len(row))
        else:
            inside = np.flatnonzero((column >= 0) & (column < w) & (row >= 0) & (row < h))
            order = inside[np.argsort(-seen.depth[inside], kind="stable")]
        depth[row[order].astype(int), column[order].astype(int)] = seen.depth[order]  # of several the last stays
        return depth


def decode_jpeg(jpeg: bytes, *, parity: bool = False) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a picture.

    Args:
        parity: The original's first stage stores it once more as JPEG.

    Raises:
        OSError: It is damaged, or no picture.
    """
    with Image.open(io.BytesIO(jpeg)) as image:
        rgb = image.convert("RGB")
    if parity:
        again = io.BytesIO()
        rgb.save(again, "JPEG")
        with Image.open(again) as image:
            rgb = image.convert("RGB")
    return np.asarray(rgb)
