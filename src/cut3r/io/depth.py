"""Depth maps: float32 metres, 0 where there is no depth, negative for sky where the format can say so.

On disk:
    .npy   the same.
    .npz   compressed, one array `depth`, float32 or float16.
    .exr   compressed, one channel `Y`, float32 or float16; the depth channel of other programs' files.
    .pfm   float32.
    .png   16-bit grey, millimetres; neither sky nor anything beyond 65.535 m.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float16, Float32, UInt16
from PIL import Image

from cut3r.files.atomic import atomic_path
from cut3r.files.damaged import naming_the_file
from cut3r.files.packed_path import as_path
from cut3r.io.exr import exr_channels, read_exr, write_exr
from cut3r.io.pfm import read_pfm, write_pfm

logger = logging.getLogger(__name__)

SUFFIXES = (".npy", ".npz", ".exr", ".pfm", ".png")
HALVES = (".npz", ".exr")  # these may hold float16
MILLIMETRES = 1000.0
FARTHEST_MM = 65535
FARTHEST_HALF = float(np.finfo(np.float16).max)  # 65504
DEPTH_CHANNELS = ("Z", "Y", "R")  # what programs call depth beside other channels, the likeliest first


def write_depth(path: str | os.PathLike[str], depth: Float32[np.ndarray, "h w"], *, half: bool = False) -> None:
    """Write a depth map, atomically, in the format that the suffix names.

    What is not finite becomes 0, no depth; else all but .png hold the values as they are. A .png file holds whole
    millimetres: what is not positive becomes 0, and so does everything beyond 65.535 m, which is counted in a warning.

    Args:
        half: Write float16, half of the bytes: errors up to 1/2048 of the depth, 5 mm at 10 m. Everything beyond
            65504 m becomes 0, which is counted in a warning. Only .npz and .exr.

    Raises:
        ValueError: Another suffix, or an array that is not float32 h w.
    """
    suffix = _suffix(path)
    _require_depth(depth, path)
    if half and suffix not in HALVES:
        raise ValueError(f"{path}: float16 goes into .npz and .exr, not into {suffix}; choose one of these, or float32")
    if suffix == ".png":
        with atomic_path(path) as temporary:
            Image.fromarray(_to_millimetres(depth, path)).save(temporary)
        return
    finite = np.where(np.isfinite(depth), depth, np.float32(0))
    values = _to_half(finite, path) if half else finite
    if suffix == ".exr":
        write_exr(path, values)
    elif suffix == ".pfm":
        write_pfm(path, finite)
    else:
        with atomic_path(path) as temporary:
            np.save(temporary, values) if suffix == ".npy" else np.savez_compressed(temporary, depth=values)


def read_depth(path: str | os.PathLike[str]) -> Float32[np.ndarray, "h w"]:
    """Read a depth map: metres, 0 where there is no depth; numbers as they are in the file, but for .png.

    A file of another program may hold other units, negative or infinite values: its reader turns them into ours.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Another suffix, a damaged file, or content that is no depth map: float32 h w (.npy, .pfm), also
            float16 (.npz, .exr), 16-bit grey (.png).
    """
    suffix, path = _suffix(path), as_path(path)
    if suffix == ".png":
        return _read_png(path)
    if suffix == ".exr":
        return read_exr(path, depth_channel(exr_channels(path), path))
    depth = read_pfm(path) if suffix == ".pfm" else _read_array(path, suffix)
    if suffix in HALVES and depth.dtype == np.float16:
        depth = depth.astype(np.float32)
    _require_depth(depth, path)
    return depth


def depth_channel(channels: Sequence[str], path: str | os.PathLike[str]) -> str:
    """Choose the channel of an OpenEXR picture that is depth: the only one; else Z, Y or R, in this order.

    Raises:
        ValueError: Several, and none of these.
    """
    names = [channels[0]] if len(channels) == 1 else [name for name in DEPTH_CHANNELS if name in channels]
    if not names:
        raise ValueError(f"{path} has the channels {', '.join(channels)}; expected one, or one of Z, Y and R, as depth")
    return names[0]


def _read_png(path: Path) -> Float32[np.ndarray, "h w"]:
    with naming_the_file(path), path.open("rb") as file, Image.open(file) as image:
        millimetres = np.asarray(image)
    if millimetres.dtype != np.uint16 or millimetres.ndim != 2:
        kind = f"{millimetres.dtype} {millimetres.shape}"
        raise ValueError(f"{path} holds {kind}; expected a 16-bit grey PNG of millimetres, not a picture of the depth")
    return millimetres.astype(np.float32) / np.float32(MILLIMETRES)


def _read_array(path: Path, suffix: str) -> np.ndarray:
    # np.load leaves a damaged file open
    with naming_the_file(path), path.open("rb") as file:
        if suffix == ".npy":
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
            return array
        with np.load(file, allow_pickle=False) as archive:
            if "depth" not in archive:
                raise ValueError(f"it holds {', '.join(archive) or 'nothing'}; expected the array depth")
            return archive["depth"]


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"{path} has the suffix '{suffix}'; depth maps are .npy, .npz, .exr, .pfm (metres) or .png (16-bit "
            "millimetres)"
        )
    return suffix


def _require_depth(depth: np.ndarray, path: str | os.PathLike[str]) -> None:
    if depth.dtype != np.float32 or depth.ndim != 2:
        raise ValueError(
            f"{path}: a depth map is float32 of shape h w, not {depth.dtype} {depth.shape}; convert it first"
        )


def _to_millimetres(depth: Float32[np.ndarray, "h w"], path: str | os.PathLike[str]) -> UInt16[np.ndarray, "h w"]:
    millimetres = np.rint(np.where(depth > 0, depth, 0) * MILLIMETRES)  # a nan is not > 0
    too_far = millimetres > FARTHEST_MM
    if too_far.any():
        logger.warning("%s: %d of %d pixels lie beyond 65.535 m and were written as 0", path, too_far.sum(), depth.size)
    return np.where(too_far, 0, millimetres).astype(np.uint16)


def _to_half(depth: Float32[np.ndarray, "h w"], path: str | os.PathLike[str]) -> Float16[np.ndarray, "h w"]:
    too_far = np.abs(depth) > FARTHEST_HALF
    if too_far.any():
        logger.warning("%s: %d of %d pixels lie beyond 65504 m and were written as 0", path, too_far.sum(), depth.size)
    return np.where(too_far, 0, depth).astype(np.float16)
