"""Matterport3D: the undistorted pictures with their depth and cameras, and the table of overlaps.

RAW is the folder of the houses, `v1/scans`, with each house's archives unpacked: `<house>/<house>/undistorted_*` and
`image_overlap_data`. A picture's name in the processed folder is its number in the camera file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from cut3r.data.datasets.mp3d import Matterport3d
from cut3r.data.layout import read_png16
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from cut3r.io.known_cameras import OPENGL_FROM_OPENCV
from cut3r.io.numbers import number, read_lines
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Writer, require_rigid

UNITS_PER_METRE = 4000
PARTS = (
    "undistorted_color_images",
    "undistorted_depth_images",
    "undistorted_camera_parameters",
    "image_overlap_data",
)


@dataclass(frozen=True)
class Scan:
    """One picture: its files, the intrinsics with (0, 0) at the bottom left, and world_from_cam with OpenGL axes."""

    color: str
    depth: str
    intrinsics: Float64[np.ndarray, "3 3"] | None
    world_from_cam: Float64[np.ndarray, "4 4"] | None


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the houses RAW/<house>/<house>."""
    yield from (RawScene(path.name) for path in visible(raw, "*") if (path / path.name).is_dir())


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a house is made from."""
    return [raw / scene.name / scene.name / part for part in PARTS]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Copy the pictures of a house, write depth in metres and cameras, and then the overlaps.

    Raises:
        LeftOut: Parity: the camera file lacks intrinsics or poses of some pictures.
        FileNotFoundError: There is no camera file, or no table of overlaps.
        ValueError: One of them is damaged, or no picture can be used.
    """
    folder = raw / scene.name / scene.name
    overlaps = read_overlaps(folder / PARTS[3] / f"{scene.name}_iis.txt")
    scans = {f"{k:06d}": s for k, s in enumerate(read_scans(folder / PARTS[2] / f"{scene.name}.conf"))}
    if writer.parity and any(scan.intrinsics is None or scan.world_from_cam is None for scan in scans.values()):
        writer.npy("overlap", scene.name, "", overlaps)  # as the original, which finds this out late
        raise LeftOut("its camera file has other numbers of pictures, intrinsics and poses")
    frames = []
    for frame, (rgb, depth) in readable_frames(scans, lambda name: _read(folder, scans[name]), writer):
        scan = scans[frame]
        assert scan.intrinsics is not None and scan.world_from_cam is not None
        intrinsics = scan.intrinsics.copy()
        if not writer.parity:
            intrinsics[1, 2] = rgb.shape[0] - 1 - intrinsics[1, 2]
        writer.copy("rgb", scene.name, frame, folder / PARTS[0] / scan.color)
        writer.depth("depth", scene.name, frame, depth)
        pose = scan.world_from_cam @ OPENGL_FROM_OPENCV
        writer.npz("camera", scene.name, frame, intrinsics=intrinsics.astype(np.float32), pose=pose)
        frames.append(frame)
    writer.npy("overlap", scene.name, "", overlaps)
    return frames


def read_overlaps(path: Path) -> Float64[np.ndarray, "m 3"]:
    """Read the lines "II i j iou ..." of a table: rows (first picture, second picture, intersection over union).

    Raises:
        FileNotFoundError: No such file.
        ValueError: A damaged line.
    """
    with naming_the_file(path):
        rows = [words[1:4] for _, words in read_lines(path) if words[0] == "II"]
        if any(len(row) != 3 for row in rows):
            raise ValueError("a line is cut off; expected II, two numbers of pictures, and what they share")
        return np.array([[number(word) for word in row] for row in rows], np.float64).reshape(-1, 3)


def read_scans(path: Path) -> list[Scan]:
    """Read the pictures of a camera file, in order; intrinsics count for the pictures that follow them.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged.
    """
    scans, intrinsics = [], None
    with naming_the_file(path):
        for line, (command, *words) in read_lines(path):
            if command == "intrinsics_matrix":
                intrinsics = _matrix(words, 3, line)
            elif command == "scan":
                if len(words) < 2:
                    raise ValueError(f"line {line} names no depth and colour")
                pose = _matrix(words[2:], 4, line) if len(words) == 2 + 16 else None
                scans.append(Scan(words[1], words[0], intrinsics, pose))
    return scans


def _read(folder: Path, scan: Scan) -> tuple[UInt8[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"]]:
    if scan.intrinsics is None or scan.world_from_cam is None:
        raise ValueError(f"the camera file has no intrinsics or no pose of {scan.color}")
    require_rigid(scan.world_from_cam, scan.color)
    rgb = read_image(folder / PARTS[0] / scan.color)
    units = read_png16(folder / PARTS[1] / scan.depth)
    if rgb.shape[:2] != units.shape:
        raise ValueError(f"{scan.color} is of {rgb.shape[:2]} pixels (h, w), {scan.depth} of {units.shape}")
    return rgb, units.astype(np.float32) / np.float32(UNITS_PER_METRE)


def _matrix(words: list[str], size: int, line: int) -> Float64[np.ndarray, "n n"]:
    if len(words) != size * size:
        raise ValueError(f"line {line} has {len(words)} numbers; expected {size * size}")
    return np.array([number(word) for word in words], np.float64).reshape(size, size)


CONVERTER = Converter(Matterport3d, 1, scenes, convert, sources=sources)
