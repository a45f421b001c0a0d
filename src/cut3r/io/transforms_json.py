"""transforms.json of nerfstudio and instant-ngp: one file with cameras of all pictures.

`transform_matrix` is `world_from_cam` with OpenGL axes (y up, z backward), pixels count from the corner of the image,
and intrinsics stand at the top, or with each frame, which goes first. Their world is often turned, and scaled to a
cube: then metres are lost. Format: https://docs.nerf.studio/quickstart/data_conventions.html
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cut3r.geometry.cameras import focal_from_fov
from cut3r.io.json_fields import a_number, numbers, read_json
from cut3r.io.known_cameras import (
    CORNER,
    OPENGL_FROM_OPENCV,
    KnownCamera,
    KnownCameras,
    Lens,
    pose_of_matrix,
)

DISTORTION = ("k1", "k2", "p1", "p2", "k3", "k4")  # nerfstudio's k4 is the next power, which OpenCV does not have
PERSPECTIVE = ("PERSPECTIVE", "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")


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
    return KnownCamera(name, lens=lens, world_from_cam=world_from_cam, no_lens=no_lens)


def _focal(fields: Mapping[str, Any], axis: str, side: float, where: str) -> float:
    if f"fl_{axis}" in fields:
        return a_number(fields, f"fl_{axis}", where)
    angle = a_number(fields, f"camera_angle_{axis}", where)
    if not 0 < angle < math.pi:
        raise ValueError(f"{where}: camera_angle_{axis} is {angle:g}; expected radians between 0 and pi")
    return focal_from_fov(angle, round(side))
