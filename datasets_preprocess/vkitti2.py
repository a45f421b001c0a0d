"""Virtual KITTI 2: pictures and depth are copied, the tables of cameras become a file per frame."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from cut3r.data.datasets.vkitti2 import VirtualKitti2
from cut3r.data.layout import read_png16
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from cut3r.io.numbers import read_rows
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Writer, require_rigid

ARCHIVES = "vkitti_2.0.3_{}"  # the three archives may lie side by side, or in one another
Table = dict[int, Float64[np.ndarray, "n"]]  # what a camera's rows hold, by frame


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the drives <scene>/<variation>/<camera>."""
    for folder in visible(_place(raw, "rgb"), "*/*/frames/rgb/Camera_[01]"):
        scene, variation = folder.parents[3].name, folder.parents[2].name
        yield RawScene(f"{scene}/{variation}/{folder.name}")


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a drive is made from."""
    drive, camera = scene.name.rsplit("/", 1)
    pictures = [_place(raw, kind) / drive / "frames" / kind / camera for kind in ("rgb", "depth")]
    return pictures + [_place(raw, "textgt") / drive / name for name in ("extrinsic.txt", "intrinsic.txt")]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Copy pictures and depth of one camera, and write one camera file per frame.

    Raises:
        ValueError: A table is damaged, or no frame is complete.
    """
    images, depths, extrinsics, intrinsics = sources(raw, scene)
    camera = int(scene.name[-1])
    cams_from_world = read_table(extrinsics, camera, 16, "frame cameraID, then a 4x4 matrix")
    focals = read_table(intrinsics, camera, 4, "frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]")
    pictured = {path.stem.removeprefix("rgb_") for path in visible(images, "rgb_*.jpg")}
    frames = sorted(pictured | {f"{frame:05d}" for frame in cams_from_world})

    def read(frame: str) -> dict[str, np.ndarray]:
        _require_pictures(images / f"rgb_{frame}.jpg", depths / f"depth_{frame}.png")
        number = int(frame)
        for table, file in ((cams_from_world, extrinsics), (focals, intrinsics)):
            if number not in table:
                raise ValueError(f"{file} has no row of frame {number}, camera {camera}")
        # a general inverse: the numbers are rounded, so that the transpose is not exactly it
        world_from_cam = np.linalg.inv(cams_from_world[number].reshape(4, 4))
        require_rigid(world_from_cam, f"frame {number} in {extrinsics}")
        fx, fy, cx, cy = focals[number]
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32)
        return {"camera_pose": world_from_cam.astype(np.float32), "camera_intrinsics": matrix}

    done = []
    for frame, arrays in readable_frames(frames, read, writer):
        writer.copy("rgb", scene.name, frame, images / f"rgb_{frame}.jpg")
        writer.copy("depth", scene.name, frame, depths / f"depth_{frame}.png")
        writer.npz("camera", scene.name, frame, **arrays)
        done.append(frame)
    return done


def read_table(path: Path, camera: int, width: int, layout: str) -> Table:
    """Read the rows of one camera of a table that begins with a heading; frame and camera come first in a row.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A row is damaged; the message names the line.
    """
    rows, _ = read_rows(path, 2 + width, layout, skip=1)
    return {int(row[0]): row[2:] for row in rows if row[1] == camera}


def _require_pictures(image: Path, depth: Path) -> None:
    size, depth_size = read_image(image).shape[:2], read_png16(depth).shape
    if size != depth_size:
        raise ValueError(f"{image.name} is of size {size}, {depth.name} of {depth_size} (h, w); download them again")


def _place(raw: Path, kind: str) -> Path:
    archive = raw / ARCHIVES.format(kind)
    return archive if archive.is_dir() else raw


CONVERTER = Converter(VirtualKitti2, 1, scenes, convert, sources=sources)
