"""COLMAP's models: cameras and images, as binary or text files. 3-D points: colmap_points; depth: colmap_dense.

COLMAP stores `cam_from_world` with quaternions (w, x, y, z), OpenCV axes, and counts pixels from the corner of the
image: the first centre is at 0.5. Its unit is arbitrary unless the model was scaled. Binary files go before text.
Format: https://colmap.github.io/format.html
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64

from cut3r.geometry.poses import invert
from cut3r.io.colmap_file import ByteReader, is_binary, naming, read_lines
from cut3r.io.known_cameras import BENT, CORNER, KnownCamera, KnownCameras, Lens, pose_of_quaternion
from cut3r.io.numbers import number
from cut3r.io.wide_lens import Eucm, Fov

FOLDERS = (".", "sparse/0", "sparse", "colmap/sparse/0")  # where below a folder a model may be
MODELS = {  # name: its parameters; the place in this table is its number in binary files
    "SIMPLE_PINHOLE": "f cx cy",
    "PINHOLE": "fx fy cx cy",
    "SIMPLE_RADIAL": "f cx cy k1",
    "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2",
    "OPENCV_FISHEYE": "fx fy cx cy k1 k2 k3 k4",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6",
    "FOV": "fx fy cx cy omega",
    "SIMPLE_RADIAL_FISHEYE": "f cx cy k1",
    "RADIAL_FISHEYE": "f cx cy k1 k2",
    "THIN_PRISM_FISHEYE": "fx fy cx cy k1 k2 p1 p2 k3 k4 sx1 sy1",
    "RAD_TAN_THIN_PRISM_FISHEYE": "fx fy cx cy k0 k1 k2 k3 k4 k5 p0 p1 s0 s1 s2 s3",
    "SIMPLE_DIVISION": "f cx cy k",
    "DIVISION": "fx fy cx cy k",
    "SIMPLE_FISHEYE": "f cx cy",
    "FISHEYE": "fx fy cx cy",
    "EUCM": "fx fy cx cy alpha beta",
    "EQUIRECTANGULAR": "w h",
}
FISHEYE = ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "SIMPLE_FISHEYE", "FISHEYE")
OWN: dict[str, tuple[type[Lens], str]] = {"FOV": (Fov, "omega"), "EUCM": (Eucm, "alpha beta")}
PERSPECTIVE = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")
SEEN = np.dtype([("pixel", "<f8", 2), ("point", "<i8")])  # a 2-D point
DISTORTION = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")


@dataclass(frozen=True)
class ColmapCamera:
    """A line of cameras.txt: a model's name, the pictures' size (h, w), and its parameters by their names."""

    model: str
    size: tuple[int, int]
    parameters: dict[str, float]

    def lens(self) -> Lens | None:
        """The pinhole camera with distortion that it is; None for other models."""
        return self._lens(tuple(map(self._value, DISTORTION))) if self.model in PERSPECTIVE else None

    def fisheye(self) -> Lens | None:
        """The fisheye that it is; None for other models."""
        if self.model in FISHEYE:
            return self._lens(()).bent(*map(self._value, BENT))
        kind, names = OWN.get(self.model, (None, ""))
        return None if kind is None else self._lens(()).as_kind(kind, *map(self._value, names.split()))

    def _lens(self, distortion: tuple[float, ...]) -> Lens:
        fx, fy = (self.parameters.get(name, self._value("f")) for name in ("fx", "fy"))
        return Lens.of(fx, fy, self._value("cx") - CORNER, self._value("cy") - CORNER, self.size, distortion)

    def _value(self, name: str) -> float:
        return self.parameters.get(name, 0.0)


@dataclass(frozen=True)
class ColmapImage:
    """An image of images.txt: its number and path, the number of its camera, where that stood, and what it saw.

    Attributes:
        pixels: 2-D points, counted from the centre of the top-left pixel; None if not asked for.
        points: For each of them the number of its 3-D point, -1 without; None if not asked for.
    """

    identity: int
    name: str
    camera: int
    world_from_cam: Float64[np.ndarray, "4 4"]
    pixels: Float64[np.ndarray, "p 2"] | None = None
    points: Int64[np.ndarray, "p"] | None = None


def find_model(folder: Path) -> Path | None:
    """The folder at or below this one that holds a model; None if there is none."""
    return next((folder / place for place in FOLDERS if model_file(folder / place, "cameras") is not None), None)


def model_file(folder: Path, name: str) -> Path | None:
    """The file of cameras, images or points3D in the folder of a model; None if there is none."""
    return next((path for suffix in (".bin", ".txt") if (path := folder / (name + suffix)).is_file()), None)


def read_colmap(folder: Path) -> KnownCameras:
    """Read a model's cameras and images. One camera without images took them all.

    Raises:
        ValueError: A file that is damaged, an image without rigid pose or whose camera is missing.
    """
    what = f"the COLMAP model {folder}"
    files = [model_file(folder, name) for name in ("cameras", "images")]
    if files[0] is None:
        raise ValueError(f"{folder} has no cameras.bin or cameras.txt; expected the folder of a COLMAP model")
    cameras = read_cameras(files[0])
    if files[1] is None:
        if len(cameras) != 1:
            raise ValueError(f"{what} has {len(cameras)} cameras and no images.bin or images.txt that say whose")
        return KnownCameras(what, tuple(_known(camera, None) for camera in cameras.values()), for_all=True)
    images = read_images(files[1])
    for image in images:
        if image.camera not in cameras:
            raise ValueError(f"{files[1]}: {image.name} has camera {image.camera}, which {files[0].name} lacks")
    return KnownCameras(what, tuple(_known(cameras[image.camera], image) for image in images))


def read_cameras(path: Path) -> dict[int, ColmapCamera]:
    """Read cameras.bin or cameras.txt, whichever it is.

    Raises:
        ValueError: Not such a file, or a camera that is none.
    """
    return dict(_binary_cameras(path) if is_binary(path) else _text_cameras(path))


def read_images(path: Path, *, points: bool = False) -> list[ColmapImage]:
    """Read images.bin or images.txt, whichever it is, in its order.

    Args:
        points: Read the 2-D points, too; there may be thousands in an image.

    Raises:
        ValueError: Not such a file, or a pose that is no rigid motion.
    """
    return list(_binary_images(path, points) if is_binary(path) else _text_images(path, points))


def _known(camera: ColmapCamera, image: ColmapImage | None) -> KnownCamera:
    lens = camera.lens()
    return KnownCamera(
        None if image is None else image.name,
        lens=lens,
        world_from_cam=None if image is None else image.world_from_cam,
        no_lens="" if lens else f"its camera model {camera.model} is no pinhole camera; undistort the pictures first",
        fisheye=camera.fisheye(),
    )


def _camera(model: str, size: tuple[int, int], values: list[float]) -> ColmapCamera:
    if model not in MODELS:
        raise ValueError(f"camera model {model} is unknown; expected one of {', '.join(MODELS)}")
    names = MODELS[model].split()
    if len(names) != len(values):
        raise ValueError(f"{len(values)} parameters for camera model {model}; expected the {len(names)} of {names}")
    focals = [value for name, value in zip(names, values, strict=True) if name in ("f", "fx", "fy")]
    if not (np.isfinite(values).all() and min(focals, default=1) > 0 and min(size) > 0):
        raise ValueError("its numbers are no camera; expected finite ones, and positive focal lengths")
    return ColmapCamera(model, size, dict(zip(names, values, strict=True)))


def _text_cameras(path: Path) -> Iterator[tuple[int, ColmapCamera]]:
    for line, text in read_lines(path):
        if text.strip():
            with naming(f"{path}, line {line}"):
                identity, model, w, h, *values = text.split()
                yield int(identity), _camera(model, (int(h), int(w)), [number(value) for value in values])


def _text_images(path: Path, with_points: bool) -> Iterator[ColmapImage]:
    """Every second line holds 2-D points, and may be empty."""
    lines = read_lines(path)
    for (line, text), (next_line, seen) in zip_longest(lines[::2], lines[1::2], fillvalue=(len(lines), "")):
        if not text.strip():
            continue
        with naming(f"{path}, line {line}"):
            words = text.split(maxsplit=9)
            if len(words) != 10:
                raise ValueError(f"{len(words)} words; expected IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME")
            values = np.array([number(word) for word in words[1:8]])
            identity, camera, name = int(words[0]), int(words[8]), words[9].strip()
        with naming(f"{path}, line {next_line}"):
            numbers = seen.split()
            if len(numbers) % 3:
                raise ValueError(f"{len(numbers)} words; expected X Y POINT3D_ID of each 2-D point, or an empty line")
            table = np.array(numbers if with_points else (), np.float64).reshape(-1, 3)
        image = ColmapImage(identity, name, camera, _world_from_cam(values, f"{path}, line {line}"))
        yield _with_points(image, table[:, :2], table[:, 2]) if with_points else image


def _binary_cameras(path: Path) -> Iterator[tuple[int, ColmapCamera]]:
    data = ByteReader(path)
    names = list(MODELS)
    for _ in range(data.take("<Q")[0]):
        identity, model, w, h = data.take("<iiQQ")
        with naming(f"{path}, camera {identity}"):
            if not 0 <= model < len(names):
                raise ValueError(f"camera model number {model} is unknown; expected 0 to {len(names) - 1}")
            values = data.take(f"<{len(MODELS[names[model]].split())}d")
            yield identity, _camera(names[model], (h, w), list(values))


def _binary_images(path: Path, with_points: bool) -> Iterator[ColmapImage]:
    data = ByteReader(path)
    for _ in range(data.take("<Q")[0]):
        identity, *values, camera = data.take("<I7dI")
        name = data.word()
        (count,) = data.take("<Q")
        start = data.skip(SEEN.itemsize * count)
        pose = _world_from_cam(np.array(values), f"{path}, image {identity} ({name})")
        image = ColmapImage(identity, name, camera, pose)
        seen = np.frombuffer(data.data, SEEN, count, start) if with_points else None
        yield image if seen is None else _with_points(image, seen["pixel"], seen["point"])


def _with_points(image: ColmapImage, pixels: np.ndarray, points: np.ndarray) -> ColmapImage:
    """No 3-D point is -1, or in older files the largest whole number of 64 bits."""
    numbers = np.where((points < 0) | (points >= 2.0**63), -1, points).astype(np.int64)
    return replace(image, pixels=pixels - CORNER, points=numbers)


def _world_from_cam(values: Float64[np.ndarray, "7"], where: str) -> Float64[np.ndarray, "4 4"]:
    cam_from_world = pose_of_quaternion(values[:4], values[4:], where)
    return invert(torch.from_numpy(cam_from_world)).numpy()
