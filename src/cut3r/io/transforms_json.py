"""transforms.json of nerfstudio and instant-ngp: one file with cameras of all pictures.

`transform_matrix` is `world_from_cam` with OpenGL axes (y up, z backward), pixels count from the corner of the image,
and intrinsics stand at the top, or with each frame, which goes first. Their world is often turned, and scaled to a
cube: then metres are lost. Format: https://docs.nerf.studio/quickstart/data_conventions.html
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from cut3r.files.atomic import atomic_path
from cut3r.geometry.cameras import focal_from_fov
from cut3r.io.json_fields import a_number, numbers, read_json
from cut3r.io.known_cameras import (
    BENT,
    CORNER,
    OPENGL_FROM_OPENCV,
    Fisheye,
    KnownCamera,
    KnownCameras,
    Lens,
    pose_of_matrix,
)

DISTORTION = ("k1", "k2", "p1", "p2", "k3", "k4")  # nerfstudio's k4 is the next power, which OpenCV does not have
PERSPECTIVE = ("PERSPECTIVE", "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")


@dataclass(frozen=True)
class TransformsFrame:
    """A frame of the file; paths are relative to its folder. `intrinsics` count from the centre of the first pixel."""

    file_path: str
    size: tuple[int, int]  # (h, w)
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]
    mask_path: str | None = None
    depth_file_path: str | None = None  # 16 bits, millimetres, 0: unknown


def write_transforms(
    path: Path,
    frames: Sequence[TransformsFrame],
    *,
    ply_file_path: str | None = None,
    applied_transform: Float64[np.ndarray, "3 4"] | None = None,
) -> None:
    """Write the file: one camera at the top if all frames share it (some readers know no other), else one per frame.

    Args:
        ply_file_path: Points in the world of the file.
        applied_transform: That world from the one that was there before, for who wants to go back.

    Raises:
        ValueError: There is no frame, or only some have a mask: nerfstudio takes all or none.
    """
    if not frames:
        raise ValueError(f"{path}: there are no frames; expected at least one")
    if len({frame.mask_path is None for frame in frames}) > 1:
        raise ValueError(f"{path}: some frames have a mask and some have none; give all of them one")
    cameras = [_written_camera(frame) for frame in frames]
    shared = all(camera == cameras[0] for camera in cameras)
    content: dict[str, Any] = {"camera_model": "OPENCV", **(cameras[0] if shared else {})}
    if ply_file_path is not None:
        content["ply_file_path"] = ply_file_path
    if applied_transform is not None:
        content["applied_transform"] = applied_transform.tolist()
    content["frames"] = [
        _written_frame(frame, {} if shared else camera) for frame, camera in zip(frames, cameras, strict=True)
    ]
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _written_camera(frame: TransformsFrame) -> dict[str, int | float]:
    (fx, _, cx), (_, fy, cy), _ = frame.intrinsics.tolist()
    h, w = frame.size
    camera = {"w": w, "h": h, "fl_x": fx, "fl_y": fy, "cx": cx + CORNER, "cy": cy + CORNER}
    return camera | dict.fromkeys(("k1", "k2", "p1", "p2"), 0.0)


def _written_frame(frame: TransformsFrame, camera: Mapping[str, int | float]) -> dict[str, Any]:
    paths = {"mask_path": frame.mask_path, "depth_file_path": frame.depth_file_path}
    return {
        "file_path": frame.file_path,
        **camera,
        "transform_matrix": (frame.world_from_cam @ OPENGL_FROM_OPENCV).tolist(),
        **{name: value for name, value in paths.items() if value is not None},
    }


def is_transforms(content: Any) -> bool:
    """Tell by what JSON holds."""
    frames = content.get("frames") if isinstance(content, dict) else None
    return isinstance(frames, list) and any(isinstance(frame, dict) and "transform_matrix" in frame for frame in frames)


def read_transforms(path: Path) -> KnownCameras:
    """Read the file.

    Raises:
        ValueError: A frame without pose or name, numbers that are none.
    """
    content = read_json(path)
    cameras = [
        _camera({**content, **frame}, f"{path}, frame {position} ({frame.get('file_path')})")
        for position, frame in enumerate(content["frames"])
        if isinstance(frame, dict)
    ]
    return KnownCameras(str(path), tuple(cameras))


def lens_of_fields(fields: Mapping[str, Any], where: str) -> tuple[Lens | None, str]:
    """Give the lens that the fields of a frame, and those at the top, say; or None, and why there is none.

    Raises:
        ValueError: Numbers that are none; the message begins with `where`.
    """
    model = fields.get("camera_model", "OPENCV")
    if model not in PERSPECTIVE:
        return None, f"its camera_model {model} is no pinhole camera; undistort the pictures first"
    if "fl_x" not in fields and "camera_angle_x" not in fields:
        return None, "it has no fl_x"
    if "w" not in fields or "h" not in fields:
        return None, "it does not say w and h, the size of the pictures; add them"
    w, h = (a_number(fields, side, where) for side in ("w", "h"))
    fx = _focal(fields, "x", w, where)
    fy = _focal(fields, "y", h, where) if "fl_y" in fields or "camera_angle_y" in fields else fx
    cx = a_number(fields, "cx", where) if "cx" in fields else w / 2
    cy = a_number(fields, "cy", where) if "cy" in fields else h / 2
    distortion = {name: a_number(fields, name, where) for name in DISTORTION if fields.get(name) is not None}
    if distortion.pop("k4", 0.0) != 0:
        return None, "its k4 is not 0, which OpenCV's model does not have; undistort the pictures first"
    coefficients = tuple(distortion.get(name, 0.0) for name in DISTORTION[:5])
    try:
        return Lens.of(fx, fy, cx - CORNER, cy - CORNER, (round(h), round(w)), coefficients), ""
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _camera(fields: Mapping[str, Any], where: str) -> KnownCamera:
    name = fields.get("file_path")
    if not isinstance(name, str):
        raise ValueError(f"{where}: there is no file_path; expected the path of the frame's picture")
    matrix = numbers(fields, "transform_matrix", 16, where).reshape(4, 4)
    world_from_cam = pose_of_matrix(matrix, where) @ OPENGL_FROM_OPENCV
    lens, no_lens = lens_of_fields(fields, where)
    return KnownCamera(name, None, lens, world_from_cam, no_lens, None if lens else _fisheye(fields, where))


def _fisheye(fields: Mapping[str, Any], where: str) -> Fisheye | None:
    if fields.get("camera_model") != "OPENCV_FISHEYE":
        return None
    straight, _ = lens_of_fields({**fields, "camera_model": "OPENCV", **dict.fromkeys(DISTORTION, 0.0)}, where)
    values = (a_number(fields, name, where) if fields.get(name) is not None else 0.0 for name in BENT)
    return None if straight is None else straight.bent(*values)


def _focal(fields: Mapping[str, Any], axis: str, side: float, where: str) -> float:
    if f"fl_{axis}" in fields:
        return a_number(fields, f"fl_{axis}", where)
    angle = a_number(fields, f"camera_angle_{axis}", where)
    if not 0 < angle < math.pi:
        raise ValueError(f"{where}: camera_angle_{axis} is {angle:g}; expected radians between 0 and pi")
    return focal_from_fov(angle, round(side))
