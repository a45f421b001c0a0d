"""UASOL: pictures and depth that cover 640x480, with cameras from the recording's log and manifest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from PIL import Image

from cut3r.data.datasets.uasol import Uasol
from cut3r.data.transforms import Rescale, Size
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from cut3r.io.json_fields import numbers, read_json
from cut3r.io.numbers import number
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Writer, require_rigid

TARGET = (480, 640)  # (h, w) that the written pictures cover
MILLIMETRES = 1000
MANIFEST, LOG = "complete.json", "log.txt"
LEFT, SECTION = "LEFT CAMERA PARAMETERS", "CAMERA PARAMETERS"
# spelled as the recorder does
FX, FY = (f"focal_length_in_pixels_alog_{axis}_axis" for axis in "xy")
CX, CY = (f"optical_center_along_{axis}_axis,_defined_in_pixels" for axis in "xy")


class _Frame(NamedTuple):
    rgb: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the sequences: folders with a folder of images."""
    yield from (RawScene(folder.parent.name) for folder in visible(raw, "*/Images"))


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Resample and write the frames of one sequence, in the order of its manifest.

    Raises:
        LeftOut: It has no manifest.
        ValueError: The log or the manifest is damaged, or no frame can be used.
    """
    folder = raw / scene.name
    if not (folder / MANIFEST).is_file():
        raise LeftOut(f"there is no {folder / MANIFEST}, which says where the camera stood")
    intrinsics, size = read_log(folder / LOG, parity=writer.parity)
    entries = read_manifest(folder / MANIFEST)
    scaling = Rescale.to_cover(size, TARGET)

    def read(frame: str) -> _Frame:
        return _read_frame(folder, entries[frame], size)

    done = []
    for frame, content in readable_frames(entries, read, writer):
        writer.image("rgb", scene.name, frame, scaling.image(content.rgb))
        writer.npy("depth", scene.name, frame, scaling.nearest(content.depth))
        writer.npz(
            "camera",
            scene.name,
            frame,
            intrinsics=scaling.intrinsics(intrinsics).astype(np.float32),
            pose=content.world_from_cam.astype(np.float32),
        )
        done.append(frame)
    if not writer.parity:
        writer.json("order", scene.name, done)
    return done


def read_log(path: Path, *, parity: bool = False) -> tuple[Float64[np.ndarray, "3 3"], Size]:
    """Read the intrinsics of the left camera, and the size of its pictures.

    Args:
        parity: Read on to the end of the file, where the right camera's numbers take the place of the left one's.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It lacks a number that is needed.
    """
    with naming_the_file(path):
        fields = _left_fields(path.read_text(), parity=parity)
        fx, fy, cx, cy = (_one(fields, key) for key in (FX, FY, CX, CY))
        w, h = (int(value) for value in _values(fields, "resolution", 2))
        if min(fx, fy, w, h) <= 0:
            raise ValueError(f"focal lengths {fx}, {fy} and resolution {w}x{h} must be above 0")
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), (h, w)


def read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """Read the entries of the manifest, by the name of their picture, in order.

    Raises:
        ValueError: It is damaged.
    """
    with naming_the_file(path):
        content = read_json(path)
        try:
            return {str(entry["color_frame_left"]): entry for entry in content["Data"]}
        except TypeError as error:
            raise ValueError(f"it does not hold a list of frames: {error}") from error


def _left_fields(text: str, *, parity: bool) -> dict[str, str]:
    """Collect the lines "key: value" of the left camera's section."""
    fields: dict[str, str] = {}
    inside = False
    for line in text.splitlines():
        if line.strip().startswith(LEFT):
            inside = True
        elif SECTION in line and not parity:
            inside = False
        elif inside and ":" in line:
            key, value = line.split(":", 1)
            fields[key.strip().lower().replace(" ", "_")] = value.strip().rstrip(". ")
    return fields


def _values(fields: dict[str, str], key: str, count: int) -> list[float]:
    if key not in fields:
        raise ValueError(f"the section {LEFT!r} has no line {key.replace('_', ' ')!r}")
    values = [number(word) for word in fields[key].strip("[]").replace(",", " ").split()]
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"{key.replace('_', ' ')} is {fields[key]!r}; expected {count} finite numbers")
    return values


def _one(fields: dict[str, str], key: str) -> float:
    return _values(fields, key, 1)[0]


def _read_frame(folder: Path, entry: dict[str, Any], size: Size) -> _Frame:
    world_from_cam = numbers(entry, "m", 16, MANIFEST).reshape(4, 4)
    world_from_cam[:3, 3] /= MILLIMETRES
    require_rigid(world_from_cam, f"{entry['color_frame_left']} in {MANIFEST}")
    rgb = read_image(folder / "Images" / f"{entry['color_frame_left']}.png")
    if "depth_frame" not in entry:
        raise ValueError(f"{MANIFEST} names no depth_frame of {entry['color_frame_left']}")
    path = folder / "Images" / f"{entry['depth_frame']}.png"
    with naming_the_file(path), Image.open(path) as image:
        millimetres = np.asarray(image)
    if millimetres.dtype.kind not in "iu":
        raise ValueError(f"{path} holds {millimetres.dtype}; expected whole millimetres")
    if not rgb.shape[:2] == millimetres.shape == size:
        raise ValueError(f"image {rgb.shape[:2]}, depth {millimetres.shape}; {LOG} says {size} (h, w)")
    return _Frame(rgb, (millimetres / MILLIMETRES).astype(np.float32), world_from_cam)


CONVERTER = Converter(Uasol, 1, scenes, convert)
