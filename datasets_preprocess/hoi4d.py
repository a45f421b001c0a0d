"""HOI4D: pictures and depth of the head camera at a smaller size, from the videos or the frames that they were decoded
to."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8, UInt16

from cut3r.data.datasets.hoi4d import Hoi4d
from cut3r.data.layout import read_npy, read_png16
from cut3r.data.transforms import Rescale
from cut3r.files.listing import visible
from cut3r.io.depth import MILLIMETRES
from cut3r.io.depth_video import read_depth_video
from cut3r.io.images import read_image
from cut3r.io.video import SequentialCapture
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Writer

RELEASE, CAMERAS = "HOI4D_release", "CAMERA_PARAMS"  # side by side in the raw folder
SEQUENCES = "ZY2021*/H*/C*/N*/S*/s*/T*"
SMALLEST = (480, 640)  # (h, w) that written pictures cover
RATE = 15.0  # frames per second of the videos
ONE_BYTE = 255  # depth that never exceeds it has lost its upper bits


@dataclass(frozen=True)
class Hoi4dOptions:
    """Which frames are kept.

    every: keep every so many frames of a video, because neighbours show nearly the same
    """

    every: int = 15

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every is {self.every}; 1 keeps all frames, 15 one per second")


class _Loaded(NamedTuple):
    rgb: UInt8[np.ndarray, "h w 3"]
    millimetres: UInt16[np.ndarray, "h w"]


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the sequences <camera>/<human>/<class>/<instance>/<room>/<layout>/<task>."""
    for folder in visible(raw / RELEASE, SEQUENCES):
        if folder.is_dir():
            yield RawScene(folder.relative_to(raw / RELEASE).as_posix())


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a sequence is made from."""
    folder = raw / RELEASE / scene.name
    return [folder / "align_rgb", folder / "align_depth", _camera(raw, scene)]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write every so many frames; a frame without picture or depth is left out.

    Parity: all frames, decoded before.
    """
    if not _camera(raw, scene).is_file():
        raise LeftOut(f"there is no {_camera(raw, scene)}; download the camera parameters")
    intrinsics = read_intrinsics(_camera(raw, scene))
    folder, sequence = raw / RELEASE / scene.name, scene.name.replace("/", "_")
    every = 1 if writer.parity else (writer.options or Hoi4dOptions()).every
    frames = []
    for frame, loaded in _decoded(folder, every, writer):
        size = (loaded.rgb.shape[0], loaded.rgb.shape[1])
        scaling = Rescale.to_cover(size, SMALLEST)
        metres = (scaling.nearest(loaded.millimetres) / MILLIMETRES).astype(np.float32)
        writer.image("rgb", sequence, frame, scaling.image(loaded.rgb))
        writer.depth("depth", sequence, frame, metres)
        writer.npz("camera", sequence, frame, intrinsics=scaling.intrinsics(intrinsics))
        frames.append(frame)
    return frames


def read_intrinsics(path: Path) -> Float64[np.ndarray, "3 3"]:
    """Read the intrinsics of a camera.

    Raises:
        ValueError: They cannot be those of a camera.
    """
    intrinsics = read_npy(path).astype(np.float64)
    if intrinsics.shape != (3, 3) or not (np.isfinite(intrinsics).all() and intrinsics.diagonal().min() > 0):
        raise ValueError(f"{path} holds {intrinsics.tolist()}; expected 3 x 3 intrinsics")
    return intrinsics


def _decoded(folder: Path, every: int, writer: Writer) -> Iterator[tuple[str, _Loaded]]:
    """Give frames that were decoded before, or else decode the videos."""
    names = [path.stem for path in visible(folder, "align_rgb/*.jpg")]
    if names or writer.parity:
        yield from readable_frames(names[::every], partial(_load, folder), writer)
        return
    videos = folder / "align_rgb" / "image.mp4", folder / "align_depth" / "depth_video.avi"
    for number, loaded in read_videos(*videos, every):
        if loaded is None:
            writer.leave_out(f"{number:05d}", f"{videos[1]} ends before it")
        else:
            yield f"{number:05d}", loaded


def read_videos(colours: Path, depths: Path, every: int) -> Iterator[tuple[int, _Loaded | None]]:
    """Give every so many frames of a pair of videos, with their numbers; None where the depth has ended.

    Raises:
        ValueError: A video is damaged, has another rate, or holds no depth.
    """
    capture, maps = SequentialCapture(colours), read_depth_video(depths)
    with closing(capture):
        if abs(capture.fps - RATE) > 0.01 * RATE:
            raise ValueError(f"{colours} has {capture.fps:.4g} frames per second; expected {RATE:.4g}")
        while (stamp := capture.grab()) is not None:
            millimetres = next(maps, None)
            if stamp.index == 0 and (millimetres is None or millimetres.max() <= ONE_BYTE):
                raise ValueError(f"{depths} never exceeds {ONE_BYTE} mm at first; it has lost its upper bits")
            if stamp.damaged or capture.failed:
                raise ValueError(f"{colours} is damaged at frame {stamp.index}; copy or download it again")
            if stamp.index % every == 0:
                yield stamp.index, None if millimetres is None else _pair(capture.retrieve(), millimetres)
        for _ in maps:  # to know whether they are damaged further on
            pass


def _load(folder: Path, frame: str) -> _Loaded:
    rgb = read_image(folder / "align_rgb" / f"{frame}.jpg")
    return _pair(rgb, read_png16(folder / "align_depth" / f"{frame}.png"))


def _pair(rgb: UInt8[np.ndarray, "h w 3"] | None, millimetres: UInt16[np.ndarray, "h w"]) -> _Loaded:
    if rgb is None or rgb.shape[:2] != millimetres.shape:
        found = None if rgb is None else rgb.shape[:2]
        raise ValueError(f"a picture of {found} with depth of {millimetres.shape} (h, w); expected one size")
    return _Loaded(rgb, millimetres)


def _camera(raw: Path, scene: RawScene) -> Path:
    return raw / CAMERAS / scene.name.partition("/")[0] / "intrin.npy"


CONVERTER = Converter(Hoi4d, 1, scenes, convert, sources=sources, options=Hoi4dOptions)
