"""ScanNet: colour at the size of the depth, of the frames that have a pose. From .sens files, or what the official
SensReader exports of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, UInt8, UInt16

from cut3r.data.datasets.scannet import FOLDERS, ScanNet
from cut3r.data.layout import read_png16
from cut3r.data.transforms import Size
from cut3r.files.listing import visible
from cut3r.geometry.cameras import resize_intrinsics
from cut3r.io.images import Resampling, read_image, resize
from cut3r.io.numbers import read_matrix
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Writer, require_rigid
from datasets_preprocess.sens import SensFile

MATRICES = ("intrinsic_color", "extrinsic_color", "intrinsic_depth", "extrinsic_depth")
Matrix = Float64[np.ndarray, "4 4"]
Taken = tuple[UInt8[np.ndarray, "h w 3"], UInt16[np.ndarray, "h1 w1"], Matrix]


@dataclass(frozen=True)
class ScanNetOptions:
    """Which camera the depth and the intrinsics are of.

    warp_depth: move the depth into the colour camera, and take that one's intrinsics; else both count as one, as in the
        original: their fields of view differ by a few pixels
    """

    warp_depth: bool = False


@dataclass(frozen=True)
class Scan:
    """The frames of a scan by number, with colour, depth in millimetres and world_from_cam; a scan without tracking at
    a frame has numbers there that are not finite. `rig_from_*` are where the cameras are."""

    numbers: list[int]
    read: Callable[[int], Taken]
    color_intrinsics: Matrix
    rig_from_color: Matrix
    depth_intrinsics: Matrix
    rig_from_depth: Matrix


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the scans RAW/<scans_train|scans_test>/<scene>."""
    for folder in (path for name in FOLDERS.values() for path in visible(raw, f"{name}/scene*") if path.is_dir()):
        yield RawScene(f"{folder.parent.name}/{folder.name}")


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write the frames of a scan that have a pose, and their list.

    Raises:
        LeftOut: The calibration of the scan is not finite.
        ValueError: The scan is damaged, or none of its frames can be used.
    """
    scan = open_scan(raw / scene.name, parity=writer.parity)
    if not (np.isfinite(scan.color_intrinsics).all() and np.isfinite(scan.depth_intrinsics).all()):
        raise LeftOut("its calibration is not finite")
    options = writer.options or ScanNetOptions()
    frames = []
    names = {f"{number:05d}": number for number in scan.numbers}
    for frame, (color, depth, pose) in readable_frames(names, lambda name: scan.read(names[name]), writer):
        intrinsics = scan.depth_intrinsics[:3, :3]
        if options.warp_depth:
            intrinsics = color_intrinsics(scan, (color.shape[0], color.shape[1]), (depth.shape[0], depth.shape[1]))
            depth = warp(depth, scan, intrinsics)
            pose = pose @ np.linalg.inv(scan.rig_from_depth) @ scan.rig_from_color
        writer.image("rgb", scene.name, frame, resize(color, (depth.shape[0], depth.shape[1]), Resampling.lanczos))
        writer.png16("depth", scene.name, frame, depth)
        camera = {"intrinsics": intrinsics.astype(np.float32), "pose": pose.astype(np.float32)}
        writer.npz("camera", scene.name, frame, **camera)
        frames.append(frame)
    writer.npz("scene", scene.name, images=np.array(frames))
    return frames


def open_scan(folder: Path, *, parity: bool = False) -> Scan:
    """Open a .sens file, or an exported scan if there is one.

    Raises:
        FileNotFoundError: There is neither, or no calibration.
        ValueError: The calibration is damaged. Parity: also if not every frame has a colour, a depth and a pose.
    """
    if not (folder / "color").is_dir():
        sens = folder / f"{folder.name}.sens"
        if not sens.is_file():
            raise FileNotFoundError(f"there is neither {folder / 'color'} nor {sens}; download the scan again")
        file = SensFile(sens)
        head = file.head
        cameras = (head.color_intrinsics, head.color_extrinsics, head.depth_intrinsics, head.depth_extrinsics)
        return Scan(list(range(len(file))), partial(_read_sens, file), *cameras)
    numbers = [_numbers(folder, pattern) for pattern in ("color/*.jpg", "depth/*.png", "pose/*.txt")]
    if parity and len(set(map(len, numbers))) != 1:
        raise ValueError("{} pictures, {} depth maps and {} poses; export it again".format(*map(len, numbers)))
    return Scan(sorted(set.union(*numbers)), partial(_read_exported, folder), *(_matrix(folder, m) for m in MATRICES))


def color_intrinsics(scan: Scan, color_size: Size, size: Size) -> Float64[np.ndarray, "3 3"]:
    """Give the intrinsics of the colour camera in a picture that was resized to `size`."""
    scale = (size[1] / color_size[1], size[0] / color_size[0])
    return resize_intrinsics(torch.from_numpy(scan.color_intrinsics[:3, :3].copy()), scale).numpy()


def warp(
    depth: UInt16[np.ndarray, "h w"], scan: Scan, intrinsics: Float64[np.ndarray, "3 3"]
) -> UInt16[np.ndarray, "h w"]:
    """Move each depth, in millimetres, to the pixel of the colour camera that it is seen at; the nearest counts."""
    color_from_depth = np.linalg.inv(scan.rig_from_color) @ scan.rig_from_depth
    row, column = np.nonzero(depth)
    rays = np.stack((column, row, np.ones_like(row)), axis=-1) @ np.linalg.inv(scan.depth_intrinsics[:3, :3]).T
    points = rays * depth[row, column, None] @ color_from_depth[:3, :3].T + 1000 * color_from_depth[:3, 3]
    points = points[points[:, 2] > 0]
    projected = points @ intrinsics.T
    at = np.rint(projected[:, :2] / projected[:, 2:]).astype(np.int64)
    h, w = depth.shape
    inside = ((at >= 0) & (at < (w, h))).all(axis=1) & (points[:, 2] < np.iinfo(np.uint16).max)
    warped = np.full(h * w, np.iinfo(np.uint16).max, np.uint16)
    np.minimum.at(warped, at[inside, 1] * w + at[inside, 0], np.rint(points[inside, 2]).astype(np.uint16))
    warped[warped == np.iinfo(np.uint16).max] = 0
    return warped.reshape(h, w)


def _read_sens(file: SensFile, number: int) -> Taken:
    frame = file.read(number)
    _require_tracking(frame.world_from_cam)
    return frame.decode_color(), frame.decode_depth(), frame.world_from_cam


def _read_exported(folder: Path, number: int) -> Taken:
    pose = read_matrix(folder / f"pose/{number}.txt", 4, 4)
    _require_tracking(pose)
    return read_image(folder / f"color/{number}.jpg"), read_png16(folder / f"depth/{number}.png"), pose


def _require_tracking(pose: Matrix) -> None:
    if not np.isfinite(pose).all():
        raise ValueError("the tracking was lost, so it has no pose")
    require_rigid(pose, "what was tracked")


def _numbers(folder: Path, pattern: str) -> set[int]:
    return {int(path.stem) for path in visible(folder, pattern) if path.stem.isdecimal()}


def _matrix(folder: Path, name: str) -> Matrix:
    path = folder / "intrinsic" / f"{name}.txt"
    return np.eye(4) if name.startswith("extrinsic") and not path.is_file() else read_matrix(path, 4, 4)


CONVERTER = Converter(ScanNet, 1, scenes, convert, options=ScanNetOptions)
