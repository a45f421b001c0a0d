"""What apps write that scan with a phone: 3D Scanner App, Polycam, Record3D.

All keep ARKit's poses: `world_from_cam` with OpenGL axes (y up, z backward) in metres, the world's y up. ARKit counts
pixels from the centre of the top-left one, as we do. A picture that an app turned upright has another shape than its
calibration, which is then refused.

3D Scanner App: a JSON file beside each picture, `cameraPoseARFrame` (4x4) and `intrinsics` (3x3), both row by row.
Polycam: keyframes/cameras/NAME.json (or corrected_cameras), `t_00` ... `t_23`, fx, fy, cx, cy, width, height.
Record3D: one file `metadata`, `poses` (x y z w, then the place), `K` column by column, perFrameIntrinsicCoeffs, w, h.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from cut3r.files.listing import visible
from cut3r.io.json_fields import a_number, numbers, read_json
from cut3r.io.known_cameras import (
    OPENGL_FROM_OPENCV,
    KnownCamera,
    KnownCameras,
    Lens,
    pose_of_matrix,
    pose_of_quaternion,
)
from cut3r.io.selection import natural_key
from cut3r.io.trajectory import WXYZ_FROM_XYZW

FOLDERS = (".", "keyframes/corrected_cameras", "keyframes/cameras", "corrected_cameras", "cameras")
LAST_ROW = (0.0, 0.0, 0.0, 1.0)


def is_camera_file(content: Any) -> bool:
    """Tell by what JSON holds whether it is one frame of 3D Scanner App or Polycam."""
    return isinstance(content, dict) and ("cameraPoseARFrame" in content or {"t_00", "t_23"} <= content.keys())


def is_record3d(content: Any) -> bool:
    """Tell by what JSON holds whether it is Record3D's metadata."""
    return isinstance(content, dict) and {"K", "poses"} <= content.keys()


def find_camera_files(folder: Path) -> list[Path]:
    """One JSON file per frame, in natural order; none if there are no such files at or below this folder."""
    for place in FOLDERS:
        files = [path for path in visible(folder / place, "*.json") if is_camera_file(read_json(path))]
        if files:
            return sorted(files, key=lambda path: natural_key(path.name))
    return []


def read_camera_files(files: list[Path], what: str) -> KnownCameras:
    """Read one camera of each file, for the picture of the same name.

    Raises:
        ValueError: A pose that is none, numbers that are none.
    """
    return KnownCameras(what, tuple(_frame(path) for path in files))


def read_record3d(path: Path) -> KnownCameras:
    """Read Record3D's metadata; pictures are called 0, 1, 2, ... there.

    Raises:
        ValueError: A pose that is none, numbers that are none.
    """
    content, where = read_json(path), str(path)
    poses = numbers(content, "poses", None, where)
    if len(poses) % 7:
        raise ValueError(f"{where}: poses has {len(poses)} numbers; expected 7 per frame (x y z w, and the place)")
    poses = poses.reshape(-1, 7)
    size = (round(a_number(content, "h", where)), round(a_number(content, "w", where)))
    K = numbers(content, "K", 9, where).reshape(3, 3)
    lenses = _per_frame(content, len(poses), where)
    cameras = []
    for position, pose in enumerate(poses):
        here = f"{where}, frame {position}"
        fx, fy, cx, cy = (K[0, 0], K[1, 1], K[2, 0], K[2, 1]) if lenses is None else lenses[position]
        world_from_cam = pose_of_quaternion(pose[WXYZ_FROM_XYZW], pose[4:], here) @ OPENGL_FROM_OPENCV
        cameras.append(
            KnownCamera(str(position), lens=_lens(fx, fy, cx, cy, size, here), world_from_cam=world_from_cam)
        )
    return KnownCameras(f"Record3D's {path}", tuple(cameras))


def _per_frame(content: Mapping[str, Any], frames: int, where: str) -> Float64[np.ndarray, "frames 4"] | None:
    name = "perFrameIntrinsicCoeffs"
    return numbers(content, name, 4 * frames, where).reshape(-1, 4) if content.get(name) else None


def _frame(path: Path) -> KnownCamera:
    content, where = read_json(path), str(path)
    return (
        _scanner_app(content, path.stem, where)
        if "cameraPoseARFrame" in content
        else _polycam(content, path.stem, where)
    )


def _scanner_app(content: Mapping[str, Any], name: str, where: str) -> KnownCamera:
    matrix = numbers(content, "cameraPoseARFrame", 16, where).reshape(4, 4)
    if np.allclose(matrix[:, 3], LAST_ROW) and not np.allclose(matrix[3], LAST_ROW):
        matrix = matrix.T  # column by column, as ARKit itself keeps it
    lens = None
    if "intrinsics" in content:
        K = numbers(content, "intrinsics", 9, where).reshape(3, 3)
        K = K.T if np.allclose(K[:2, 2], 0) else K
        lens = _lens(K[0, 0], K[1, 1], K[0, 2], K[1, 2], None, where)
    return KnownCamera(name, lens=lens, world_from_cam=pose_of_matrix(matrix, where) @ OPENGL_FROM_OPENCV)


def _polycam(content: Mapping[str, Any], name: str, where: str) -> KnownCamera:
    matrix = np.eye(4)
    matrix[:3] = [[a_number(content, f"t_{row}{column}", where) for column in range(4)] for row in range(3)]
    fx, fy, cx, cy, w, h = (a_number(content, key, where) for key in ("fx", "fy", "cx", "cy", "width", "height"))
    lens = _lens(fx, fy, cx, cy, (round(h), round(w)), where)
    return KnownCamera(name, lens=lens, world_from_cam=pose_of_matrix(matrix, where) @ OPENGL_FROM_OPENCV)


def _lens(fx: float, fy: float, cx: float, cy: float, size: tuple[int, int] | None, where: str) -> Lens:
    try:
        return Lens.of(fx, fy, cx, cy, size)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
