"""CO3Dv2: frames cropped around the object's camera axis, depth quantised to its own maximum."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from PIL import Image

from cut3r.data.datasets.co3d import LAYOUT, Co3d
from cut3r.data.transforms import drop_far, principal_window
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from datasets_preprocess.co3d_annotations import (
    SPLITS,
    annotated_camera,
    frame_annotations,
    good_sequences,
    listed_frames,
    read_half_depth,
)
from datasets_preprocess.object_crop import ObjectCrop
from datasets_preprocess.runner import Converter, RawScene, Record, Unlisted, Writer
from datasets_preprocess.selections import write_selections

SEQUENCES_PER_CATEGORY = 50
NOT_IN_SUBSET = {"microwave", "stopsign", "tv"}  # the single-sequence subset has nothing usable of these
OUTLIERS = 99.9  # percentile; the depths above would coarsen the quantisation of all others
# fmt: off
CATEGORIES = (
    "apple", "backpack", "ball", "banana", "baseballbat", "baseballglove", "bench", "bicycle", "book", "bottle", "bowl",
    "broccoli", "cake", "car", "carrot", "cellphone", "chair", "couch", "cup", "donut", "frisbee", "hairdryer",
    "handbag", "hotdog", "hydrant", "keyboard", "kite", "laptop", "microwave", "motorcycle", "mouse", "orange",
    "parkingmeter", "pizza", "plant", "remote", "sandwich", "skateboard", "stopsign", "suitcase", "teddybear",
    "toaster", "toilet", "toybus", "toyplane", "toytrain", "toytruck", "tv", "umbrella", "vase", "wineglass",
)
# fmt: on


def scenes(raw: Path) -> Iterator[RawScene | Unlisted]:
    """List "<split>/<category>/<sequence>" with pairs (frame number, image path) of the set lists; of a category with a
    damaged list or annotation, why that cannot be done."""
    for seed, category in enumerate(CATEGORIES, start=42):
        if not (raw / category / "set_lists").is_dir():
            continue
        try:
            yield from _scenes_of(raw / category, category, seed)
        except (OSError, ValueError) as error:  # of this category only
            yield Unlisted(category, str(error))


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a sequence is made from; the annotations are those of its whole category."""
    _, category, sequence = scene.name.split("/")
    parts = [f"{sequence}/{part}" for part in ("images", "depths", "masks")]
    return [raw / category / part for part in (*parts, "frame_annotations.jgz")]


def choose_sequences(good: list[str], seed: int) -> list[str]:
    """Take at most 50 of the sorted sequences of good quality, chosen as the original chooses them."""
    if len(good) < SEQUENCES_PER_CATEGORY:
        return good
    return random.Random(seed).sample(good, SEQUENCES_PER_CATEGORY)


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Crop, resample and write the frames of one sequence."""
    _, category, sequence = scene.name.split("/")
    annotations = frame_annotations(raw / category)
    return [
        _convert_frame(raw, f"{category}/{sequence}", annotations[sequence, number], writer)
        for number, _ in scene.frames
    ]


def finish(out: Path, done: list[Record]) -> None:
    """Write which sequences each split has, and the numbers of their frames."""
    write_selections(out, LAYOUT, SPLITS, done)


def _convert_frame(raw: Path, scene: str, annotation: dict[str, Any], writer: Writer) -> str:
    frame = Path(annotation["image"]["path"]).stem
    size = tuple(annotation["image"]["size"])
    rgb = read_image(raw / annotation["image"]["path"])
    depth = read_annotated_depth(raw, annotation)
    with Image.open(raw / scene / "masks" / f"{frame}.png") as image:
        mask = np.asarray(image)
    if not rgb.shape[:2] == depth.shape == mask.shape == size:
        raise ValueError(f"{frame}: image {rgb.shape[:2]}, depth {depth.shape}, mask {mask.shape}, annotated {size}")
    intrinsics, world_from_cam = annotated_camera(annotation, f"{scene}/{frame}", parity=writer.parity)

    crop = ObjectCrop.of(principal_window(size, intrinsics), size)
    depth = crop.nearest(depth)
    depth = depth if writer.parity else drop_far(depth, OUTLIERS)
    largest = np.float32(depth.max())
    codes = np.zeros(depth.shape) if largest == 0 else np.floor(depth / largest * 65535)
    writer.image("rgb", scene, frame, crop.image(rgb))
    writer.png16("depth", scene, frame, codes.astype(np.uint16))
    writer.png8("foreground", scene, frame, crop.nearest(mask))
    writer.npz(
        "camera",
        scene,
        frame,
        camera_intrinsics=crop.intrinsics(intrinsics),
        camera_pose=world_from_cam.astype(np.float32),
        maximum_depth=largest,
    )
    return frame


def read_annotated_depth(raw: Path, annotation: dict[str, Any]) -> Float32[np.ndarray, "h w"]:
    """Read a depth map. Not finite becomes 0."""
    if annotation["depth"]["scale_adjustment"] != 1.0:
        raise ValueError(f"a depth scale of {annotation['depth']['scale_adjustment']}; expected 1.0, as in release v2")
    depth = read_half_depth(raw / annotation["depth"]["path"])
    return np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0)


def _scenes_of(folder: Path, category: str, seed: int) -> list[RawScene]:
    good = good_sequences(folder)
    files = visible(folder, "set_lists/*fewview_train*.json")
    if not files and category not in NOT_IN_SUBSET:
        files = visible(folder, "set_lists/*manyview_dev*.json")
    found = []
    for split in SPLITS:
        listed = listed_frames(files, split)
        chosen = choose_sequences([name for name in good if name in listed], seed)
        found += [RawScene(f"{split}/{category}/{sequence}", tuple(listed[sequence])) for sequence in chosen]
    return found


CONVERTER = Converter(Co3d, 1, scenes, convert, finish, sources)
