"""MVS-Synth: pictures are copied, depth is freed of sky, poses of a left-handed world become right-handed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from cut3r.data.datasets.mvs_synth import MvsSynth
from cut3r.data.transforms import finite
from cut3r.files.listing import visible, visible_folders
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image
from datasets_preprocess.co3d_annotations import naming_the_content
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Writer, require_rigid

FLIPPED = np.diag([1.0, -1, 1, 1])  # the world, about a plane
SWAPPED = np.eye(4)[[1, 0, 2, 3]]  # the same turned by 90 degrees, as the original does it
FOLDERS = {"images": "png", "depths": "exr", "poses": "json"}


@dataclass(frozen=True)
class Loaded:
    """A frame in our terms; its picture is copied."""

    rgb: Path
    depth: Float32[np.ndarray, "h w"]
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the sequences RAW/<sequence>; RAW is one of GTAV_540, GTAV_720 and GTAV_1080."""
    for folder in visible_folders(raw):
        if any((folder / part).is_dir() for part in FOLDERS):
            yield RawScene(folder.name)


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write pictures, depth and cameras, in the unit of the dataset."""
    folder = raw / scene.name
    names = sorted({path.stem for part, suffix in FOLDERS.items() for path in visible(folder, f"{part}/*.{suffix}")})
    frames = []
    for frame, loaded in readable_frames(names, partial(_load, folder, writer.parity), writer):
        writer.copy("rgb_jpg" if writer.parity else "rgb", scene.name, frame, loaded.rgb)
        writer.npy("depth", scene.name, frame, loaded.depth)
        intrinsics = loaded.intrinsics.astype(np.float32)
        writer.npz("camera", scene.name, frame, intrinsics=intrinsics, pose=loaded.world_from_cam)
        frames.append(frame)
    return frames


def read_camera(path: Path, *, parity: bool = False) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, "4 4"]]:
    """Read intrinsics (pixels) and world_from_cam, in a right-handed world.

    Args:
        parity: Swap x and y of the world, instead of turning y around.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or its world is not left-handed.
    """
    with naming_the_content(path):
        content = json.loads(path.read_text())
        fx, fy, cx, cy = (float(content[name]) for name in ("f_x", "f_y", "c_x", "c_y"))
        cam_from_world = np.array(content["extrinsic"], np.float64)
        if cam_from_world.shape != (4, 4) or not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
            raise ValueError(f"focal lengths {fx}, {fy} and an extrinsic of {cam_from_world.shape}")
        # its own inverse: a reflection of the world makes the left-handed motion right-handed
        require_rigid(cam_from_world @ FLIPPED, "the extrinsic, whose world must be left-handed")
    world_from_cam = (SWAPPED if parity else FLIPPED) @ np.linalg.inv(cam_from_world)
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), world_from_cam


def _load(folder: Path, parity: bool, frame: str) -> Loaded:
    intrinsics, world_from_cam = read_camera(folder / "poses" / f"{frame}.json", parity=parity)
    rgb = folder / "images" / f"{frame}.png"
    depth, size = read_depth(folder / "depths" / f"{frame}.exr"), read_image(rgb).shape[:2]
    if depth.shape != size:
        raise ValueError(f"picture of {size}, depth of {depth.shape}; expected the same size")
    # sky is infinite; the original leaves what is negative or no number
    depth = np.where(np.isinf(depth), np.float32(0), depth) if parity else np.maximum(finite(depth), 0)
    return Loaded(rgb, depth, intrinsics, world_from_cam)


CONVERTER = Converter(MvsSynth, 1, scenes, convert)
