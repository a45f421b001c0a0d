"""Pictures and depth of a lens with distortion, or a fisheye, become those of a pinhole camera at the same place."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped, UInt8

from cut3r.io.known_cameras import Lens

MOST_ZOOM = 2.0  # beyond, the coefficients are for another picture
STEPS = 30  # of halving the interval of the zoom
ALONG = np.linspace(0.5, 1.0, 11)  # parts of a ray to the border, where distortion must not turn back


@dataclass(frozen=True)
class Undistortion:
    """The pinhole camera, and the pixels (column and row) of the distorted picture that its pixels show."""

    intrinsics: Float64[np.ndarray, "3 3"]
    columns: Float32[np.ndarray, "h w"]
    rows: Float32[np.ndarray, "h w"]

    def picture(self, rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        import cv2  # here: a quarter of a second, and most recordings do without

        straight = cv2.remap(rgb, self.columns, self.rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(straight, np.uint8)

    def depth(self, depth: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        """Take the nearest pixel: z is the same with and without distortion, and must not be blended."""
        return self._nearest(depth, np.float32(0))

    def mask(self, mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
        """Take the nearest pixel; False outside."""
        return self._nearest(mask, np.bool_(False))

    def _nearest(self, values: Shaped[np.ndarray, "h w"], outside: np.generic) -> Shaped[np.ndarray, "h w"]:
        h, w = values.shape
        columns, rows = (np.rint(where).astype(int) for where in (self.columns, self.rows))
        inside = (columns >= 0) & (columns < w) & (rows >= 0) & (rows < h)
        return np.where(inside, values[rows.clip(0, h - 1), columns.clip(0, w - 1)], outside)


def undistortion(lens: Lens, size: tuple[int, int]) -> Undistortion:
    """Give the pinhole camera of the same centre that sees nothing outside of the picture of `size` (h, w), nor where
    the coefficients turn back on themselves.

    In its middle it is as large as the picture of the lens, or as much larger as that needs.

    Raises:
        ValueError: It would have to be more than twice as large, or `Lens.at` refuses the size.
    """
    return _undistortion(_Key(type(lens), tuple(lens.at(size).ravel().tolist()), lens.distortion, size))


@dataclass(frozen=True)
class _Key:
    kind: type[Lens]
    matrix: tuple[float, ...]
    distortion: tuple[float, ...]
    size: tuple[int, int]

    def lens(self) -> Lens:
        return self.kind(np.array(self.matrix).reshape(3, 3), self.size, self.distortion)


@lru_cache(maxsize=4)  # a recording has one or two lenses, whose maps are the same for each frame
def _undistortion(key: _Key) -> Undistortion:
    lens, (h, w) = key.lens(), key.size
    intrinsics = _zoomed(lens, _zoom(lens, key.size))
    pixels = np.stack(np.meshgrid(np.arange(w, dtype=np.float64), np.arange(h, dtype=np.float64)), axis=-1)
    columns, rows = (
        _seen_at(lens, intrinsics, pixels.reshape(-1, 2)).reshape(h, w, 2).astype(np.float32).transpose(2, 0, 1)
    )
    return Undistortion(intrinsics, np.ascontiguousarray(columns), np.ascontiguousarray(rows))


def _zoom(lens: Lens, size: tuple[int, int]) -> float:
    """The smallest zoom, at least 1, at which the whole border lies in the picture."""
    low, high = 1.0, MOST_ZOOM
    if _fits(lens, size, low):
        return low
    if not _fits(lens, size, high):
        raise ValueError(
            f"its distortion {lens.distortion} leaves no pinhole camera in a picture of {size[1]}x{size[0]}; "
            "undistort the pictures and depth maps first, or check the calibration"
        )
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _fits(lens, size, middle) else (middle, high)
    return high


def _fits(lens: Lens, size: tuple[int, int], zoom: float) -> bool:
    (h, w), intrinsics = size, _zoomed(lens, zoom)
    across, down = np.arange(w, dtype=np.float64), np.arange(h, dtype=np.float64)
    sides = [np.stack((across, np.full(w, v)), axis=1) for v in (0.0, h - 1.0)]
    sides += [np.stack((np.full(h, u), down), axis=1) for u in (0.0, w - 1.0)]
    border = np.concatenate(sides)
    at, center = _seen_at(lens, intrinsics, border), intrinsics[:2, 2]
    inside = (at >= -0.5).all() and (at <= np.array([w, h]) - 0.5).all()
    steps = [_seen_at(lens, intrinsics, center + part * (border - center)) - lens.intrinsics[:2, 2] for part in ALONG]
    return bool(inside and (np.diff(np.linalg.norm(steps, axis=2), axis=0) > 0).all())


def _zoomed(lens: Lens, zoom: float) -> Float64[np.ndarray, "3 3"]:
    intrinsics = lens.intrinsics.copy()
    intrinsics[(0, 1), (0, 1)] *= lens.middle * zoom
    return intrinsics


def field_of(lens: Lens, size: tuple[int, int]) -> float | None:
    """Radians from left to right of the lens's own picture of `size` (h, w); None where it is not all picture."""
    (fx, _, cx), (_, fy, cy), _ = lens.at(size).tolist()
    middle = (size[0] - 1) / 2
    ends = np.array([[-0.5, middle], [size[1] - 0.5, middle]])
    left, right = lens.rays((ends - (cx, cy)) / (fx, fy))
    angle = math.atan2(left[0], left[2]), math.atan2(right[0], right[2])
    return None if math.isnan(angle[0] + angle[1]) else angle[1] - angle[0]


def _seen_at(
    lens: Lens, intrinsics: Float64[np.ndarray, "3 3"], pixels: Float64[np.ndarray, "p 2"]
) -> Float64[np.ndarray, "p 2"]:
    """Where the distorted picture shows what the pinhole camera has at `pixels`."""
    rays = (pixels - intrinsics[:2, 2]) / intrinsics.diagonal()[:2]
    return lens.distort(rays) * lens.intrinsics.diagonal()[:2] + lens.intrinsics[:2, 2]
