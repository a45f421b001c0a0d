"""IRS: left pictures as they are, and depth of their disparity."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from cut3r.data.datasets.irs import Irs
from cut3r.data.transforms import Size
from cut3r.files.listing import visible
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Unlisted, Writer

FOCAL = 480.0  # pixels, of all pictures
BASELINE = 0.1  # metres
STORE, SMALL = "Store", "IRS_small"  # folders whose folders the original knows


def scenes(raw: Path) -> Iterator[RawScene | Unlisted]:
    """List all folders with disparity, d_<frame>.exr; the name joins the parts of the path."""
    taken: dict[str, str] = {}
    for folder in sorted({path.parent for path in visible(raw, "**/d_*.exr")}):
        path = folder.relative_to(raw)
        name = "_".join(path.parts) or raw.resolve().name
        if name in taken:
            yield Unlisted(path.as_posix(), f"its files would lie in the folder {name}, as those of {taken[name]}")
            continue
        taken[name] = path.as_posix()
        frames = tuple(file.stem.removeprefix("d_") for file in visible(folder, "d_*.exr"))
        yield RawScene(name, frames, {"folder": path.as_posix()})


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a sequence is made from."""
    return [raw / scene.facts["folder"]]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Copy pictures, and write depth and cameras; what is missing or damaged is left out.

    Parity: pixels without disparity are infinitely far; sequences where the original does not look are left out.
    """
    path = Path(scene.facts["folder"])
    if writer.parity and not _is_known(path):
        for frame in scene.frames:
            writer.leave_out(
                frame, f"the original looks for sequences beside {path.parts[0]}, in {STORE} and {SMALL}/*"
            )
        return []
    sequence = path.as_posix() if writer.parity else scene.name
    frames = []
    for frame, (disparity, size) in readable_frames(scene.frames, partial(_load, raw / path), writer):
        writer.copy("rgb", sequence, frame, _picture(raw / path, frame))
        if writer.parity:
            with np.errstate(divide="ignore"):
                writer.npy("depth", sequence, frame, np.float32(BASELINE * FOCAL) / disparity)
        else:
            writer.depth("depth", sequence, frame, depth_of(disparity))
        writer.npz("camera", sequence, frame, intrinsics=intrinsics_of(size, parity=writer.parity))
        frames.append(frame)
    return frames


def depth_of(disparity: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Give metres; 0 where there is no disparity."""
    known = disparity > 0
    return np.where(known, np.float32(BASELINE * FOCAL) / np.where(known, disparity, np.float32(1)), np.float32(0))


def intrinsics_of(size: Size, *, parity: bool = False) -> Float32[np.ndarray, "3 3"]:
    """Give the camera of a picture. Parity: the principal point of an even side is half a pixel off."""
    h, w = size
    cx, cy = (w // 2, h // 2) if parity else ((w - 1) / 2, (h - 1) / 2)
    return np.array([[FOCAL, 0, cx], [0, FOCAL, cy], [0, 0, 1]], np.float32)


def _is_known(path: Path) -> bool:
    """Tell whether the original takes a folder for a sequence."""
    depth = {STORE: 2, SMALL: 3}.get(path.parts[0] if path.parts else "", 1)
    return len(path.parts) == depth


def _load(folder: Path, frame: str) -> tuple[Float32[np.ndarray, "h w"], Size]:
    disparity = read_depth(folder / f"d_{frame}.exr")
    rgb = read_image(_picture(folder, frame))
    size = (rgb.shape[0], rgb.shape[1])
    if disparity.shape != size:
        raise ValueError(f"a picture of {size} with disparity of {disparity.shape} (h, w); expected the same size")
    return disparity, size


def _picture(folder: Path, frame: str) -> Path:
    return folder / f"l_{frame}.png"


CONVERTER = Converter(Irs, 1, scenes, convert, sources=sources)
