"""Spring: disparity becomes depth, pictures are stored at half of their size."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8
from PIL import Image

from cut3r.data.datasets.spring import Spring
from cut3r.data.transforms import Rescale, Size, finite
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible_folders
from cut3r.io.hdf5 import read_hdf5
from cut3r.io.images import read_image
from cut3r.io.numbers import read_rows
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Writer, require_rigid

logger = logging.getLogger(__name__)

FINER = 2  # disparity, flow and sky maps have so many times the pixels of the pictures, in each direction
SKY = -1.0
FLOWS = {"flow_forward": "FW", "flow_backward": "BW"}


@dataclass(frozen=True)
class SpringOptions:
    """The size in pixels that the written pictures cover, the distance of the two cameras, and whether optical flow is
    written, which nothing reads."""

    target_height: int = 540
    target_width: int = 960
    baseline_m: float = 0.065
    flow: bool = False


@dataclass(frozen=True)
class Loaded:
    """A frame at its raw size."""

    rgb: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Cameras:
    """The rows of a sequence's camera files, in the order of its frames."""

    intrinsics: Float64[np.ndarray, "v 4"]  # fx fy cx cy, in pixels of the pictures
    cam_from_world: Float64[np.ndarray, "v 4 4"]

    def __len__(self) -> int:
        return len(self.intrinsics)


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the sequences RAW/<sequence>; only those of the training part have disparity and cameras."""
    for folder in visible_folders(raw):
        if (folder / "frame_left").is_dir():
            yield RawScene(folder.name)


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write pictures, depth and cameras; frames are numbered from 0, as the original does.

    Raises:
        ValueError: The camera files do not have a row for each frame.
    """
    folder = raw / scene.name
    options = writer.options or SpringOptions()
    cameras = read_cameras(folder, equal=writer.parity)
    if not (folder / "maps" / "skymap_left").is_dir() and not writer.parity:
        logger.warning("%s has no maps/skymap_left: its sky is not marked, and far away; download the maps", folder)
    names = [f"{number:04d}" for number in range(len(cameras))]
    frames = []
    for frame, loaded in readable_frames(names, partial(_load, folder, cameras, options, writer.parity), writer):
        if writer.parity and writer.left_out:  # the original stops at the first
            break
        scaling = Rescale.to_cover(loaded.depth.shape, (options.target_height, options.target_width))
        writer.image("rgb", scene.name, frame, scaling.image(loaded.rgb))
        writer.depth("depth", scene.name, frame, scaling.nearest(loaded.depth))
        intrinsics, pose = scaling.intrinsics(loaded.intrinsics), loaded.world_from_cam
        writer.npz("camera", scene.name, frame, intrinsics=intrinsics.astype(np.float32), pose=pose.astype(np.float32))
        if writer.parity or options.flow:  # 31_spring.md, section 6: nothing reads the flow
            _convert_flow(folder, scene.name, frame, scaling, writer)
        frames.append(frame)
    return frames


def read_cameras(folder: Path, *, equal: bool = False) -> Cameras:
    """Read the cameras of a sequence.

    Args:
        equal: There must be as many pictures and disparity maps, and folders of flow, as the original demands.

    Raises:
        ValueError: The files have different numbers of rows, or too few for the frames that are there.
    """
    if equal and (
        missing := [f"flow_{each}_left" for each in FLOWS.values() if not (folder / f"flow_{each}_left").is_dir()]
    ):
        raise ValueError(f"{folder} has no {missing[0]}; without parity it needs none")
    intrinsics, _ = read_rows(folder / "cam_data" / "intrinsics.txt", 4, "fx fy cx cy")
    extrinsics, _ = read_rows(folder / "cam_data" / "extrinsics.txt", 16, "a 4x4 matrix")
    pictures = sorted((folder / "frame_left").glob("frame_left_*.png"))
    disparities = sorted((folder / "disp1_left").glob("disp1_left_*.dsp5"))
    last = max((int(path.stem.rpartition("_")[2]) for path in (*pictures, *disparities)), default=0)
    counts = {len(intrinsics), len(extrinsics), *((len(pictures), len(disparities)) if equal else ())}
    if len(counts) > 1 or len(intrinsics) < last:
        raise ValueError(
            f"{folder} has {len(pictures)} pictures up to number {last}, {len(disparities)} disparity maps, "
            f"{len(intrinsics)} rows of intrinsics and {len(extrinsics)} of extrinsics; expected a row for each frame, "
            "so download it again"
        )
    return Cameras(intrinsics, extrinsics.reshape(-1, 4, 4))


def depth_from_disparity(
    disparity: Float[np.ndarray, "h w"], focal: float, baseline_m: float, *, parity: bool = False
) -> Float32[np.ndarray, "h w"]:
    """Give metres; 0 where the disparity is not above 0, or no number.

    Args:
        parity: What is below 0 gives negative depth.
    """
    known = disparity != 0 if parity else disparity > 0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        depth = np.where(known, focal * baseline_m / disparity.astype(np.float64), 0).astype(np.float32)
    return finite(depth)


def _load(folder: Path, cameras: Cameras, options: SpringOptions, parity: bool, frame: str) -> Loaded:
    row, number = int(frame), f"{int(frame) + 1:04d}"
    fx, fy, cx, cy = cameras.intrinsics[row]
    if not (np.isfinite(cameras.intrinsics[row]).all() and fx > 0 and fy > 0):
        raise ValueError(f"row {row + 1} of intrinsics.txt holds {cameras.intrinsics[row]}; expected pixels")
    require_rigid(cameras.cam_from_world[row], f"row {row + 1} of extrinsics.txt")
    world_from_cam = np.linalg.inv(cameras.cam_from_world[row])
    rgb = read_image(folder / "frame_left" / f"frame_left_{number}.png")
    disparity = read_hdf5(folder / "disp1_left" / f"disp1_left_{number}.dsp5", "disparity")[::FINER, ::FINER]
    if disparity.shape != rgb.shape[:2]:
        raise ValueError(f"disparity at {disparity.shape} of a picture of {rgb.shape[:2]}; expected the same size")
    depth = depth_from_disparity(disparity, fx, options.baseline_m, parity=parity)
    maps = folder / "maps" / "skymap_left"
    if maps.is_dir() and not parity:
        depth[_read_sky(maps / f"skymap_left_{number}.png", depth.shape)] = SKY
    return Loaded(rgb, depth, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), world_from_cam)


def _read_sky(path: Path, size: Size) -> Bool[np.ndarray, "h w"]:
    with naming_the_file(path), Image.open(path) as image:
        sky = np.asarray(image.convert("L"))[::FINER, ::FINER] > 0
        if sky.shape != size:
            raise ValueError(f"a sky map for pictures of {sky.shape}; expected {size}")
    return sky


def _convert_flow(folder: Path, scene: str, frame: str, scaling: Rescale, writer: Writer) -> None:
    h, w = scaling.new
    for kind, direction in FLOWS.items():
        path = folder / f"flow_{direction}_left" / f"flow_{direction}_left_{int(frame) + 1:04d}.flo5"
        if path.is_file():  # the last frame has no forward flow, the first no backward flow
            flow = read_hdf5(path, "flow")[::FINER, ::FINER].astype(np.float32)
            ratio = np.array([w / flow.shape[1], h / flow.shape[0]], np.float32)
            writer.npy(kind, scene, frame, cv2.resize(flow, (w, h), interpolation=cv2.INTER_LINEAR) * ratio)


CONVERTER = Converter(Spring, 1, scenes, convert, options=SpringOptions)
