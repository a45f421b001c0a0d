"""Camera paths as text: TUM (time stamp, position, quaternion) and KITTI (rows of 3x4 matrices).

Both hold `world_from_cam`, metres, OpenCV axes, one camera per line. TUM writes quaternions as x y z w; everywhere else
in this project they are (w, x, y, z).
"""

import os

import numpy as np
import torch
from jaxtyping import Float, Float64

from cut3r.files.atomic import atomic_path
from cut3r.geometry.poses import matrix_from_quaternion, quaternion_from_matrix

WXYZ_FROM_XYZW = [3, 0, 1, 2]
XYZW_FROM_WXYZ = [1, 2, 3, 0]


def write_tum(
    path: str | os.PathLike[str], world_from_cams: Float[np.ndarray, "v 4 4"], times_s: Float[np.ndarray, "v"]
) -> None:
    """Write a TUM trajectory, atomically.

    Args:
        times_s: Time stamps in seconds. Where a single one is unknown (nan), all lines carry frame numbers 0, 1, 2, ...
            instead: a file never mixes the two.
    """
    stamps = times_s if np.isfinite(times_s).all() else np.arange(len(times_s))
    rotations = torch.from_numpy(world_from_cams[:, :3, :3].astype(np.float64))
    quaternions = quaternion_from_matrix(rotations).numpy()[:, XYZW_FROM_WXYZ]
    rows = np.concatenate([world_from_cams[:, :3, 3], quaternions], axis=1)
    lines = [f"{stamp:.6f} {_numbers(row)}" for stamp, row in zip(stamps, rows, strict=True)]
    _write_lines(path, ["# timestamp tx ty tz qx qy qz qw", *lines])


def read_tum(path: str | os.PathLike[str]) -> tuple[Float64[np.ndarray, "v 4 4"], Float64[np.ndarray, "v"]]:
    """Read a TUM trajectory: `world_from_cam` matrices and time stamps in seconds.

    Raises:
        ValueError: A line that is not eight numbers, or a quaternion of length zero.
    """
    rows = _read_rows(path, 8, "timestamp tx ty tz qx qy qz qw")
    quaternions = rows[:, 4:][:, WXYZ_FROM_XYZW]
    if (np.linalg.norm(quaternions, axis=1) == 0).any():
        raise ValueError(f"{path} holds a quaternion 0 0 0 0, which is no rotation; expected unit quaternions")
    world_from_cams = np.tile(np.eye(4), (len(rows), 1, 1))
    world_from_cams[:, :3, :3] = matrix_from_quaternion(torch.from_numpy(quaternions)).numpy()
    world_from_cams[:, :3, 3] = rows[:, 1:4]
    return world_from_cams, rows[:, 0]


def write_kitti(path: str | os.PathLike[str], world_from_cams: Float[np.ndarray, "v 4 4"]) -> None:
    """Write a KITTI trajectory, atomically: the upper three rows of each matrix, row by row. It has no time stamps."""
    _write_lines(path, [_numbers(matrix[:3].ravel()) for matrix in world_from_cams])


def read_kitti(path: str | os.PathLike[str]) -> Float64[np.ndarray, "v 4 4"]:
    """Read a KITTI trajectory as `world_from_cam` matrices.

    Raises:
        ValueError: A line that is not twelve numbers.
    """
    rows = _read_rows(path, 12, "the upper three rows of a 4x4 matrix")
    world_from_cams = np.tile(np.eye(4), (len(rows), 1, 1))
    world_from_cams[:, :3] = rows.reshape(-1, 3, 4)
    return world_from_cams


def _numbers(row: Float[np.ndarray, "n"]) -> str:
    """Nine significant digits: enough to give a float32 back exactly."""
    return " ".join(f"{number:.9g}" for number in row)


def _write_lines(path: str | os.PathLike[str], lines: list[str]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def _read_rows(path: str | os.PathLike[str], width: int, layout: str) -> Float64[np.ndarray, "v width"]:
    """The numbers of each line; comments (#) and empty lines are skipped."""
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            words = line.split("#")[0].split()
            if not words:
                continue
            try:
                row = [float(word) for word in words]
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}; expected {width} numbers ({layout})") from error
            if len(row) != width:
                raise ValueError(f"{path}, line {number}: {len(row)} numbers; expected {width} ({layout})")
            rows.append(row)
    return np.array(rows, np.float64).reshape(-1, width)
