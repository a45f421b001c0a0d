"""UrbanSyn: pictures, depth and sky at a smaller size, and the one camera of all of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from cut3r.data.datasets.urbansyn import UrbanSyn
from cut3r.data.layout import read_png8
from cut3r.data.transforms import Rescale, Size
from cut3r.io.depth import depth_channel
from cut3r.io.exr import exr_channels, read_exr
from cut3r.io.images import read_image
from cut3r.io.json_fields import a_number, an_object, read_json
from datasets_preprocess.blocks import blocks, stems
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Writer

CAMERA = "camera_metadata.json"
FIELDS = {"focal_mm": "focalLength_mm", "sensor_width_mm": "sensorWidth_mm", "sensor_height_mm": "sensorHeight_mm"}
METRES = 1e5  # of a unit of the depth files
SKY = 10  # class id
SMALLEST = (480, 640)  # (h, w) that written pictures cover
ODD = ".1"  # what the names of some downloaded depth files end with


@dataclass(frozen=True)
class UrbanSynOptions:
    """The camera, in millimetres, for downloads without camera_metadata.json; all three numbers or none."""

    focal_mm: float | None = None
    sensor_width_mm: float | None = None
    sensor_height_mm: float | None = None

    def __post_init__(self) -> None:
        given = [getattr(self, name) for name in FIELDS]
        if any(value is not None for value in given) and not all(value is not None and value > 0 for value in given):
            raise ValueError(f"the camera is {given} mm; give {', '.join(FIELDS)}, all above 0, or none of them")


class _Loaded(NamedTuple):
    rgb: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]  # metres
    sky: Bool[np.ndarray, "h w"]

    @property
    def size(self) -> Size:
        return (self.rgb.shape[0], self.rgb.shape[1])


def scenes(raw: Path) -> Iterator[RawScene]:
    """List blocks of the numbers NNNN of rgb/rgb_NNNN.png, and of depth without a picture."""
    yield from blocks(sorted(stems(raw / "rgb", prefix="rgb_") | stems(raw / "depth", prefix="depth_")))


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a block is made from."""
    of_frames = [path for number in scene.frames for path in (_picture(raw, number), *_depths(raw, number))]
    return [raw / CAMERA, *of_frames, *(_classes(raw, number) for number in scene.frames)]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write pictures, depth, sky and cameras; what is missing or damaged is left out.

    Raises:
        ValueError: The camera is unknown.
    """
    camera = _camera(raw, writer.options or UrbanSynOptions())
    frames = []
    for number, loaded in readable_frames(scene.frames, partial(_load, raw, writer.parity), writer):
        frame, scaling = f"rgb_{number}", Rescale.to_cover(loaded.size, SMALLEST)
        writer.image("rgb", "", frame, scaling.image(loaded.rgb))
        write_depth = writer.npy if writer.parity else writer.depth
        write_depth("depth", "", frame, scaling.nearest(loaded.depth))
        writer.png8("sky", "", frame, scaling.nearest(loaded.sky).astype(np.uint8) * 255)
        intrinsics = scaling.intrinsics(intrinsics_of(loaded.size, camera, parity=writer.parity))
        writer.npz("camera", "", frame, intrinsics=intrinsics.astype(np.float32))
        frames.append(frame)
    return frames


def intrinsics_of(size: Size, camera: UrbanSynOptions, *, parity: bool = False) -> Float64[np.ndarray, "3 3"]:
    """Give the intrinsics of a picture. Parity: the principal point is half a pixel off."""
    h, w = size
    assert camera.focal_mm and camera.sensor_width_mm and camera.sensor_height_mm
    fx, fy = camera.focal_mm / camera.sensor_width_mm * w, camera.focal_mm / camera.sensor_height_mm * h
    shift = 0.0 if parity else 0.5
    return np.array([[fx, 0, w / 2 - shift], [0, fy, h / 2 - shift], [0, 0, 1]])


def _camera(raw: Path, options: UrbanSynOptions) -> UrbanSynOptions:
    if options.focal_mm is not None:
        return options
    path = raw / CAMERA
    if not path.is_file():
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in FIELDS)
        raise ValueError(f"there is no {path}, which tells the camera; download it, or give {flags}")
    fields = an_object(read_json(path), str(path), "parameters", 0, "Camera")
    return UrbanSynOptions(**{name: a_number(fields, theirs, str(path)) for name, theirs in FIELDS.items()})


def _load(raw: Path, parity: bool, number: str) -> _Loaded:
    rgb = read_image(_picture(raw, number), parity=parity)
    loaded = _Loaded(rgb, _read_depth(raw, number), read_classes(_classes(raw, number), parity=parity) == SKY)
    if not loaded.size == loaded.depth.shape == loaded.sky.shape:
        shapes = [loaded.size, loaded.depth.shape, loaded.sky.shape]
        raise ValueError(f"picture, depth and classes have the sizes {shapes} (h, w); expected one size")
    return loaded


def _read_depth(raw: Path, number: str) -> Float32[np.ndarray, "h w"]:
    """Read metres from the usual file, or else from that with the odd name."""
    usual, odd = _depths(raw, number)
    try:
        values = read_exr(usual, depth_channel(exr_channels(usual), usual))
    except (FileNotFoundError, ValueError):
        if not odd.is_file():
            raise
        values = read_exr(odd, depth_channel(exr_channels(odd), odd))
    return values * np.float32(METRES)


def read_classes(path: Path, *, parity: bool = False) -> UInt8[np.ndarray, "h w"]:
    """Read class ids, which are equal in all colours. Parity: from blue, and a grey picture is refused.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or not an 8-bit PNG.
    """
    ids = read_png8(path)
    if parity and ids.ndim == 2:
        raise ValueError(f"{path} is grey, which ends the original")
    return ids if ids.ndim == 2 else ids[..., 2 if parity else 0]


def _picture(raw: Path, number: str) -> Path:
    return raw / "rgb" / f"rgb_{number}.png"


def _depths(raw: Path, number: str) -> tuple[Path, Path]:
    usual = raw / "depth" / f"depth_{number}.exr"
    return usual, usual.with_name(usual.name + ODD)


def _classes(raw: Path, number: str) -> Path:
    return raw / "ss" / f"ss_{number}.png"


CONVERTER = Converter(UrbanSyn, 1, scenes, convert, sources=sources, options=UrbanSynOptions)
