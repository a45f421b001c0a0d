"""Equirectangular pictures, as 360-degree cameras write them, cut into pinhole views that look around.

Longitude runs with the columns and is 0 in the middle, latitude with the rows; the camera is level. All views of one
picture share its centre, and are turned about the vertical by known angles, each overlapping its neighbours.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, Float64

from cut3r.io.frame import Frame

FIELD_DEG = 90.0  # from left to right of a view; six of them overlap by a third
RATIO = 3 / 4  # of a view's height to its width
FEWEST, MOST = 4, 12
SHAPE = 0.02  # by which a picture may differ from twice as wide as high


def check_views(count: int) -> None:
    """Refuse a number of views that leaves gaps, or would show all over again."""
    if not FEWEST <= count <= MOST:
        raise ValueError(f"a panorama is cut into {FEWEST} to {MOST} views, not {count}; 6 overlap by a third")


def pano_from_cam(number: int, count: int) -> Float64[np.ndarray, "4 4"]:
    """How a view is turned: OpenCV axes, about y."""
    angle = 2 * math.pi * number / count
    turned = np.eye(4)
    turned[0, 0] = turned[2, 2] = math.cos(angle)
    turned[0, 2], turned[2, 0] = math.sin(angle), -math.sin(angle)
    return turned


def views_of(frame: Frame, count: int) -> Iterator[Frame]:
    """Cut a picture; the views have intrinsics. Their `index` is that of the picture, times `count`, and their number.

    Raises:
        ValueError: It is not twice as wide as high, or something is known of its camera.
    """
    h, w = frame.rgb.shape[:2]
    if abs(w - 2 * h) > SHAPE * w:
        raise ValueError(
            f"{frame.name} has {w}x{h} pixels, and an equirectangular picture is twice as wide as high; leave out "
            "--panorama, or let the camera's program stitch the picture"
        )
    intrinsics = view_intrinsics((h, w))
    for number in range(count):
        columns, rows = _places((h, w), number, count)
        rgb = cv2.remap(frame.rgb, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        name = f"{frame.name}@{round(360 * number / count):03d}"
        yield Frame(rgb, frame.index * count + number, frame.time_s, name, intrinsics=intrinsics)


def view_size(size: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of the views of a picture of size (h, w): as sharp as that in their middle."""
    width = 2 * _focal(size) * math.tan(math.radians(FIELD_DEG) / 2)
    return 2 * round(width * RATIO / 2), 2 * round(width / 2)


def view_intrinsics(size: tuple[int, int]) -> Float64[np.ndarray, "3 3"]:
    """Of all views of a picture of size (h, w); pixel centres at whole numbers."""
    (h, w), focal = view_size(size), _focal(size)
    return np.array([[focal, 0, (w - 1) / 2], [0, focal, (h - 1) / 2], [0, 0, 1]])


def _focal(size: tuple[int, int]) -> float:
    return size[1] / (2 * math.pi)  # pixels per radian


@lru_cache(maxsize=MOST)
def _places(
    size: tuple[int, int], number: int, count: int
) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """Where the pixels of a view are in the picture: columns and rows."""
    (h0, w0), (h, w) = size, view_size(size)
    columns, rows = np.meshgrid(np.arange(w), np.arange(h))
    rays = np.stack((columns, rows, np.ones_like(rows)), axis=-1) @ np.linalg.inv(view_intrinsics(size)).T
    x, y, z = np.moveaxis(rays @ pano_from_cam(number, count)[:3, :3].T, -1, 0)
    longitude, latitude = np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))
    column = (longitude / (2 * math.pi) + 0.5) * w0 - 0.5
    row = (latitude / math.pi + 0.5) * h0 - 0.5
    return column.astype(np.float32), row.astype(np.float32)
