"""SmartPortraits: frames of the phone, undistorted, with the depth of the other camera as the phone sees it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from cut3r.data.datasets.smartportraits import SmartPortraits
from cut3r.data.layout import read_npy, read_png16
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from datasets_preprocess.phone_frames import phone_frames
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Writer
from datasets_preprocess.smartportraits_calibration import TOOLKIT, Calibration, read_calibration

RELEASE = "SmartPortraits"  # recordings lie here, or in the raw folder itself
DEPTH, PHONE = "_azure_depth_image_raw", "smartphone_video_frames"
ASSOCIATION = "association.txt"  # of a recording that the official toolkit has converted
TUM_UNITS = 5000.0  # of its depth maps, per metre


class _Loaded(NamedTuple):
    rgb: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the recordings, at any depth; the name joins the parts of the path."""
    root = raw / RELEASE if (raw / RELEASE).is_dir() else raw
    recorded = {path.parent for path in visible(root, f"**/{DEPTH}") if (path.parent / PHONE).is_dir()}
    for folder in sorted(recorded | {path.parent for path in visible(root, f"**/{ASSOCIATION}")}):
        name = "_".join(folder.relative_to(root).parts) or root.resolve().name
        yield RawScene(name, facts={"folder": folder.relative_to(raw).as_posix()})


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a recording is made from."""
    return [raw / scene.facts["folder"], raw / TOOLKIT]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write the phone's frames that have depth; what is damaged is left out.

    Parity: of several depth maps for one frame the last is taken, not the one nearest in time.
    """
    folder, calibration = raw / scene.facts["folder"], read_calibration(raw)
    converted = (folder / ASSOCIATION).is_file() and not (folder / DEPTH).is_dir()
    loaded_frames = _converted(folder, calibration, writer) if converted else _recorded(folder, calibration, writer)
    frames = []
    for frame, loaded in loaded_frames:
        writer.image("rgb", scene.name, frame, loaded.rgb)
        writer.depth("depth", scene.name, frame, loaded.depth)
        writer.npz("camera", scene.name, frame, intrinsics=calibration.undistorted)
        frames.append(frame)
    return frames


def pair(phone_ns: list[int], depth_ns: list[int], *, parity: bool = False) -> dict[int, int]:
    """Give each depth map to the frame of the phone nearest in time, the earlier one of two.

    A frame that gets several keeps the nearest. Parity: the last.

    Returns:
        The time of the depth map, by the time of the frame.
    """
    times, pairs = np.array(sorted(phone_ns), np.int64), dict[int, int]()
    for depth in sorted(depth_ns):
        frame = int(times[np.abs(times - depth).argmin()])
        if parity or abs(depth - frame) < abs(pairs.get(frame, 1 << 62) - frame):
            pairs[frame] = depth
    return pairs


def read_association(path: Path) -> dict[str, tuple[Path, Path]]:
    """Read lines "<ns> rgb/<ns>.png <ns> depth/<ns>.png"; of several for one picture, that nearest in time.

    Returns:
        The files of picture and depth, by the name of the picture.

    Raises:
        ValueError: A line that says something else.
    """
    found: dict[str, tuple[int, Path, Path]] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        parts = line.split()
        if not parts or line.startswith("#"):
            continue
        if len(parts) != 4 or not (parts[0].isdigit() and parts[2].isdigit()):
            raise ValueError(f"{path}, line {number}: '{line}'; expected <ns> <picture> <ns> <depth map>")
        gap, rgb, depth = abs(int(parts[0]) - int(parts[2])), path.parent / parts[1], path.parent / parts[3]
        if rgb.stem not in found or gap < found[rgb.stem][0]:
            found[rgb.stem] = gap, rgb, depth
    return {frame: (rgb, depth) for frame, (_, rgb, depth) in sorted(found.items())}


def _recorded(folder: Path, calibration: Calibration, writer: Writer) -> Iterator[tuple[str, _Loaded]]:
    """Give the frames of a recording as published."""
    pictures = phone_frames(folder / PHONE)
    maps = [int(path.stem) for path in visible(folder / DEPTH, "*.npy") if path.stem.isdigit()]
    pairs = pair(pictures.times, maps, parity=writer.parity) if pictures.times else {}

    def load(frame: str) -> _Loaded:
        depth = read_npy(folder / DEPTH / f"{pairs[int(frame)]}.npy")
        if depth.ndim != 2:
            raise ValueError(f"a depth map of shape {depth.shape}; expected h w")
        rgb = _of_size(pictures.read(int(frame)), calibration)
        return _Loaded(calibration.undistort(rgb), calibration.seen_by_phone(depth, parity=writer.parity))

    with closing(pictures):
        yield from readable_frames(map(str, sorted(pairs)), load, writer)
        pictures.finish()


def _converted(folder: Path, calibration: Calibration, writer: Writer) -> Iterator[tuple[str, _Loaded]]:
    """Give the frames of a recording that the official toolkit has converted: undistorted, with depth that fits."""
    files = read_association(folder / ASSOCIATION)

    def load(frame: str) -> _Loaded:
        rgb = _of_size(read_image(files[frame][0]), calibration)
        depth = (read_png16(files[frame][1]) / TUM_UNITS).astype(np.float32)
        if depth.shape != rgb.shape[:2]:
            raise ValueError(f"depth of {depth.shape} for a picture of {rgb.shape[:2]} (h, w); expected one size")
        return _Loaded(rgb, depth)

    yield from readable_frames(files, load, writer)


def _of_size(rgb: UInt8[np.ndarray, "h w 3"], calibration: Calibration) -> UInt8[np.ndarray, "h w 3"]:
    if rgb.shape[:2] != calibration.size:
        raise ValueError(f"a picture of {rgb.shape[:2]} (h, w); expected {calibration.size}, as calibrated")
    return rgb


CONVERTER = Converter(SmartPortraits, 1, scenes, convert, sources=sources)
