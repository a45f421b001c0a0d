"""Camera paths as text: TUM (time stamp, position, quaternion) and KITTI (rows of 3x4 matrices).

Both hold `world_from_cam`, metres, OpenCV axes, one camera per line. TUM writes quaternions as x y z w; everywhere else
in this project they are (w, x, y, z).
"""

import logging
import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from cut3r.files.atomic import atomic_path
from cut3r.geometry.poses import is_rigid, is_rotation, matrix_from_quaternion, quaternion_from_matrix
from cut3r.io.numbers import read_rows

logger = logging.getLogger(__name__)

WXYZ_FROM_XYZW = [3, 0, 1, 2]
XYZW_FROM_WXYZ = [1, 2, 3, 0]


def write_tum(
    path: str | os.PathLike[str], world_from_cams: Float[np.ndarray, "v 4 4"], times_s: Float[np.ndarray, "v"]
) -> None:
    """Write a TUM trajectory, atomically. Cameras that are not finite get no line and are counted in a warning.

    Args:
        times_s: Time stamps in seconds. Where a single one is unknown (nan), all lines carry frame numbers 0, 1, 2, ...
            instead: a file never mixes the two. A camera without a line keeps its number.
    """
    stamps = times_s if np.isfinite(times_s).all() else np.arange(len(times_s))
    finite = _finite(world_from_cams)
    if not finite.all():
        logger.warning("%d of %d cameras are not finite and were left out of %s", (~finite).sum(), len(finite), path)
    stamps, world_from_cams = stamps[finite], world_from_cams[finite]
    rotations = torch.from_numpy(world_from_cams[:, :3, :3].astype(np.float64))
    quaternions = quaternion_from_matrix(rotations).numpy()[:, XYZW_FROM_WXYZ]
    rows = np.concatenate([world_from_cams[:, :3, 3], quaternions], axis=1)
    lines = [f"{stamp:.6f} {_numbers(row)}" for stamp, row in zip(stamps, rows, strict=True)]
    _write_lines(path, ["# timestamp tx ty tz qx qy qz qw", *lines])


def read_tum(path: str | os.PathLike[str]) -> tuple[Float64[np.ndarray, "v 4 4"], Float64[np.ndarray, "v"]]:
    """Read a TUM trajectory: `world_from_cam` matrices and time stamps in seconds.

    Raises:
        ValueError: A line that is not eight finite numbers, or whose quaternion is no rotation (length zero).
    """
    rows, lines = read_rows(Path(path), 8, "timestamp tx ty tz qx qy qz qw")
    quaternions = torch.from_numpy(rows[:, 4:][:, WXYZ_FROM_XYZW])
    finite = torch.from_numpy(rows).isfinite().all(dim=1)
    _require(finite, path, lines, "all numbers must be finite; leave the line out if the camera is unknown")
    _require(is_rotation(quaternions), path, lines, "its quaternion has no direction, so it is no rotation")
    world_from_cams = np.tile(np.eye(4), (len(rows), 1, 1))
    world_from_cams[:, :3, :3] = matrix_from_quaternion(quaternions).numpy()
    world_from_cams[:, :3, 3] = rows[:, 1:4]
    return world_from_cams, rows[:, 0]


def write_kitti(path: str | os.PathLike[str], world_from_cams: Float[np.ndarray, "v 4 4"]) -> None:
    """Write a KITTI trajectory, atomically: the upper three rows of each matrix, row by row. It has no time stamps.

    So no line can be left out: a camera that is not finite gets the matrix of the one before (at the start, that of the
    first finite one; without any, the identity), and a warning counts them.
    """
    finite = _finite(world_from_cams)
    if not finite.all():
        logger.warning(
            "%d of %d cameras are not finite; in their lines %s repeats the camera before",
            (~finite).sum(),
            len(finite),
            path,
        )
    _write_lines(path, [_numbers(matrix[:3].ravel()) for matrix in _repeated(world_from_cams, finite)])


def read_kitti(path: str | os.PathLike[str]) -> Float64[np.ndarray, "v 4 4"]:
    """Read a KITTI trajectory as `world_from_cam` matrices.

    Raises:
        ValueError: A line that is not twelve finite numbers, or whose matrix is no rotation (zeros, a mirror, a scale).
    """
    rows, lines = read_rows(Path(path), 12, "the upper three rows of a 4x4 matrix")
    world_from_cams = np.tile(np.eye(4), (len(rows), 1, 1))
    world_from_cams[:, :3] = rows.reshape(-1, 3, 4)
    rigid = is_rigid(torch.from_numpy(world_from_cams))
    _require(rigid, path, lines, "it is no rotation and translation (zeros, a mirror, a scale, or not finite)")
    return world_from_cams


def _finite(world_from_cams: Float[np.ndarray, "v 4 4"]) -> Bool[np.ndarray, "v"]:
    return np.isfinite(world_from_cams).all(axis=(1, 2))


def _repeated(world_from_cams: Float[np.ndarray, "v 4 4"], finite: Bool[np.ndarray, "v"]) -> Float[np.ndarray, "v 4 4"]:
    """Put the last finite camera in the place of each that is not; the first finite one before it comes."""
    if not finite.any():
        return np.tile(np.eye(4), (len(finite), 1, 1))
    known = np.flatnonzero(finite)
    last = np.searchsorted(known, np.arange(len(finite)), side="right") - 1
    return world_from_cams[known[last.clip(min=0)]]


def _require(good: Bool[Tensor, "v"], path: str | os.PathLike[str], lines: list[int], complaint: str) -> None:
    if not good.all():
        raise ValueError(f"{path}, line {lines[int(good.int().argmin())]}: {complaint}")


def _numbers(row: Float[np.ndarray, "n"]) -> str:
    """Nine significant digits: enough to give a float32 back exactly."""
    return " ".join(f"{number:.9g}" for number in row)


def _write_lines(path: str | os.PathLike[str], lines: list[str]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
