"""PointOdyssey: pictures are copied, depth becomes metres, cameras become poses."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, UInt16
from torch import Tensor

from cut3r.data.datasets.pointodyssey import FARTHEST, SPLITS, PointOdyssey
from cut3r.data.layout import read_npz, read_png16
from cut3r.files.listing import visible_folders
from cut3r.geometry.poses import invert, nearest_rotation, pose_from_parts
from cut3r.io.images import read_image
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Writer, require_rigid

SATURATED = 65535  # FARTHEST and all beyond: sky, too


@dataclass(frozen=True)
class Loaded:
    """A frame in our terms; its picture is copied."""

    rgb: Path
    depth: Float32[np.ndarray, "h w"]
    intrinsics: Float32[np.ndarray, "3 3"]
    world_from_cam: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Annotations:
    """The cameras of a sequence, of one frame after the other."""

    intrinsics: Float32[np.ndarray, "v 3 3"]
    cam_from_world: Float32[np.ndarray, "v 4 4"]

    def __len__(self) -> int:
        return len(self.intrinsics)


def scenes(raw: Path) -> Iterator[RawScene]:
    """List RAW/<train|val|test>/<sequence>, also those that the reader does not take."""
    for split in SPLITS:
        yield from (RawScene(f"{split}/{folder.name}") for folder in visible_folders(raw / split))


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write pictures, depth and cameras.

    Raises:
        FileNotFoundError: The sequence has no anno.npz.
        ValueError: It is of release 1.0, or its numbers of cameras, pictures and depth maps differ.
    """
    folder = raw / scene.name
    annotations = read_annotations(folder, equal=writer.parity)
    names = [f"{number:05d}" for number in range(len(annotations))]
    frames = []
    for frame, loaded in readable_frames(names, partial(_load, folder, annotations, writer.parity), writer):
        pose = loaded.world_from_cam.astype(np.float32)
        writer.copy("rgb", scene.name, frame, loaded.rgb)
        writer.depth("depth", scene.name, frame, loaded.depth)
        writer.npz("camera", scene.name, frame, intrinsics=loaded.intrinsics, pose=pose)
        frames.append(frame)
    return frames


def read_annotations(folder: Path, *, equal: bool = False) -> Annotations:
    """Read the cameras of a sequence.

    Args:
        equal: There must be as many pictures and depth maps, as the original demands.

    Raises:
        FileNotFoundError: There is no anno.npz.
        ValueError: It is of release 1.0, damaged, or has no camera for some of the frames.
    """
    path = folder / "anno.npz"
    if not path.is_file() and (folder / "annotations.npz").is_file():
        raise ValueError(f"{folder} is of release 1.0, whose pictures are mirrored; download release 1.1 or later")
    intrinsics, extrinsics = (array.astype(np.float32) for array in read_npz(path, "intrinsics", "extrinsics"))
    if intrinsics.shape[1:] != (3, 3) or extrinsics.shape[1:] != (4, 4):
        raise ValueError(f"{path} holds intrinsics {intrinsics.shape} and extrinsics {extrinsics.shape}")
    pictures, depths = sorted(folder.glob("rgbs/rgb_*.jpg")), sorted(folder.glob("depths/depth_*.png"))
    last = max((int(found.stem.rpartition("_")[2]) for found in (*pictures, *depths)), default=-1)
    counts = {len(intrinsics), len(extrinsics), *((len(pictures), len(depths)) if equal else ())}
    if len(counts) > 1 or len(intrinsics) <= last:
        raise ValueError(
            f"{folder} has {len(pictures)} pictures up to number {last}, {len(depths)} depth maps, {len(intrinsics)} "
            f"intrinsics and {len(extrinsics)} extrinsics; expected cameras for each frame, so download it again"
        )
    return Annotations(intrinsics, extrinsics)


def depth_from_codes(codes: UInt16[np.ndarray, "h w"], *, parity: bool = False) -> Float32[np.ndarray, "h w"]:
    """Give metres; 0 where nothing is known.

    Args:
        parity: The largest code, which stands for everything that is too far, is a distance like others.
    """
    depth = codes.astype(np.float32) / SATURATED * np.float32(FARTHEST)
    return depth if parity else np.where(codes == SATURATED, np.float32(0), depth)


def exactly_rigid(cam_from_world: Float32[np.ndarray, "4 4"]) -> Float64[Tensor, "4 4"]:
    """Make an exact rotation of one whose numbers had half precision, which leaves it orthonormal to 5e-4."""
    pose = torch.from_numpy(cam_from_world).double()
    return pose_from_parts(nearest_rotation(pose[:3, :3]), pose[:3, 3])


def _load(folder: Path, annotations: Annotations, parity: bool, frame: str) -> Loaded:
    intrinsics, cam_from_world = annotations.intrinsics[int(frame)], annotations.cam_from_world[int(frame)]
    if not (np.isfinite(intrinsics).all() and intrinsics[0, 0] > 0 and intrinsics[1, 1] > 0):
        raise ValueError(f"anno.npz has no focal length of frame {frame}")
    require_rigid(cam_from_world.astype(np.float64), f"frame {frame} in anno.npz")
    world_from_cam = np.linalg.inv(cam_from_world) if parity else invert(exactly_rigid(cam_from_world)).numpy()
    rgb = folder / "rgbs" / f"rgb_{frame}.jpg"
    depth = depth_from_codes(read_png16(folder / "depths" / f"depth_{frame}.png"), parity=parity)
    shape = read_image(rgb).shape[:2]
    if depth.shape != shape:
        raise ValueError(f"picture of {shape}, depth of {depth.shape}; expected the same size")
    return Loaded(rgb, depth, intrinsics, world_from_cam)


CONVERTER = Converter(PointOdyssey, 1, scenes, convert)
