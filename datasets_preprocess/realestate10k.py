"""RealEstate10K: frames that were taken from the videos beforehand are copied; camera files become a file per frame."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from cut3r.data.datasets.realestate10k import RealEstate10K, time_of
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from cut3r.io.numbers import read_rows
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Writer, require_rigid

ROW = "microseconds, fx fy cx cy as shares of the picture's sides, 0 0, then a 3x4 matrix"
HEADING = 1  # the video's address


class _Camera(NamedTuple):
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the clips: folders of RAW/frames."""
    yield from (RawScene(folder.name) for folder in visible(raw, "frames/*") if folder.is_dir())


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a clip is made from."""
    return [raw / "frames" / scene.name, raw / "info" / f"{scene.name}.txt"]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Copy the pictures of a clip and write one camera file for each.

    Raises:
        LeftOut: The clip has no camera file.
        ValueError: That is damaged, or no frame can be used.
    """
    folder, cameras = sources(raw, scene)
    if not cameras.is_file():
        raise LeftOut(f"there is no {cameras}; download the camera files of this clip's part of the dataset")
    rows, lines = read_rows(cameras, 19, ROW, skip=HEADING)
    by_frame = {f"{row[0]:.0f}": (row, line) for row, line in zip(rows, lines, strict=True)}
    pictured = {path.stem for path in visible(folder, "*.png")}

    def read(frame: str) -> _Camera:
        if frame not in by_frame:
            raise ValueError(f"{cameras} has no line of this frame")
        row, line = by_frame[frame]
        size = read_image(folder / f"{frame}.png").shape[:2]
        return camera_of(row, (size[0], size[1]), f"{cameras}, line {line}", parity=writer.parity)

    done = []
    for frame, camera in readable_frames(sorted(pictured | set(by_frame), key=time_of), read, writer):
        writer.copy("rgb", scene.name, frame, folder / f"{frame}.png")
        writer.npz("camera", scene.name, frame, intrinsics=camera.intrinsics, pose=camera.world_from_cam)
        done.append(frame)
    return done


def camera_of(row: Float64[np.ndarray, "19"], size: tuple[int, int], where: str, *, parity: bool) -> _Camera:
    """Give the camera of a line for a picture of this size.

    Args:
        parity: Leave the principal point in the convention where the corner of the image is (0, 0).

    Raises:
        ValueError: It has no focal length, or its pose is no rigid motion.
    """
    (h, w), (fx, fy, cx, cy) = size, row[1:5]
    if not (np.isfinite(row[1:5]).all() and min(fx, fy) > 0):
        raise ValueError(f"{where} has no focal length or principal point")
    corner = 0.0 if parity else 0.5
    intrinsics = np.array([[fx * w, 0, cx * w - corner], [0, fy * h, cy * h - corner], [0, 0, 1]])
    # a general inverse: the numbers are rounded, so that the transpose is not exactly it
    cam_from_world = np.vstack((row[7:].reshape(3, 4), [0, 0, 0, 1]))
    require_rigid(cam_from_world, where)
    return _Camera(intrinsics, np.linalg.inv(cam_from_world))


CONVERTER = Converter(RealEstate10K, 1, scenes, convert, sources=sources)
