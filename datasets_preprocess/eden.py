"""EDEN: the left pictures, with depth and intrinsics out of MATLAB's files."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Num

from cut3r.data.datasets.eden import Eden, within_reach
from cut3r.data.transforms import principal_window
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from cut3r.io.matlab import read_mat
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Writer

logger = logging.getLogger(__name__)

MODES = ("clear", "cloudy", "overcast", "sunset", "twilight")


class _Loaded(NamedTuple):
    rgb: Path
    depth: Num[np.ndarray, "h w"]
    intrinsics: Num[np.ndarray, "3 3"]


def scenes(raw: Path) -> Iterator[RawScene]:
    """List "<garden>_<mode>" of the folders RGB/<garden>/<mode>."""
    for folder in visible(raw, "RGB/*/*"):
        garden, mode = folder.parent.name, folder.name
        if mode in MODES:
            stems = (path.stem for path in visible(raw / "cam_matrix" / garden / mode, "*.mat"))
            yield RawScene(f"{garden}_{mode}", tuple(stems), {"folder": f"{garden}/{mode}"})
        elif folder.is_dir():
            logger.warning("%s is not converted; expected a folder named %s", folder, ", ".join(MODES))


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a garden is made from."""
    return [raw / part / scene.facts["folder"] for part in ("RGB", "Depth", "cam_matrix")]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Copy the pictures, and write depth and cameras; what cannot be used is left out.

    Parity: pictures are copied unseen, and depth and cameras as they are.
    """
    frames = []
    for frame, loaded in readable_frames(scene.frames, partial(_load, sources(raw, scene), writer.parity), writer):
        writer.copy("rgb", scene.name, frame, loaded.rgb)
        if writer.parity:
            writer.npy("depth", scene.name, frame, loaded.depth)
        else:
            writer.depth("depth", scene.name, frame, within_reach(loaded.depth.astype(np.float64)))
        writer.npz("camera", scene.name, frame, intrinsics=loaded.intrinsics)
        frames.append(frame)
    return frames


def _load(folders: list[Path], parity: bool, frame: str) -> _Loaded:
    pictures, depths, cameras = folders
    picture = pictures / f"{frame}_L.png"
    if not picture.is_file():
        raise FileNotFoundError(f"there is no {picture}")
    depth = read_mat(depths / f"{frame}_L.mat", "Depth")
    depth = depth[..., 0] if depth.ndim == 3 else depth
    intrinsics = read_mat(cameras / f"{frame}.mat", "K_L")
    if not parity:
        rgb = read_image(picture)
        _check((rgb.shape[0], rgb.shape[1]), depth, intrinsics)
    return _Loaded(picture, depth, intrinsics)


def _check(size: tuple[int, int], depth: np.ndarray, intrinsics: np.ndarray) -> None:
    if depth.shape != size:
        raise ValueError(f"a picture of {size} with depth of {depth.shape} (h, w); expected the same size")
    if intrinsics.shape != (3, 3) or not (intrinsics[0, 0] > 0 and intrinsics[1, 1] > 0):
        raise ValueError(f"intrinsics {intrinsics.tolist()}; expected 3 x 3 numbers with focal lengths above 0")
    principal_window(size, intrinsics.astype(np.float64))


CONVERTER = Converter(Eden, 1, scenes, convert, sources=sources)
