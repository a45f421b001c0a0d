"""OmniObject3D: renderings of scanned objects before white, with the scale that makes them as large as they are."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from PIL import Image

from cut3r.data.datasets.omniobject3d import LAYOUT, OmniObject3D, number_of
from cut3r.data.layout import read_npz, write_json
from cut3r.data.transforms import finite
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible, visible_folders
from cut3r.io.depth import read_depth
from cut3r.io.exr import exr_channels, read_exr
from cut3r.io.images import read_image
from datasets_preprocess.co3d_annotations import naming_the_content
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Record, Unlisted, Writer, require_rigid

BACKGROUND = 65504.0  # the largest number of half precision, and beyond
OPENCV_FROM_BLENDER = np.diag([1.0, -1, -1, 1])
TRANSFORMS = "transforms.json"


@dataclass(frozen=True)
class Cameras:
    """What transforms.json says of an object: the horizontal field of view (radians), how much smaller than its scan
    the object is, and of each frame world_from_cam in Blender's axes."""

    fov: float
    scale: float
    world_from_blender: dict[str, Any]


@dataclass(frozen=True)
class Loaded:
    """A frame in our terms."""

    rgb: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def scenes(raw: Path) -> Iterator[RawScene | Unlisted]:
    """List the objects RAW/<object>/render and RAW/<category>/<object>/render."""
    folders = sorted(path.parent for pattern in ("*/render", "*/*/render") for path in visible_folders(raw, pattern))
    counts = Counter(folder.name for folder in folders)
    for name in (name for name, count in counts.items() if count > 1):
        yield Unlisted(name, f"{counts[name]} objects have this name; their files would overwrite each other")
    for folder in folders:
        if counts[folder.name] == 1:
            yield RawScene(folder.name, facts={"folder": folder.relative_to(raw).as_posix()})


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what an object is made from."""
    folder = raw / scene.facts["folder"] / "render"
    return [folder / TRANSFORMS, folder / "images", folder / "depths"]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write pictures, depth and cameras, at the size of the rendering; the files of cameras hold the scale, too.

    Raises:
        FileNotFoundError: There is no transforms.json.
        ValueError: It is damaged, or lacks the field of view or the scale.
    """
    folder = raw / scene.facts["folder"] / "render"
    cameras = read_cameras(folder / TRANSFORMS)
    pictures = {path.stem for path in visible(folder, "images/*.png")}
    names = sorted(pictures | set(cameras.world_from_blender), key=lambda name: (number_of(name), name))
    frames = []
    for frame, loaded in readable_frames(names, partial(_load, folder, cameras, writer.parity), writer):
        writer.image("rgb", scene.name, frame, loaded.rgb)
        writer.npy("depth", scene.name, frame, loaded.depth)
        intrinsics, pose = loaded.intrinsics.astype(np.float32), loaded.world_from_cam.astype(np.float32)
        writer.npz("camera", scene.name, frame, intrinsics=intrinsics, pose=pose, scale=cameras.scale)
        frames.append(frame)
    return frames


def finish(out: Path, done: list[Record]) -> None:
    """Write scale.json, which the original's converter forgets and its reader needs. 27_omniobject3d.md, section 6."""
    cameras = ((record.scene, LAYOUT.path(out, "camera", record.scene, record.frames[0])) for record in done)
    write_json(LAYOUT.path(out, "scale"), {name: float(read_npz(path, "scale")[0]) for name, path in cameras})


def read_cameras(path: Path) -> Cameras:
    """Read transforms.json.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or lacks the field of view or the scale.
    """
    with naming_the_content(path):
        content = json.loads(path.read_text())
        poses = {Path(frame["file_path"]).stem: frame["transform_matrix"] for frame in content["frames"]}
        scales = {float(frame["scale"]) for frame in content["frames"]}
        fov = float(content["camera_angle_x"])
        if len(scales) != 1 or not 0 < min(scales) < math.inf or not 0 < fov < math.pi:
            raise ValueError(f"field of view {fov}, scales {sorted(scales)[:3]}; expected one scale above 0")
    return Cameras(fov, scales.pop(), poses)


def _load(folder: Path, cameras: Cameras, parity: bool, frame: str) -> Loaded:
    if frame not in cameras.world_from_blender:
        raise ValueError(f"{folder / TRANSFORMS} has no pose of {frame}")
    world_from_cam = np.array(cameras.world_from_blender[frame], np.float64) @ OPENCV_FROM_BLENDER
    require_rigid(world_from_cam, f"{frame} in {folder / TRANSFORMS}")
    picture = folder / "images" / f"{frame}.png"
    rgb = _with_hard_edges(picture) if parity else read_image(picture)  # blended over white
    depth = read_render_depth(folder / "depths" / f"{frame}_depth.exr", parity=parity)
    if depth.shape != rgb.shape[:2]:
        raise ValueError(f"{frame}: picture of {rgb.shape[:2]}, depth of {depth.shape}; expected the same size")
    h, w = depth.shape
    focal, shift = w / 2 / math.tan(cameras.fov / 2), 0 if parity else 0.5
    intrinsics = np.array([[focal, 0, w / 2 - shift], [0, focal, h / 2 - shift], [0, 0, 1]])
    return Loaded(rgb, depth, intrinsics, world_from_cam)


def read_render_depth(path: Path, *, parity: bool = False) -> Float32[np.ndarray, "h w"]:
    """Read the depth of a rendering, at its size; 0 where there is no object.

    Args:
        parity: Take the last channel, be it alpha; what is no number stays.
    """
    if not parity:
        depth = finite(read_depth(path))
        return np.where((depth >= BACKGROUND) | (depth < 0), np.float32(0), depth)
    depth = read_exr(path, "A" if "A" in exr_channels(path) else "R")
    return np.where(depth >= BACKGROUND, np.float32(0), depth)


def _with_hard_edges(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Parity: pixels that nothing covers become white, partly covered ones keep their colour."""
    with naming_the_file(path), Image.open(path) as image:
        rgba = np.asarray(image.convert("RGBA"))
    return np.where(rgba[..., 3:] == 0, np.uint8(255), rgba[..., :3])


CONVERTER = Converter(OmniObject3D, 1, scenes, convert, finish, sources)
