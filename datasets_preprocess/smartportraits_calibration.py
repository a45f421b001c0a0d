"""The phone and the depth camera of SmartPortraits, and how the depth of the one looks from the other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float32, Float64, Num, UInt8
from scipy.ndimage import minimum_filter

from cut3r.data.transforms import Size
from cut3r.files.damaged import naming_the_file
from cut3r.files.pickled import read_pickled, read_pickled_npy
from cut3r.geometry.cameras import project, unproject
from cut3r.geometry.poses import transform
from cut3r.io.json_fields import a_number, an_object, read_json
from datasets_preprocess.runner import require_rigid

TOOLKIT = "convert_to_TUM"  # folder of the official toolkit, in the raw folder
REACH = 11  # pixels: side of the window whose nearest depth a pixel gets


@dataclass(frozen=True)
class Calibration:
    """Distorted and undistorted intrinsics in pixels, OpenCV's distortion, and how the cameras stand to each other."""

    size: Size  # of the phone's pictures
    phone: Float64[np.ndarray, "3 3"]
    phone_distortion: Float64[np.ndarray, "k"]
    undistorted: Float64[np.ndarray, "3 3"]  # of the pictures that are written
    depth: Float64[np.ndarray, "3 3"]
    depth_distortion: Float64[np.ndarray, "l"]
    phone_from_depth: Float64[np.ndarray, "4 4"]  # metres

    def undistort(self, rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """Give the phone's picture as a pinhole camera with the intrinsics `undistorted` sees it."""
        return np.asarray(cv2.undistort(rgb, self.phone, self.phone_distortion, None, self.undistorted), np.uint8)

    def seen_by_phone(self, depth: Num[np.ndarray, "h w"], *, parity: bool = False) -> Float32[np.ndarray, "h1 w1"]:
        """Give a depth map of the depth camera as the undistorted phone sees it, in metres; 0 where nothing is known.

        Each point is one pixel; then each pixel takes the nearest depth around it, which closes the holes between them
        and moves the borders of what is near outwards.

        Parity: where two points fall on the same pixel the later one stays, not the nearer one.
        """
        h, w = depth.shape
        pinhole, _ = cv2.getOptimalNewCameraMatrix(self.depth, self.depth_distortion, (w, h), 1.0, (w, h))
        maps = cv2.initUndistortRectifyMap(self.depth, self.depth_distortion, np.eye(3), pinhole, (w, h), cv2.CV_32FC1)
        flat = cv2.remap(depth, *maps, cv2.INTER_NEAREST)
        known = np.isfinite(flat) & (flat > 0)
        points = unproject(torch.from_numpy(flat.astype(np.float64)), torch.from_numpy(pinhole))[known].float()
        moved = transform(torch.from_numpy(self.phone_from_depth), points.double())
        pixels, z = project(moved, torch.from_numpy(self.undistorted))
        seen = scatter(pixels.numpy(), z.numpy(), self.size, in_order=parity)
        seen[seen == 0] = np.inf
        nearest = minimum_filter(seen, size=REACH, mode="reflect")
        return np.where(np.isfinite(nearest), nearest, 0).astype(np.float32)


def scatter(
    pixels: Float64[np.ndarray, "p 2"], z: Float64[np.ndarray, "p"], size: Size, *, in_order: bool = False
) -> Float64[np.ndarray, "h w"]:
    """Put the depth of points to the pixels (x, y) that they fall on; 0 where none does.

    Args:
        in_order: Of points on the same pixel the last one stays; otherwise the nearest.
    """
    h, w = size
    column, row = np.rint(pixels).T  # half to even
    inside = (z > 0) & (column >= 0) & (column < w) & (row >= 0) & (row < h)
    column, row, z = column[inside].astype(np.int64), row[inside].astype(np.int64), z[inside]
    order = np.arange(len(z)) if in_order else np.argsort(-z, kind="stable")
    image = np.zeros(size)
    image[row[order], column[order]] = z[order]
    return image


PUBLISHED = Calibration(
    size=(1080, 1920),
    phone=np.array([[1483.636053, 0, 981.538404], [0, 1489.324405, 538.906923], [0, 0, 1]]),
    phone_distortion=np.array(
        [
            *(-1.063203, 61.273137, 0.010405, 0.015496, -37.183242, -1.378047, 61.986888, -39.427224),
            *(-0.015158, -0.005758, -0.011183, 0.000985, -0.021313, 0.026107),
        ]
    ),
    undistorted=np.array([[1512.487915, 0, 981.586159], [0, 1512.508545, 537.771318], [0, 0, 1]]),
    depth=np.array([[503.95816, 0, 325.459106], [0, 504.007935, 340.334045], [0, 0, 1]]),
    depth_distortion=np.array([5.268435, 3.562151, -1e-6, -4.4e-5, 0.18329, 5.597448, 5.321101, 0.96979]),
    phone_from_depth=np.array(
        [
            [-0.999988132, -0.00486803984, -0.000197467463, 0.00619728007],
            [0.00486540733, -0.995690845, -0.0926070687, 0.106344126],
            [0.000254198355, -0.0926069304, 0.995702713, 0.0572830534],
            [0, 0, 0, 1],
        ]
    ),
)


def read_calibration(raw: Path) -> Calibration:
    """Read the toolkit's files below the raw folder; without them, give the published numbers, which are rounded.

    Raises:
        FileNotFoundError: The toolkit is there, but one of its files is not.
        ValueError: One of them is damaged, or holds no calibration.
    """
    config = raw / TOOLKIT / "config.json"
    if not config.is_file():
        return PUBLISHED
    fields = an_object(read_json(config), str(config))
    phone_path, depth_path, between_path = (
        config.parent / "utils" / str(fields.get(key))
        for key in ("rgb_intristics", "depth_conf", "transform_intristics")
    )
    phone, depth = read_pickled_npy(phone_path), read_pickled(depth_path)
    with naming_the_file(phone_path):
        phone_fields = an_object(phone.item() if phone.size == 1 else None, "it")
    depth_fields = an_object(depth, str(depth_path), "depth")
    phone_from_depth = read_pickled_npy(between_path).astype(np.float64)
    require_rigid(phone_from_depth, str(between_path))
    return Calibration(
        size=(int(a_number(fields, "res_h", str(config))), int(a_number(fields, "res_w", str(config)))),
        phone=_numbers(phone_fields, "intrinsics", phone_path).reshape(3, 3),
        phone_distortion=_numbers(phone_fields, "dist_coeff", phone_path).ravel(),
        undistorted=_numbers(phone_fields, "undist_intrinsics", phone_path).reshape(3, 3),
        depth=_numbers(depth_fields, "dist_mtx", depth_path).reshape(3, 3),
        depth_distortion=_numbers(depth_fields, "dist_coef", depth_path).ravel(),
        phone_from_depth=phone_from_depth,
    )


def _numbers(fields: Any, name: str, path: Path) -> Float64[np.ndarray, "..."]:
    if name not in fields:
        raise ValueError(f"{path} lacks {name}; take the file of the official toolkit")
    return np.asarray(fields[name], np.float64)
