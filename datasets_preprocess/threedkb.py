"""3D Ken Burns: of four views around each place of a walk one is kept, with its depth and a pinhole camera."""

import math
import random
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8

from cut3r.data.datasets.threedkb import ThreeDKenBurns
from cut3r.data.transforms import Size
from cut3r.files.listing import visible
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image
from cut3r.io.json_fields import a_number, an_object, read_json
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Writer

VIEWS = ("bl", "br", "tl", "tr")  # bottom or top, left or right
SEED = 42  # parity: of the choice among them
META = "-meta.json"


class _Loaded(NamedTuple):
    rgb: UInt8[np.ndarray, "h w 3"]
    depth: Path
    intrinsics: Float64[np.ndarray, "3 3"]


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the walks and flights; `first` is how many places the walks before have."""
    first = 0
    for folder in visible(raw, "*"):
        frames = tuple(path.name.removesuffix(META) for path in visible(folder, f"*{META}"))
        if not folder.name.endswith("-depth") and frames:
            yield RawScene(folder.name, frames, {"first": first})
            first += len(frames)


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a walk is made from."""
    return [raw / scene.name, raw / f"{scene.name}-depth"]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write one view of each place; a place whose files are damaged or missing is left out."""
    choice = _parity_choice(scene) if writer.parity else {name: view_of(scene.name, name) for name in scene.frames}
    frames = []
    for name, loaded in readable_frames(scene.frames, partial(_load, raw, scene.name, choice, writer), writer):
        writer.image("rgb", scene.name, name, loaded.rgb)
        writer.copy("depth", scene.name, name, loaded.depth)
        writer.npz("camera", scene.name, name, intrinsics=loaded.intrinsics)
        frames.append(name)
    return frames


def view_of(sequence: str, name: str) -> str:
    """Choose one of the four views of a place, the same whenever it is converted, and wherever."""
    return VIEWS[zlib.crc32(f"{sequence}/{name}".encode()) % len(VIEWS)]


def intrinsics_of(size: Size, fov_deg: float, *, parity: bool = False) -> Float64[np.ndarray, "3 3"]:
    """Give the camera of a picture by its horizontal field of view.

    Parity: the principal point is half a pixel off, and the pixels of a picture that is not square are not, either.

    Raises:
        ValueError: The field of view is not between 0 and 180 degrees.
    """
    if not 0 < fov_deg < 180:
        raise ValueError(f"a field of view of {fov_deg} degrees; expected one between 0 and 180")
    h, w = size
    focal = w / (2 * math.tan(math.radians(fov_deg) / 2))
    if parity:
        return np.array([[focal, 0, w / 2], [0, focal * h / w, h / 2], [0, 0, 1]])
    return np.array([[focal, 0, (w - 1) / 2], [0, focal, (h - 1) / 2], [0, 0, 1]])


def _parity_choice(scene: RawScene) -> dict[str, str]:
    """Repeat the original's draws, one for each place of all walks in order."""
    draws = random.Random(SEED)
    for _ in range(scene.facts["first"]):
        draws.choice(VIEWS)
    return {name: draws.choice(VIEWS) for name in scene.frames}


def _load(raw: Path, sequence: str, choice: dict[str, str], writer: Writer, name: str) -> _Loaded:
    view, folder = f"{name}-{choice[name]}", raw / sequence
    rgb = read_image(folder / f"{view}-image.png", parity=writer.parity)
    size = (rgb.shape[0], rgb.shape[1])
    depth = raw / f"{sequence}-depth" / f"{view}-depth.exr"
    if not depth.is_file():
        raise FileNotFoundError(f"there is no {depth}")
    if not writer.parity and read_depth(depth).shape != size:
        raise ValueError(f"{depth} has another size than its picture of {size[0]} x {size[1]} (h x w)")
    path = folder / f"{name}{META}"
    fov_deg = a_number(an_object(read_json(path), str(path)), "fltFov", str(path))
    return _Loaded(rgb, depth, intrinsics_of(size, fov_deg, parity=writer.parity))


CONVERTER = Converter(ThreeDKenBurns, 1, scenes, convert, sources=sources)
