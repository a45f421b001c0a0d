"""One moment of a recording: a picture, its depth map, and the camera, as files have them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int, Shaped, UInt8

from cut3r.data.layout import read_npy, read_png8, read_png16
from cut3r.data.transforms import finite
from cut3r.data.view import RawFrame
from cut3r.geometry.poses import is_rigid
from cut3r.io.colmap_dense import read_dense_map
from cut3r.io.depth import read_depth
from cut3r.io.known_cameras import SAME_SHAPE, Lens
from cut3r.io.lzfse import read_lzfse
from cut3r.io.numbers import read_matrix
from cut3r.io.undistort import undistortion

Matrix = Float64[np.ndarray, "4 4"]
Size = tuple[int, int]

SATURATED = 65535  # a sensor's word for "too far", or "unknown"
RECORD3D, DENSE = ".depth", ".bin"  # suffixes of Record3D's depth and of COLMAP's dense maps
LOW, MEDIUM, HIGH = 0, 1, 2  # confidence of ARKit


@dataclass(frozen=True)
class DepthFile:
    """A depth map on disk. `per_metre` is how many of its units are a metre; None: as the settings say.

    `size` (h, w) is that of files that do not say it. `confidence` is the file of ARKit's confidence.
    """

    path: Path
    per_metre: float | None = None
    size: Size | None = None
    confidence: Path | None = None

    def read(self, *, per_metre: float = 1000.0, least_confidence: int = LOW) -> Float32[np.ndarray, "h w"]:
        """Read it: metres (the unit of the poses, for a model without metres), 0 where it is unknown.

        Args:
            per_metre: Of a PNG or whole numbers, if the recording does not say it.
            least_confidence: What is less sure becomes unknown.

        Raises:
            FileNotFoundError: No such file.
            ValueError: It is no depth map, or damaged.
        """
        depth = read_metres(self.path, per_metre=per_metre, own=self.per_metre, size=self.size)
        if self.confidence is None or least_confidence == LOW:
            return depth
        sure = resize_nearest(read_confidence(self.confidence, depth.shape), depth.shape, str(self.confidence))
        return np.where(sure >= least_confidence, depth, np.float32(0))


@dataclass(frozen=True)
class Shot:
    """The files of one moment; the pose may have come from a file of many.

    `lens` is None where the recording has one camera for all.
    """

    picture: Path
    depth: DepthFile
    pose: Path | Matrix
    lens: Lens | None = None

    def world_from_cam(self) -> Matrix:
        """Read the camera; one that is not finite is unknown.

        Raises:
            ValueError: The file is no 4x4 matrix, or no rotation and translation.
        """
        if not isinstance(self.pose, Path):
            return self.pose
        matrix = read_matrix(self.pose, 4, 4)
        if np.isfinite(matrix).all() and not is_rigid(torch.from_numpy(matrix)):
            raise ValueError(
                f"{self.pose} is no rotation and translation (a scale, a mirror, zeros, or its last row is not "
                "0 0 0 1); expected is world_from_cam in metres"
            )
        return matrix


def pinhole_frame(
    rgb: UInt8[np.ndarray, "h w 3"], depth: Float32[np.ndarray, "h w"], lens: Lens, world_from_cam: Matrix
) -> RawFrame:
    """Make the frame of a picture with its depth; distortion of the lens is undone.

    Raises:
        ValueError: The lens is for pictures of another shape, or its distortion cannot be undone.
    """
    size = (rgb.shape[0], rgb.shape[1])
    if not lens.distortion:
        return RawFrame(rgb, depth, lens.at(size), world_from_cam)
    straight = undistortion(lens, size)
    return RawFrame(straight.picture(rgb), straight.depth(depth), straight.intrinsics, world_from_cam)


def read_metres(
    path: Path, *, per_metre: float = 1000.0, own: float | None = None, size: Size | None = None
) -> Float32[np.ndarray, "h w"]:
    """Read a depth map: metres, 0 where it is unknown. A PNG counts in parts of a metre, and 65535 is unknown.

    Args:
        per_metre: The units of a metre in files of whole numbers.
        own: What the recording says of this file, of whatever numbers; None: nothing.
        size: (h, w) of files that do not say it.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is no depth map, or damaged.
    """
    values = _values(path, size)
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2:
        raise ValueError(f"{path} holds {values.dtype} {values.shape}; expected a depth map of h w numbers")
    whole = values.dtype.kind in "iub"
    if whole and values.dtype.itemsize == 2:
        values = np.where(values == SATURATED, 0, values)
    unit = own or (per_metre if whole else 1.0)
    return finite(values.astype(np.float32) / np.float32(unit))


def read_confidence(path: Path, size: Size) -> Int[np.ndarray, "h w"]:
    """Read how sure ARKit is of depth: 0 (low), 1 (medium), 2 (high), as numbers or as greys from 0 to 255.

    Args:
        size: (h, w) of Record3D's files, which do not say it.

    Raises:
        ValueError: It is no such picture, or has another size than that.
    """
    if path.suffix.lower() == ".png":
        values = read_png8(path)
        values = values if values.ndim == 2 else values[..., 0]
    else:
        values = np.frombuffer(read_lzfse(path), np.uint8)
        values = _shaped(values, size, path)
    if values.max(initial=0) <= HIGH:
        return values.astype(np.int64)
    return np.where(values == 0, LOW, np.where(values == 255, HIGH, MEDIUM)).astype(np.int64)


def resize_nearest(pixels: Shaped[np.ndarray, "h0 w0"], size: Size, what: str) -> Shaped[np.ndarray, "h w"]:
    """Resample what must not be blended to a picture's size (h, w): each pixel takes the nearest centre.

    Raises:
        ValueError: It has another shape than the picture.
    """
    (h0, w0), (h, w) = pixels.shape, size
    if (h0, w0) == (h, w):
        return pixels
    if abs(h - h0 * w / w0) > max(SAME_SHAPE, w / w0) and abs(w - w0 * h / h0) > max(SAME_SHAPE, h / h0):
        raise ValueError(
            f"{what} has {w0}x{h0} pixels for a picture of {w}x{h}, which is another shape; depth must show what the "
            "picture does, so register it, and do not crop or turn only one of the two"
        )
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in ((h, h0), (w, w0)))
    return pixels[rows[:, None], columns]


def _values(path: Path, size: Size | None) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix == ".png":
        return read_png16(path)
    if suffix == ".npy":
        return read_npy(path)
    if suffix == DENSE:
        return np.maximum(read_dense_map(path), 0)
    if suffix != RECORD3D:
        return read_depth(path)
    if size is None:
        raise ValueError(f"{path}: nothing says how many pixels it has; expected dw and dh in Record3D's metadata")
    return _shaped(np.frombuffer(read_lzfse(path), "<f4"), size, path)


def _shaped(values: np.ndarray, size: Size, path: Path) -> np.ndarray:
    if len(values) != size[0] * size[1]:
        raise ValueError(f"{path} has {len(values)} numbers for {size[1]}x{size[0]} pixels; copy or export it again")
    return values.reshape(size)
