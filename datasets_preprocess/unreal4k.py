"""UnrealStereo4K: smaller pictures, disparity as depth, poses in a right-handed world."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from cut3r.data.datasets.unreal4k import SWAPPED, UnrealStereo4K
from cut3r.data.layout import read_npy
from cut3r.data.transforms import Rescale
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from cut3r.io.numbers import number, read_lines
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Writer, require_rigid

TARGET = (384, 512)  # (h, w) that the written pictures cover
SHORTEST_BASELINE = 0.001  # metres; less is none, because extrinsics are rounded
CORNER = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


class _Frame(NamedTuple):
    rgb: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def scenes(raw: Path) -> Iterator[RawScene]:
    """List "<scene>/<0|1>": each side of the stereo camera."""
    for folder in visible(raw, "*/Image[01]"):
        yield RawScene(f"{folder.parent.name}/{folder.name[-1]}")


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a side is made from; the distance between both cameras needs the extrinsics of both."""
    name, side = scene.name.split("/")
    return [raw / name / part for part in (f"Image{side}", f"Disp{side}", "Extrinsics0", "Extrinsics1")]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Shrink and write the frames of one side.

    Raises:
        ValueError: No frame can be used.
    """
    name, side = scene.name.split("/")
    folder, done = raw / name, []
    frames = [path.stem for path in visible(folder, f"Image{side}/*.png")]

    def read(frame: str) -> _Frame:
        return _read_frame(folder, int(side), frame, parity=writer.parity)

    for frame, content in readable_frames(frames, read, writer):
        scaling = Rescale.to_cover(content.depth.shape, TARGET)
        writer.image("rgb", scene.name, frame, scaling.image(content.rgb))
        writer.npy("depth", scene.name, frame, scaling.nearest(content.depth))
        intrinsics = scaling.intrinsics(content.intrinsics)
        writer.npz("camera", scene.name, frame, intrinsics=intrinsics, cam2world=content.world_from_cam)
        done.append(frame)
    return done


def read_camera(path: Path) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, "4 4"]]:
    """Read intrinsics and cam_from_world, with a left-handed world.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is not a line of 9 finite numbers and one of 12, or has no focal length.
    """
    lines = [words for _, words in read_lines(path)]
    if [len(words) for words in lines] != [9, 12]:
        raise ValueError(f"{path} has lines of {[len(words) for words in lines]} words; expected 9 and 12 numbers")
    first, second = (np.array([number(word) for word in words]).reshape(3, -1) for words in lines)
    if not (np.isfinite(first).all() and np.isfinite(second).all() and min(first[0, 0], first[1, 1]) > 0):
        raise ValueError(f"{path} is no camera; expected finite numbers and positive focal lengths")
    return first, np.vstack((second, [0, 0, 0, 1]))


def depth_of(disparity: Float[np.ndarray, "h w"], baseline: float, focal: float) -> Float32[np.ndarray, "h w"]:
    """Give metres; infinity where the disparity is 0."""
    product = np.float32(baseline * focal)  # as the original in its version of NumPy
    with np.errstate(divide="ignore", invalid="ignore"):
        return (product / disparity).astype(np.float32)


def _read_frame(folder: Path, side: int, frame: str, *, parity: bool) -> _Frame:
    (first, left_from_world), (second, right_from_world) = (
        read_camera(folder / f"Extrinsics{each}" / f"{frame}.txt") for each in (0, 1)
    )
    worlds_from_cams = np.linalg.inv(np.stack((left_from_world, right_from_world)))  # mirrored, so not `invert`
    baseline = float((left_from_world @ worlds_from_cams[1])[0, 3])
    intrinsics, world_from_cam = (first, second)[side], worlds_from_cams[side]
    require_rigid(SWAPPED @ world_from_cam, f"{frame} in Extrinsics{side}")
    if not baseline > SHORTEST_BASELINE:
        raise ValueError(f"{frame}: camera 1 is {baseline:.6f} m to the right of camera 0; expected 0.2 m or more")
    rgb = read_image(folder / f"Image{side}" / f"{frame}.png", parity=True)  # alpha means nothing here
    disparity = read_npy(folder / f"Disp{side}" / f"{frame}.npy")
    if rgb.shape[:2] != disparity.shape:
        raise ValueError(f"image of size {rgb.shape[:2]} with disparity of size {disparity.shape} (h, w)")
    depth = depth_of(disparity, baseline, intrinsics[0, 0])
    if parity:
        return _Frame(rgb, depth, intrinsics, world_from_cam)
    known = (disparity >= 0) & ~np.isnan(disparity)
    return _Frame(rgb, np.where(known, depth, np.float32(0)), intrinsics - CORNER, SWAPPED @ world_from_cam)


CONVERTER = Converter(UnrealStereo4K, 1, scenes, convert, sources=sources)
