"""One picture of a stream, with what is known of its camera."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8

from cut3r.geometry.poses import is_rigid


@dataclass(frozen=True)
class Frame:
    """One picture of a stream as it is meant to be seen: upright, not mirrored, sRGB.

    Its pixels are square: where those of a video are not, the picture is wider or higher than the coded one, and
    whatever counts "pixels of the original" (`intrinsics_original`, `original_size`) counts the pixels of `rgb`.

    `index` is the position in the source before any selection, from 0. `time_s` is the presentation time in seconds
    since the first frame of the source, None for photos. `name` is a file name, or like "kitchen.mp4#000123"; `source`
    is the file itself, if there is one.

    What is known of the camera may come along: `intrinsics` in pixels of `rgb`, which then replace the estimate;
    `world_from_cam` (OpenCV axes, metres, in a world of the caller's), which takes the place of the network's;
    `depth` (metres along the optical axis, 0 where it is not known), which says how long a metre is; `mask`, whose
    False pixels (a person, a car's bonnet) count as not valid.

    Raises:
        ValueError: Something of another shape or type, or no camera.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    index: int
    time_s: float | None
    name: str
    source: Path | None = None
    intrinsics: Float[np.ndarray, "3 3"] | None = None
    world_from_cam: Float[np.ndarray, "4 4"] | None = None
    mask: Bool[np.ndarray, "h w"] | None = None
    depth: Float32[np.ndarray, "h w"] | None = None

    def __post_init__(self) -> None:
        rgb = self.rgb
        if not is_array(rgb, np.uint8) or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
            raise ValueError(
                f"the picture of {self.name} is {described(rgb)}, expected a NumPy array of bytes (uint8) of shape "
                "(h, w, 3); convert grey, RGBA and float pictures first (cut3r.io.images.read_image does)"
            )
        if self.mask is not None and (not is_array(self.mask, np.bool_) or self.mask.shape != rgb.shape[:2]):
            raise ValueError(
                f"the mask of {self.name} is {described(self.mask)}, expected is an array of bool of the picture's "
                f"size {rgb.shape[:2]}, True where the picture counts"
            )
        if self.depth is not None and (not is_array(self.depth, np.float32) or self.depth.shape != rgb.shape[:2]):
            raise ValueError(
                f"the depth of {self.name} is {described(self.depth)}, expected is an array of float32 of the "
                f"picture's size {rgb.shape[:2]}, metres, 0 where it is not known"
            )
        if self.intrinsics is not None and not is_camera_matrix(self.intrinsics):
            raise ValueError(
                f"the intrinsics of {self.name} are no matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels of "
                "the picture, with fx and fy above 0"
            )
        pose = self.world_from_cam
        if pose is not None and not (np.shape(pose) == (4, 4) and bool(is_rigid(torch.as_tensor(pose)))):
            raise ValueError(
                f"world_from_cam of {self.name} is no rigid motion: expected are 4x4 numbers, a rotation without scale "
                "or reflection, a translation in metres, and the last row 0 0 0 1"
            )


def is_array(value: object, dtype: type) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == dtype


def described(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def is_camera_matrix(matrix: np.ndarray) -> bool:
    if np.shape(matrix) != (3, 3) or not np.isfinite(matrix).all():
        return False
    return bool(matrix[0, 0] > 0 and matrix[1, 1] > 0 and (matrix[2] == (0, 0, 1)).all() and matrix[1, 0] == 0)
