"""BlendedMVS: the pictures of 768x576 pixels and their rendered depth, at two thirds of that."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from cut3r.data.datasets.blendedmvs import BlendedMvs
from cut3r.data.transforms import Rescale
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible
from cut3r.io.hdf5 import hdf5_names, read_hdf5
from cut3r.io.images import read_image
from cut3r.io.numbers import read_lines
from cut3r.io.pfm import read_pfm
from datasets_preprocess import covisibility
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Writer, require_rigid

SIZE = (384, 512)
JPEG_QUALITY = 80
NAME_LENGTH = 24  # of scenes, hexadecimal; other folders are none
DIGITS = 8  # of frames
PAIRS = "blendedmvs_pairs.npy"  # by the DUSt3R project; it only says which pictures there should be
OVERLAPS = "new_overlap.h5"  # by the CUT3R project


@dataclass(frozen=True)
class Source:
    """One picture as published."""

    rgb: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the folders RAW/<24 hexadecimal digits>."""
    yield from (RawScene(path.name) for path in visible(raw, "?" * NAME_LENGTH) if path.is_dir())


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a scene is made from."""
    return [raw / scene.name, *(path for name in (PAIRS, OVERLAPS) if (path := raw / name).is_file())]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write the pictures of a scene, and how much they see of each other: by RAW/new_overlap.h5 if it is there, else
    measured by their depth.

    Raises:
        ValueError: No picture can be used.
    """
    folder = raw / scene.name
    listed = [path.stem for path in visible(folder, "blended_images/*.jpg") if _is_frame(path.stem)]
    sights = {}
    for frame, source in readable_frames(listed, partial(_read, folder, parity=writer.parity), writer):
        scaling = Rescale.to_cover(source.depth.shape, SIZE)
        depth, intrinsics = scaling.nearest(source.depth), scaling.intrinsics(source.intrinsics)
        writer.image("rgb", scene.name, frame, scaling.image(source.rgb), quality=JPEG_QUALITY)
        writer.depth("depth", scene.name, frame, depth)
        writer.npz(
            "camera",
            scene.name,
            frame,
            intrinsics=intrinsics.astype(np.float32),
            R_cam2world=source.world_from_cam[:3, :3],
            t_cam2world=source.world_from_cam[:3, 3].astype(np.float32),
        )
        sights[frame] = covisibility.Sight.thinned(depth, intrinsics, source.world_from_cam)
    for frame in sorted(_promised(raw / PAIRS).get(scene.name, set()) - set(listed)):
        writer.leave_out(frame, f"{PAIRS} names it, but the download lacks it")
    if not writer.parity:
        arrays: dict[str, Any] = _published(raw / OVERLAPS, scene.name) or _measured(sights)
        writer.npz("overlap", scene.name, **arrays)
    return list(sights)


def read_camera(path: Path) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, "4 4"]]:
    """Read intrinsics and world_from_cam of a _cam.txt.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged.
    """
    with naming_the_file(path):
        words = [words for _, words in read_lines(path)]
        if words[0:1] + words[5:6] != [["extrinsic"], ["intrinsic"]]:
            raise ValueError("expected the lines extrinsic and intrinsic, each with a matrix below")
        cam_from_world, intrinsics = (np.array(words[a:b], np.float32) for a, b in ((1, 5), (6, 9)))
        if not (cam_from_world.shape == (4, 4) and intrinsics.shape == (3, 3) and intrinsics[0, 0] > 0):
            raise ValueError("expected a 4x4 matrix, and a 3x3 matrix with a focal length")
        # Not `invert`: of rotations with eight digits the general inverse is what the original stores
        world_from_cam = np.linalg.inv(cam_from_world).astype(np.float64)
        require_rigid(world_from_cam, "extrinsic")
        return intrinsics.astype(np.float64), world_from_cam


def _read(folder: Path, frame: str, *, parity: bool) -> Source:
    rgb = read_image(folder / "blended_images" / f"{frame}.jpg")
    depth = read_pfm(folder / "rendered_depth_maps" / f"{frame}.pfm")
    if depth.ndim != 2 or rgb.shape[:2] != depth.shape or 4 * rgb.shape[0] != 3 * rgb.shape[1]:
        raise ValueError(f"its picture is of {rgb.shape}, its depth of {depth.shape}; expected 3 by 4, and both alike")
    if not parity:
        depth = np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0)
    return Source(rgb, depth, *read_camera(folder / "cams" / f"{frame}_cam.txt"))


def _measured(sights: dict[str, covisibility.Sight]) -> dict[str, np.ndarray]:
    rows = covisibility.pairs(covisibility.scores(list(sights.values())))
    return {
        "basenames": np.array(list(sights)),
        "indices": rows[:, :2].T.astype(np.int64),
        "values": rows[:, 2].astype(np.float32),
    }


def _published(path: Path, scene: str) -> dict[str, np.ndarray] | None:
    if not path.is_file() or f"{scene}/values" not in hdf5_names(path):
        return None
    arrays = {name: read_hdf5(path, f"{scene}/{name}") for name in ("basenames", "indices", "values")}
    return {**arrays, "basenames": arrays["basenames"].astype(str)}


@lru_cache(maxsize=1)
def _promised(path: Path) -> dict[str, set[str]]:
    """Give the frames that each scene should have, if there is such a list."""
    found: dict[str, set[str]] = {}
    if path.is_file():
        with naming_the_file(path):
            for high, low, *frames, _ in np.load(path, allow_pickle=False).tolist():
                found.setdefault(f"{high:08x}{low:016x}", set()).update(f"{frame:0{DIGITS}d}" for frame in frames)
    return found


def _is_frame(name: str) -> bool:
    return len(name) == DIGITS and name.isdecimal()


CONVERTER = Converter(BlendedMvs, 1, scenes, convert, sources=sources)
