"""Synscapes: pictures as they are, with depth, sky and cameras."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from cut3r.data.datasets.synscapes import Synscapes
from cut3r.data.layout import read_png8
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image
from cut3r.io.json_fields import a_number, an_object, read_json
from datasets_preprocess.blocks import blocks, stems
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Writer


@dataclass(frozen=True)
class SynscapesOptions:
    """What the class pictures mean.

    sky_id: the class of sky
    """

    sky_id: int = 23


class _Loaded(NamedTuple):
    depth: Float32[np.ndarray, "h w"]
    sky: Bool[np.ndarray, "h w"]
    intrinsics: Float32[np.ndarray, "3 3"]


def scenes(raw: Path) -> Iterator[RawScene]:
    """List blocks of the numbers of img/depth/<n>.exr, and of pictures without depth."""
    numbers = stems(raw / "img" / "depth") | stems(raw / "img" / "rgb")
    yield from blocks(sorted(numbers, key=lambda number: (len(number), number)))


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a block is made from."""
    return [path for number in scene.frames for path in _files(raw, number)]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Copy pictures, and write depth, sky and cameras; what is missing or damaged is left out."""
    options = writer.options or SynscapesOptions()
    frames = []
    for number, loaded in readable_frames(scene.frames, partial(_load, raw, options, writer.parity), writer):
        writer.copy("rgb", "", number, _files(raw, number)[0])
        write_depth = writer.npy if writer.parity else writer.depth
        write_depth("depth", "", number, loaded.depth)
        writer.png8("sky", "", number, loaded.sky.astype(np.uint8) * 255)
        writer.npz("camera", "", number, intrinsics=loaded.intrinsics)
        frames.append(number)
    return frames


def _load(raw: Path, options: SynscapesOptions, parity: bool, number: str) -> _Loaded:
    picture, depth_path, classes, meta = _files(raw, number)
    if not picture.is_file():
        raise FileNotFoundError(f"there is no {picture}")
    depth = read_depth(depth_path)
    ids = read_png8(classes)
    sky = (ids if ids.ndim == 2 else ids[..., 0]) == options.sky_id
    if not parity:
        rgb = read_image(picture)
        if not rgb.shape[:2] == depth.shape == sky.shape:
            shapes = [rgb.shape[:2], depth.shape, sky.shape]
            raise ValueError(f"picture, depth and classes have the sizes {shapes} (h, w); expected one size")
    camera = an_object(read_json(meta), str(meta), "camera", "intrinsic")
    fx, fy, cx, cy = (a_number(camera, name, str(meta)) for name in ("fx", "fy", "u0", "v0"))
    return _Loaded(depth, sky, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32))


def _files(raw: Path, number: str) -> tuple[Path, Path, Path, Path]:
    """Name picture, depth, classes and camera of a frame."""
    images = raw / "img"
    return (
        images / "rgb" / f"{number}.png",
        images / "depth" / f"{number}.exr",
        images / "class" / f"{number}.png",
        raw / "meta" / f"{number}.json",
    )


CONVERTER = Converter(Synscapes, 1, scenes, convert, sources=sources, options=SynscapesOptions)
