"""WildRGB-D: frames cropped around the object's camera axis, at most so many of so many scenes of each category."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8, UInt16
from PIL import Image

from cut3r.data.datasets.wildrgbd import LAYOUT, WildRgbd
from cut3r.data.layout import read_png16
from cut3r.data.transforms import Size, Window, principal_window
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from cut3r.io.json_fields import numbers, read_json
from cut3r.io.numbers import read_rows
from datasets_preprocess.object_crop import ObjectCrop
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Record, Unlisted, Writer, require_rigid
from datasets_preprocess.selections import write_selections

SPLITS = ("train", "test")
LISTS = ("camera_eval_list.json", "nvs_list.json")
PARTS = ("train", "val")
ORIGINAL_SEED = 42 + 0x63617465676F7279  # 09_wildrgbd.md quirk 1: the letters of "category", for every category


@dataclass(frozen=True)
class WildRgbdOptions:
    """How much is converted at most.

    frames: of a scene, evenly spread.
    train_scenes: of a category, for training, chosen at random.
    test_scenes: of a category, for tests, chosen at random.
    """

    frames: int = 100
    train_scenes: int = 50
    test_scenes: int = 10

    def __post_init__(self) -> None:
        if min(self.frames, self.train_scenes, self.test_scenes) < 1:
            raise ValueError(f"{self} converts nothing of some; give at least 1 of each")


class _Frame(NamedTuple):
    rgb: UInt8[np.ndarray, "h w 3"]
    depth: UInt16[np.ndarray, "h w"]
    mask: UInt8[np.ndarray, "h w"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def scenes(raw: Path) -> Iterator[RawScene | Unlisted]:
    """List "<split>/<category>/scenes/<scene>"; of a category with a damaged list, why that cannot be done."""
    for folder in visible(raw, "*/scenes"):
        category = folder.parent
        try:
            listed = listed_scenes(category)
        except (OSError, ValueError) as error:
            yield Unlisted(category.name, str(error))
            continue
        for split, names in listed.items():
            yield from (RawScene(f"{split}/{category.name}/{name}") for name in names)


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a scene is made from."""
    folder = raw / scene.name.split("/", 1)[1]
    return [folder / part for part in ("rgb", "depth", "masks", "metadata", "cam_poses.txt")]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Crop, resample and write the chosen frames of one scene.

    Raises:
        LeftOut: The scene is listed but not there, or not among the chosen.
        ValueError: Its poses or intrinsics are damaged, or no frame can be used.
    """
    split, name = scene.name.split("/", 1)
    category, folder = raw / name.split("/", 1)[0], raw / name
    options = writer.options or WildRgbdOptions()
    _require_chosen(category, split, name.split("/", 1)[1], options, parity=writer.parity)
    intrinsics, size = read_camera(folder / "metadata")
    poses = read_poses(folder / "cam_poses.txt")
    window = truncated_window(size, intrinsics) if writer.parity else principal_window(size, intrinsics)
    crop = ObjectCrop.of(window, size)

    def read(frame: str) -> _Frame:
        return _read_frame(folder, frame, poses[int(frame)], size)

    done = []
    for frame, content in readable_frames(spread_frames(len(poses), options.frames), read, writer):
        writer.image("rgb", name, frame, crop.image(content.rgb))
        writer.png16("depth", name, frame, crop.nearest(content.depth))
        writer.png8("foreground", name, frame, crop.nearest(content.mask))
        camera = {"camera_intrinsics": crop.intrinsics(intrinsics), "camera_pose": content.world_from_cam}
        writer.npz("camera", name, frame, **camera)
        done.append(frame)
    return done


def finish(out: Path, done: list[Record]) -> None:
    """Write which scenes each split has, and the numbers of their frames."""
    write_selections(out, LAYOUT, SPLITS, done)


@lru_cache(maxsize=2)  # for each scene of a category
def listed_scenes(category: Path) -> dict[str, list[str]]:
    """List the scenes of both splits, sorted: train is what both lists train on, test is whatever else they name.

    Raises:
        ValueError: A list is damaged.
    """
    parts: dict[str, list[set[str]]] = {part: [] for part in PARTS}
    for file in LISTS:
        with naming_the_file(category / file):
            content = read_json(category / file)
            for part in PARTS:
                parts[part].append({str(name) for name in content[part]})
    train = set.intersection(*parts["train"])
    return {"train": sorted(train), "test": sorted(set().union(*parts["train"], *parts["val"]) - train)}


def choose_scenes(names: list[str], most: int, seed: int | str) -> list[str]:
    """Choose at most so many scenes."""
    return names if len(names) <= most else random.Random(seed).sample(names, most)


def spread_frames(count: int, most: int) -> list[str]:
    """Name at most so many frames of `count`, evenly spread."""
    chosen: Iterable[int] = range(count) if count <= most else np.linspace(0, count - 1, most).round().astype(int)
    return [f"{number:05d}" for number in chosen]


def read_camera(path: Path) -> tuple[Float64[np.ndarray, "3 3"], Size]:
    """Read the intrinsics of a scene, stored column by column, and the size of its pictures.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged.
    """
    with naming_the_file(path):
        content = read_json(path)
        stored = numbers(content, "K", 9, "the camera").reshape(3, 3).T
        fx, fy, cx, cy = stored[0, 0], stored[1, 1], stored[0, 2], stored[1, 2]
        if not (np.isfinite(stored).all() and min(fx, fy) > 0):
            raise ValueError(f"K {stored.tolist()} is no camera; expected finite numbers and positive focal lengths")
        size = (int(content["h"]), int(content["w"]))
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), size


def read_poses(path: Path) -> Float64[np.ndarray, "v 4 4"]:
    """Read lines "frame, then world_from_cam row by row".

    Raises:
        ValueError: The frames are not 0, 1, 2, ..., or a line is damaged.
    """
    rows, _ = read_rows(path, 17, "the frame's number, then a 4x4 matrix")
    if not np.array_equal(rows[:, 0], np.arange(len(rows))):
        raise ValueError(f"{path}: its lines do not count frames from 0 on; download it again")
    return rows[:, 1:].reshape(-1, 4, 4)


def truncated_window(size: Size, intrinsics: Float64[np.ndarray, "3 3"]) -> Window:
    """Give the window around the principal point. Parity: 09_wildrgbd.md quirk 2, its borders are rounded down."""
    (h, w), (cx, cy) = size, intrinsics[:2, 2]
    half_w, half_h = min(cx, w - cx), min(cy, h - cy)
    left, top = int(cx - half_w), int(cy - half_h)
    return Window(top, left, (int(cy + half_h) - top, int(cx + half_w) - left))


def _require_chosen(category: Path, split: str, name: str, options: WildRgbdOptions, *, parity: bool) -> None:
    if not (category / name).is_dir():
        raise LeftOut(f"{category.name} lists it, but {category / name} is not there; download it or leave it out")
    there = [other for other in listed_scenes(category)[split] if (category / other).is_dir()]
    most = {"train": options.train_scenes, "test": options.test_scenes}[split]
    if name not in choose_scenes(there, most, ORIGINAL_SEED if parity else category.name):
        raise LeftOut(f"it is not among the {most} of {len(there)} scenes that are chosen of {category.name}")


def _read_frame(folder: Path, frame: str, world_from_cam: Float64[np.ndarray, "4 4"], size: Size) -> _Frame:
    require_rigid(world_from_cam, f"frame {frame} of cam_poses.txt")
    rgb = read_image(folder / "rgb" / f"{frame}.png")
    depth = read_png16(folder / "depth" / f"{frame}.png")
    mask_path = folder / "masks" / f"{frame}.png"
    with naming_the_file(mask_path), Image.open(mask_path) as image:
        mask = np.asarray(image.convert("L"))
    if not rgb.shape[:2] == depth.shape == mask.shape == size:
        raise ValueError(f"image {rgb.shape[:2]}, depth {depth.shape}, mask {mask.shape}; metadata says {size} (h, w)")
    return _Frame(rgb, depth, mask, world_from_cam)


CONVERTER = Converter(WildRgbd, 1, scenes, convert, finish, sources, WildRgbdOptions)
