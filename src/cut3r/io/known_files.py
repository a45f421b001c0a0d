"""Read what is known of cameras from any file: its content says what it is, not its name."""

import re
from pathlib import Path
from typing import Any

import yaml

from cut3r.io import arkit
from cut3r.io.calibration import calibration_of_numbers, read_calibration
from cut3r.io.calibration_fields import split_camera
from cut3r.io.colmap import find_model, read_colmap
from cut3r.io.json_fields import read_json
from cut3r.io.known_cameras import KnownCamera, KnownCameras
from cut3r.io.numbers import COMMENT, number, read_matrix
from cut3r.io.trajectory import read_kitti, read_tum
from cut3r.io.transforms_json import is_transforms, read_transforms

HEAD_BYTES = 4096
TUM, KITTI = 8, 12  # numbers in a line
KINDS = (
    "expected is a COLMAP model, transforms.json, a TUM or KITTI trajectory, the cameras of 3D Scanner App, Polycam or "
    "Record3D, or a calibration as YAML (docs/known_cameras.md)"
)
COLMAP_LINE = re.compile(r"\d+ [A-Z][A-Z_]+ \d+ \d+ .*|\d+( [-+.\deE]+){7} \d+ .*[^\d\s].*")


def read_known_cameras(path: Path) -> KnownCameras:
    """Read a file, or a folder that an app or COLMAP wrote; of a file with several cameras, camchain.yaml:cam1.

    Raises:
        FileNotFoundError: There is none.
        ValueError: Of no known kind; or damaged, with a pose that is none, ... The message names the file and the
            line or frame.
    """
    if path.is_dir():
        return _read_folder(path)
    path, camera = (path, None) if path.exists() else split_camera(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; {KINDS}")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if b"\0" in head:
        return _read_model_around(path)
    text = head.decode(errors="replace").lstrip("\ufeff \t\r\n")
    if text.startswith(("{", "[")):
        return _read_json(path, camera)
    lines = [words for line in text.splitlines()[:20] if (words := COMMENT.sub("", line).replace(",", " ").split())]
    if not lines:
        raise ValueError(f"{path} is empty; {KINDS}")
    if COLMAP_LINE.fullmatch(" ".join(lines[0])):
        return _read_model_around(path)
    return _read_rows(path, len(lines[0])) if all(map(_is_number, lines[0])) else _read_yaml(path, camera)


def _read_folder(folder: Path) -> KnownCameras:
    if (model := find_model(folder)) is not None:
        return read_colmap(model)
    for name in ("transforms.json", "metadata"):
        if (folder / name).is_file():
            return read_known_cameras(folder / name)
    if files := arkit.find_camera_files(folder):
        return arkit.read_camera_files(files, f"the folder {folder}")
    raise ValueError(f"{folder} has no cameras that are known here; {KINDS}")


def _read_model_around(path: Path) -> KnownCameras:
    """Of COLMAP's files one is no use without the other."""
    model = find_model(path.parent)
    if model is None or model.resolve() != path.parent.resolve():
        raise ValueError(f"{path} is not understood, or of a COLMAP model without its other files; {KINDS}")
    return read_colmap(path.parent)


def _read_json(path: Path, camera: str | None) -> KnownCameras:
    content = read_json(path)
    if is_transforms(content):
        return read_transforms(path)
    if arkit.is_record3d(content):
        return arkit.read_record3d(path)
    if arkit.is_camera_file(content):
        return arkit.read_camera_files([path], str(path))
    return read_calibration(path, content, camera)


def _read_rows(path: Path, width: int) -> KnownCameras:
    if width == TUM:
        poses, times_s = read_tum(path)
        stamped = zip(poses, times_s.tolist(), strict=True)
        return KnownCameras(f"the TUM trajectory {path}", tuple(KnownCamera(None, t, None, p) for p, t in stamped))
    if width == KITTI:
        poses = read_kitti(path)
        return KnownCameras(f"the KITTI trajectory {path}", tuple(KnownCamera(world_from_cam=p) for p in poses))
    if width in (3, 4, 9):
        rows, columns = {3: (3, 3), 4: (1, 4), 9: (1, 9)}[width]
        return calibration_of_numbers(read_matrix(path, rows, columns).ravel(), f"the calibration {path}")
    raise ValueError(f"{path} has {width} numbers in a line; {KINDS}")


def _read_yaml(path: Path, camera: str | None) -> KnownCameras:
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = yaml.load(_OPENCV_HEAD.sub("", text), _Loader)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is not understood; {KINDS}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not understood; {KINDS}")
    return read_calibration(path, content, camera)


_OPENCV_HEAD = re.compile(r"\A%YAML:.*\n")  # OpenCV writes %YAML:1.0, which is no directive of YAML


class _Loader(yaml.SafeLoader):
    """Plain values, and OpenCV's matrices as the fields that they are."""


def _opencv_matrix(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[str, Any]:
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _opencv_matrix)


def _is_number(word: str) -> bool:
    try:
        number(word)
    except ValueError:  # a word is no number
        return False
    return True
