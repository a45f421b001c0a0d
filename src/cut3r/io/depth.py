"""Depth maps: float32 metres, 0 where there is no depth. On disk .npy (the same) or .png (16-bit grey, millimetres)."""

import logging
import os
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from PIL import Image

from cut3r.files.atomic import atomic_path

logger = logging.getLogger(__name__)

MILLIMETRES = 1000.0
FARTHEST_MM = 65535


def write_depth(path: str | os.PathLike[str], depth: Float32[np.ndarray, "h w"]) -> None:
    """Write a depth map, atomically, in the format that the suffix names.

    What is not finite becomes 0, no depth; else a .npy file holds the values as they are. A .png file holds whole
    millimetres: what is not positive becomes 0, and so does everything beyond 65.535 m, which is counted in a warning.

    Raises:
        ValueError: Another suffix, or an array that is not float32 h w.
    """
    suffix = _suffix(path)
    _require_depth(depth, path)
    with atomic_path(path) as temporary:
        if suffix == ".npy":
            np.save(temporary, np.where(np.isfinite(depth), depth, np.float32(0)))
        else:
            Image.fromarray(_to_millimetres(depth, path)).save(temporary)


def read_depth(path: str | os.PathLike[str]) -> Float32[np.ndarray, "h w"]:
    """Read a depth map of `write_depth`: metres, 0 where there is no depth (as written, for .npy).

    Raises:
        ValueError: Another suffix, or content that is not float32 h w (.npy) or 16-bit grey (.png).
    """
    if _suffix(path) == ".npy":
        depth = np.load(path)
        _require_depth(depth, path)
        return depth
    with Image.open(path) as image:
        millimetres = np.asarray(image)
    if millimetres.dtype != np.uint16 or millimetres.ndim != 2:
        kind = f"{millimetres.dtype} {millimetres.shape}"
        raise ValueError(f"{path} holds {kind}; expected a 16-bit grey PNG of millimetres, not a picture of the depth")
    return millimetres.astype(np.float32) / np.float32(MILLIMETRES)


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in (".npy", ".png"):
        raise ValueError(f"{path} has the suffix '{suffix}'; depth maps are .npy (metres) or .png (16-bit millimetres)")
    return suffix


def _require_depth(depth: np.ndarray, path: str | os.PathLike[str]) -> None:
    if depth.dtype != np.float32 or depth.ndim != 2:
        raise ValueError(
            f"{path}: a depth map is float32 of shape h w, not {depth.dtype} {depth.shape}; convert it first"
        )


def _to_millimetres(depth: Float32[np.ndarray, "h w"], path: str | os.PathLike[str]) -> np.ndarray:
    millimetres = np.rint(np.where(depth > 0, depth, 0) * MILLIMETRES)  # a nan is not > 0
    too_far = millimetres > FARTHEST_MM
    if too_far.any():
        logger.warning("%s: %d of %d pixels lie beyond 65.535 m and were written as 0", path, too_far.sum(), depth.size)
    return np.where(too_far, 0, millimetres).astype(np.uint16)
