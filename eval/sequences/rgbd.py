"""Our generic set: recordings with depth and cameras in the file layout of 7-Scenes, for all protocols.

A recording is a folder of frame-NNNNNN.color.png (or .jpg), .depth.png (16-bit millimetres, 0 or 65535 where unknown)
and .pose.txt (world_from_cam, 4x4, metres). camera-intrinsics.txt (3x3, in pixels of the depth) holds for all frames;
without it, 640x480 is taken for the depth camera of 7-Scenes. The set is ROOT/rgbd if there is such a folder, else
ROOT itself: one recording, or a folder of recordings.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Float64
from PIL import Image

from cut3r.data.layout import read_png16
from cut3r.files.listing import visible
from cut3r.geometry.cameras import resize_intrinsics
from cut3r.io.numbers import read_matrix
from eval.sequences.inventory import Found, Request, depth_reader, gather, list_files
from eval.sequences.sequence import MissingDataError, Sequence
from eval.sequences.sevenscenes import UNKNOWN_MM, read_pose

ADVICE = "eval/sequences/rgbd.py says which files a recording has"
SEVEN_SCENES_FOCAL, SEVEN_SCENES_SIZE = 585.0, (480, 640)
CAMERA = "camera-intrinsics.txt"
COLOR_SUFFIXES = (".color.png", ".color.jpg")


def open_depth(root: Path, request: Request) -> list[Sequence]:
    """Open recordings with depth (float32, 0 where it is unknown), and with cameras if every picture has one."""
    return _open(root, request, depth=True, poses=False)


def open_poses(root: Path, request: Request) -> list[Sequence]:
    """Open recordings with cameras, and with intrinsics where the recording has them."""
    return _open(root, request, depth=False, poses=True)


def open_reconstruction(root: Path, request: Request) -> list[Sequence]:
    """Open recordings with depth (float32, 0 where it is unknown), cameras and intrinsics."""
    return _open(root, request, depth=True, poses=True)


def read_depth(path: Path) -> Float32[np.ndarray, "h w"]:
    """Read a depth map in millimetres: metres, 0 where it is unknown."""
    values = read_png16(path)
    return np.where(values == UNKNOWN_MM, 0, values).astype(np.float32) / np.float32(1000)


def read_intrinsics(folder: Path, depth: Path) -> Float64[np.ndarray, "3 3"]:
    """Read the intrinsics of a recording, or take those of the depth camera of 7-Scenes.

    Raises:
        ValueError: The file is not a 3x3 matrix with focal lengths; or there is none and the depth map has not the size
            of 7-Scenes.
    """
    path = folder / CAMERA
    if path.is_file():
        matrix = read_matrix(path, 3, 3)
        if not (np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0):
            raise ValueError(f"{path} has no focal length; expected a 3x3 matrix [fx 0 cx; 0 fy cy; 0 0 1] in pixels")
        return matrix
    with Image.open(depth) as image:
        w, h = image.size
    if (h, w) != SEVEN_SCENES_SIZE:
        raise ValueError(f"{folder} needs a camera-intrinsics.txt (3x3): {w}x{h} is not the 640x480 of 7-Scenes")
    return np.array([[SEVEN_SCENES_FOCAL, 0, (w - 1) / 2], [0, SEVEN_SCENES_FOCAL, (h - 1) / 2], [0, 0, 1]])


def _open(root: Path, request: Request, *, depth: bool, poses: bool) -> list[Sequence]:
    folder = root / "rgbd" if (root / "rgbd").is_dir() else root
    recordings = {path.name: path for path in _recordings(folder)}
    if not recordings:
        raise MissingDataError(f"there is no frame-*.color.png or .color.jpg in {folder} or its folders")
    kinds = [*([".depth.png"] if depth else []), *([".pose.txt"] if poses else [])]

    def find(name: str) -> Found:
        colors = _colors(recordings[name])
        partners = {color: [_partner(color, kind) for kind in kinds] for color in colors}
        usable = [color for color in colors if all(path.is_file() for path in partners[color])]
        missing = [f"{name}/{path.name}" for paths in partners.values() for path in paths if not path.is_file()]
        if not usable:
            return Found(None, tuple(missing))
        depths = [_partner(color, ".depth.png") for color in usable]
        known = [path for color in usable if (path := _partner(color, ".pose.txt")).is_file()]
        moving = len(known) == len(usable)
        matrix = None
        if (depth and poses) or (recordings[name] / CAMERA).is_file():
            matrix = read_intrinsics(recordings[name], depths[0])
        if matrix is not None and not depth:
            matrix = _of_pictures(matrix, usable[0], depths[0])
        sequence = Sequence(
            name,
            tuple(usable),
            depth_reader(depths, read_depth) if depth else None,
            np.stack([read_pose(path) for path in known]) if moving else None,
            np.tile(matrix, (len(usable), 1, 1)) if moving and matrix is not None else None,
        )
        return Found(sequence, tuple(missing))

    return gather(recordings, find, folder=folder, root=root, advice=ADVICE, request=request)


def _of_pictures(intrinsics: Float64[np.ndarray, "3 3"], color: Path, depth: Path) -> Float64[np.ndarray, "3 3"] | None:
    """Bring intrinsics from pixels of the depth to those of the pictures; None where there is no depth to tell."""
    if not depth.is_file():
        return None
    with Image.open(color) as picture, Image.open(depth) as map_:
        scale = picture.width / map_.width, picture.height / map_.height
    return resize_intrinsics(torch.from_numpy(intrinsics), scale).numpy()


def _recordings(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    if _colors(folder):
        return [folder.resolve()]  # a name, even if the folder was given as "."
    return [path for path in visible(folder, "*") if path.is_dir() and _colors(path)]


def _colors(folder: Path) -> list[Path]:
    colors = [path for suffix in COLOR_SUFFIXES for path in list_files(folder, suffix) if path.name[:6] == "frame-"]
    if len({path.stem for path in colors}) != len(colors):
        raise ValueError(f"{folder} holds the same frame as .color.png and .color.jpg; keep one of the two kinds")
    return sorted(colors)


def _partner(color: Path, ending: str) -> Path:
    return color.with_name(color.name.rsplit(".", 2)[0] + ending)
