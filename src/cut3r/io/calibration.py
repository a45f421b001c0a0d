"""Calibrations of one camera: a small YAML file, ROS camera_info, OpenCV, Kalibr, ORB-SLAM, VSLAM-LAB; or four numbers.

    fx: 525.0
    fy: 525.0
    cx: 319.5        # from the centre of the top-left pixel, as OpenCV counts
    cy: 239.5
    width: 640
    height: 480      # of the pictures that it is for
    distortion: [0.1, -0.2, 0, 0]    # OpenCV's k1 k2 p1 p2 k3 ..., if any

JSON with the same fields is YAML, too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from cut3r.io.json_fields import a_number, numbers
from cut3r.io.known_cameras import BENT, KnownCamera, KnownCameras, Lens

MATRICES = ("camera_matrix", "cameraMatrix", "Camera_Matrix", "K", "intrinsic_matrix")
COEFFICIENTS = (
    "distortion_coefficients",
    "Distortion_Coefficients",
    "distCoeffs",
    "distortion_coeffs",
    "D",
    "distortion",
)
WIDTHS = ("width", "image_width", "image_Width", "w")
HEIGHTS = ("height", "image_height", "image_Height", "h")
FISHEYE = ("equidistant", "fisheye", "kannala_brandt", "kannalabrandt", "equi")
OTHER = ("fov", "omni", "double_sphere", "ds", "eucm")
MOST_COEFFICIENTS = 8


def read_calibration(path: Path, content: Any) -> KnownCameras:
    """Understand a parsed file.

    Raises:
        ValueError: No calibration, or one with numbers that are none.
    """
    fields = _inner(content) if isinstance(content, dict) else {}
    what = f"the calibration {path}"
    if not any(name in fields for name in (*MATRICES, "fx", "intrinsics")):
        raise ValueError(
            f"{path} is no calibration that is known here; expected fx, fy, cx, cy with width and height, or "
            "camera_matrix as ROS and OpenCV write it"
        )
    model = " ".join(str(fields.get(name, "")) for name in ("distortion_model", "camera_model", "model")).lower()
    no_lens = f"{model.strip()} is no pinhole camera; undistort the pictures first"
    if any(word in OTHER for word in model.split()):
        return KnownCameras(what, (KnownCamera(no_lens=no_lens),), for_all=True)
    try:
        straight, distortion = _focal_and_center(fields, str(path)), _distortion(fields, str(path))
        lens = Lens.of(*straight, _size(fields, str(path)))
        if any(word in model for word in FISHEYE):
            fisheye = lens.bent(*_four(distortion, str(path)))
            return KnownCameras(what, (KnownCamera(no_lens=no_lens, fisheye=fisheye),), for_all=True)
        lens = Lens.of(*straight, lens.size, distortion)
    except ValueError as error:
        raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from error
    return KnownCameras(what, (KnownCamera(lens=lens),), for_all=True)


def calibration_of_numbers(values: Float64[np.ndarray, "n"], what: str) -> KnownCameras:
    """Take fx, fy, cx, cy, or a 3x3 matrix row by row, in pixels of the pictures as they are.

    Raises:
        ValueError: Something else.
    """
    if len(values) == 9:
        values = _of_matrix(values.reshape(3, 3), what)
    if len(values) != 4:
        raise ValueError(f"{what} is {len(values)} numbers; expected fx, fy, cx, cy in pixels, or a 3x3 matrix")
    try:
        return KnownCameras(what, (KnownCamera(lens=Lens.of(*values.tolist())),), for_all=True)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error


def _inner(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Kalibr puts fields under the name of their camera, ORB-SLAM that name before each, VSLAM-LAB all into a list."""
    if isinstance(content.get("cam0"), dict):
        return content["cam0"]
    cameras = content.get("cameras")
    if isinstance(cameras, list) and cameras and isinstance(cameras[0], dict):
        return _of_vslam_lab(cameras[0])
    parts = {name: str(name).partition(".") for name in content}
    named = {
        field: content[name] for name, (owner, _, field) in parts.items() if owner in ("Camera", "Camera1") and field
    }
    return named | {"model": f"{named.get('type', '')} {named.get('model', '')}"} if "fx" in named else content


def _of_vslam_lab(camera: Mapping[str, Any]) -> Mapping[str, Any]:
    names = {
        "distortion_type": "distortion_model",
        "distortion_coefficients": "distortion",
        "image_dimension": "resolution",
        "cam_model": "camera_model",
    }
    fields = {names.get(name, name): value for name, value in camera.items()}
    focal, center = (fields.pop(name, None) for name in ("focal_length", "principal_point"))
    if isinstance(focal, list) and isinstance(center, list):
        fields["intrinsics"] = [*focal, *center]
    return fields


def _focal_and_center(fields: Mapping[str, Any], where: str) -> tuple[float, float, float, float]:
    if "fx" in fields:
        fx, fy, cx, cy = (a_number(fields, name, where) for name in ("fx", "fy", "cx", "cy"))
        return fx, fy, cx, cy
    name = next((name for name in MATRICES if name in fields), "intrinsics")
    values = _data(fields, name, None, where)
    if len(values) == 9:
        values = _of_matrix(values.reshape(3, 3), f"{where}: {name}")
    if len(values) != 4:
        raise ValueError(f"{where}: {name} has {len(values)} numbers; expected a 3x3 matrix, or fx, fy, cx, cy")
    fx, fy, cx, cy = values.tolist()
    return fx, fy, cx, cy


def _of_matrix(matrix: Float64[np.ndarray, "3 3"], where: str) -> Float64[np.ndarray, "4"]:
    if not (matrix[2] == (0, 0, 1)).all() or matrix[1, 0] != 0:
        raise ValueError(f"{where} is no matrix fx 0 cx, 0 fy cy, 0 0 1 (row by row)")
    return matrix[[0, 1, 0, 1], [0, 1, 2, 2]]


def _size(fields: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    if "resolution" in fields:
        w, h = numbers(fields, "resolution", 2, where).tolist()
        return round(h), round(w)
    width, height = (next((name for name in names if name in fields), None) for names in (WIDTHS, HEIGHTS))
    if width is None or height is None:
        return None
    return round(a_number(fields, height, where)), round(a_number(fields, width, where))


def _distortion(fields: Mapping[str, Any], where: str) -> tuple[float, ...]:
    name = next((name for name in COEFFICIENTS if fields.get(name)), None)
    if name is None:
        names = BENT if "k4" in fields and "p1" not in fields else ("k1", "k2", "p1", "p2", "k3")
        return tuple(a_number(fields, k, where) if k in fields else 0.0 for k in names)
    values = _data(fields, name, None, where)
    if (values[MOST_COEFFICIENTS:] != 0).any():
        raise ValueError(f"{where}: {name} has {len(values)} numbers; up to {MOST_COEFFICIENTS} are understood")
    return tuple(values[:MOST_COEFFICIENTS].tolist())


def _four(distortion: tuple[float, ...], where: str) -> tuple[float, ...]:
    if any(distortion[len(BENT) :]):
        raise ValueError(f"{where}: a fisheye with {len(distortion)} coefficients; expected k1, k2, k3, k4")
    return distortion[: len(BENT)]


def _data(fields: Mapping[str, Any], name: str, count: int | None, where: str) -> Float64[np.ndarray, "count"]:
    """A list, or a matrix with rows, cols and data."""
    value = fields[name]
    return (
        numbers(value, "data", count, f"{where}: {name}")
        if isinstance(value, dict)
        else numbers(fields, name, count, where)
    )
