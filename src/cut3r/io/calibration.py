"""Calibrations of one camera: a small YAML file, ROS camera_info, OpenCV, other programs'; or four numbers.

    fx: 525.0
    fy: 525.0
    cx: 319.5        # from the centre of the top-left pixel, as OpenCV counts
    cy: 239.5
    width: 640
    height: 480      # of the pictures that it is for
    distortion: [0.1, -0.2, 0, 0]    # OpenCV's k1 k2 p1 p2 k3 ..., if any
    model: ds        # with xi and alpha; or omni (xi), eucm (alpha, beta), fov (w), equidistant

JSON with the same fields is YAML, too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from cut3r.io.calibration_fields import fields_of, model_of
from cut3r.io.json_fields import a_number, numbers
from cut3r.io.known_cameras import BENT, Fisheye, KnownCamera, KnownCameras, Lens
from cut3r.io.wide_lens import WIDE, Fov

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
EQUIDISTANT = ("equidistant", "fisheye", "equi")
UNKNOWN = ("scaramuzza", "ocam", "division")
MOST_COEFFICIENTS = 8


def read_calibration(path: Path, content: Any, camera: str | None = None) -> KnownCameras:
    """Understand a parsed file.

    Args:
        camera: Which one (cam1), of a file that has several.

    Raises:
        ValueError: No calibration, or one with numbers that are none.
    """
    fields = fields_of(content, camera, path) if isinstance(content, dict) else {}
    what = f"the calibration {path}" if camera is None else f"the calibration {path}:{camera}"
    if not any(name in fields for name in (*MATRICES, "fx", "intrinsics")):
        raise ValueError(
            f"{path} is no calibration that is known here; expected fx, fy, cx, cy with width and height, or "
            "camera_matrix as ROS and OpenCV write it"
        )
    model = model_of(fields)
    no_lens = f"{model} is no pinhole camera; undistort the pictures first"
    if any(word in UNKNOWN for word in model.split()):
        return KnownCameras(what, (KnownCamera(no_lens=no_lens),), for_all=True)
    try:
        lens = _lens(fields, model, str(path))
    except ValueError as error:
        raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from error
    if type(lens) is Lens:
        return KnownCameras(what, (KnownCamera(lens=lens),), for_all=True)
    return KnownCameras(what, (KnownCamera(no_lens=no_lens, fisheye=lens),), for_all=True)


def _lens(fields: Mapping[str, Any], model: str, where: str) -> Lens:
    straight = Lens.of(*_focal_and_center(fields, where), _size(fields, where))
    distortion = _distortion(fields, where)
    if (kind := WIDE.get(model)) is not None:
        if kind is Fov and "w" not in fields:  # Kalibr has it among the coefficients
            return straight.as_kind(kind, *_no_more(distortion, kind.most, where))
        own = tuple(a_number(fields, name, where) for name in kind.own)
        return straight.as_kind(kind, *own, *_no_more(distortion, kind.most - len(own), where))
    if any(word in EQUIDISTANT for word in model.split()):
        return straight.bent(*_no_more(distortion, Fisheye.most, where))
    return straight.as_kind(Lens, *distortion)


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


def _no_more(distortion: tuple[float, ...], most: int, where: str) -> tuple[float, ...]:
    if any(distortion[most:]):
        raise ValueError(f"{where}: a lens of this model has {most} coefficients; {len(distortion)} are given")
    return distortion[:most]


def _data(fields: Mapping[str, Any], name: str, count: int | None, where: str) -> Float64[np.ndarray, "count"]:
    """A list, or a matrix with rows, cols and data."""
    value = fields[name]
    return (
        numbers(value, "data", count, f"{where}: {name}")
        if isinstance(value, dict)
        else numbers(fields, name, count, where)
    )
