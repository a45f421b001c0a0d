"""CO3Dv2: frames cropped around the object's camera axis, depth quantised to its own maximum."""

import gzip
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64
from PIL import Image

from cut3r.data.datasets.co3d import LAYOUT, Co3d
from cut3r.data.layout import read_png16, write_json
from cut3r.data.transforms import Rescale, drop_far, object_size, principal_window
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible
from cut3r.geometry.poses import invert, pose_from_parts
from cut3r.io.images import read_image
from datasets_preprocess.runner import Converter, RawScene, Record, Unlisted, Writer, require_rigid

SPLITS = ("train", "test")
MIN_QUALITY = 0.5  # of a sequence's viewpoints, as annotated
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
# PyTorch3D's camera (x left, y up, z forward) in OpenCV axes.
OPENCV_FROM_PYTORCH3D = np.diag([-1.0, -1.0, 1.0])


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


def choose_sequences(listed: dict[str, Any], qualities: dict[str, float], seed: int) -> list[str]:
    """Take the sequences of good quality, at most 50, chosen as the original chooses them."""
    good = sorted(name for name in listed if qualities.get(name, 0.0) > MIN_QUALITY)
    if len(good) < SEQUENCES_PER_CATEGORY:
        return good
    return random.Random(seed).sample(good, SEQUENCES_PER_CATEGORY)


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Crop, resample and write the frames of one sequence."""
    _, category, sequence = scene.name.split("/")
    annotations = _annotations(raw / category / "frame_annotations.jgz")
    return [
        _convert_frame(raw, f"{category}/{sequence}", annotations[sequence, number], writer)
        for number, _ in scene.frames
    ]


def finish(out: Path, done: list[Record]) -> None:
    """Write which sequences each split has, and the numbers of their frames."""
    categories = sorted({record.scene.split("/")[1] for record in done})
    for split in SPLITS:
        selection: dict[str, dict[str, list[int]]] = {category: {} for category in categories}
        for record in done:
            of_split, category, sequence = record.scene.split("/")
            if of_split == split:
                selection[category][sequence] = [int(frame.removeprefix("frame")) for frame in record.frames]
        write_json(LAYOUT.path(out, "selection", split=split), selection)
        for category, sequences in selection.items():
            write_json(LAYOUT.path(out, "category", category, split=split), sequences)


def _convert_frame(raw: Path, scene: str, annotation: dict[str, Any], writer: Writer) -> str:
    frame = Path(annotation["image"]["path"]).stem
    size = tuple(annotation["image"]["size"])
    rgb = read_image(raw / annotation["image"]["path"])
    depth = read_annotated_depth(raw, annotation)
    with Image.open(raw / scene / "masks" / f"{frame}.png") as image:
        mask = np.asarray(image)
    if not rgb.shape[:2] == depth.shape == mask.shape == size:
        raise ValueError(f"{frame}: image {rgb.shape[:2]}, depth {depth.shape}, mask {mask.shape}, annotated {size}")
    intrinsics, world_from_cam = camera(annotation["viewpoint"], size, parity=writer.parity)
    require_rigid(world_from_cam, f"{scene}/{frame} in frame_annotations.jgz")
    if not (np.isfinite(intrinsics).all() and intrinsics[0, 0] > 0 and intrinsics[1, 1] > 0):
        raise ValueError(f"{scene}/{frame} in frame_annotations.jgz has no focal length or principal point")

    window = principal_window(size, intrinsics)
    scaling = Rescale.to_cover(window.size, object_size(size))
    depth = scaling.nearest(window.cut(depth))
    depth = depth if writer.parity else drop_far(depth, OUTLIERS)
    largest = np.float32(depth.max())
    codes = np.zeros(depth.shape) if largest == 0 else np.floor(depth / largest * 65535)
    writer.image("rgb", scene, frame, scaling.image(window.cut(rgb)))
    writer.png16("depth", scene, frame, codes.astype(np.uint16))
    writer.png8("foreground", scene, frame, scaling.nearest(window.cut(mask)))
    writer.npz(
        "camera",
        scene,
        frame,
        camera_intrinsics=scaling.intrinsics(window.intrinsics(intrinsics)),
        camera_pose=world_from_cam.astype(np.float32),
        maximum_depth=largest,
    )
    return frame


def read_annotated_depth(raw: Path, annotation: dict[str, Any]) -> Float32[np.ndarray, "h w"]:
    """Decode a depth map: a PNG whose 16-bit numbers are the bits of half-precision floats. Not finite becomes 0."""
    if annotation["depth"]["scale_adjustment"] != 1.0:
        raise ValueError(f"a depth scale of {annotation['depth']['scale_adjustment']}; expected 1.0, as in release v2")
    depth = read_png16(raw / annotation["depth"]["path"]).view(np.float16).astype(np.float32)
    return np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0)


def camera(
    viewpoint: dict[str, Any], size: tuple[int, int], *, parity: bool = False
) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, "4 4"]]:
    """Give intrinsics (pixels) and world_from_cam of a PyTorch3D camera with isotropic normalised coordinates.

    Args:
        parity: Leave the principal point in the convention where the corner of the image is (0, 0).
    """
    scale = min(size) / 2
    focal = np.array(viewpoint["focal_length"]) * scale
    center = np.array([size[1] / 2, size[0] / 2]) - np.array(viewpoint["principal_point"]) * scale
    center = center if parity else center - 0.5
    intrinsics = np.array([[focal[0], 0, center[0]], [0, focal[1], center[1]], [0, 0, 1]])
    rotation = torch.from_numpy(OPENCV_FROM_PYTORCH3D @ np.array(viewpoint["R"]).T)
    translation = torch.from_numpy(OPENCV_FROM_PYTORCH3D @ np.array(viewpoint["T"]))
    return intrinsics, invert(pose_from_parts(rotation, translation)).numpy()


def _scenes_of(folder: Path, category: str, seed: int) -> list[RawScene]:
    qualities = _qualities(folder)
    found = []
    for split in SPLITS:
        listed = _listed_frames(folder, category, split)
        chosen = choose_sequences(listed, qualities, seed)
        found += [RawScene(f"{split}/{category}/{sequence}", tuple(listed[sequence])) for sequence in chosen]
    return found


def _listed_frames(folder: Path, category: str, split: str) -> dict[str, list[tuple[int, str]]]:
    """Frames per sequence of the set lists for training on few views, or of the single-sequence subset."""
    files = visible(folder, "set_lists/*fewview_train*.json")
    if not files and category not in NOT_IN_SUBSET:
        files = visible(folder, "set_lists/*manyview_dev*.json")
    frames: dict[str, list[tuple[int, str]]] = {}
    for file in files:
        with _naming_the_content(file):
            for sequence, number, path in json.loads(file.read_text())[split]:
                frames.setdefault(sequence, []).append((number, path))
    return frames


def _qualities(folder: Path) -> dict[str, float]:
    path = folder / "sequence_annotations.jgz"
    with _naming_the_content(path):
        return {record["sequence_name"]: record["viewpoint_quality_score"] or 0.0 for record in _read_jgz(path)}


@lru_cache(maxsize=1)  # hundreds of megabytes; the sequences of a category come one after the other
def _annotations(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    with _naming_the_content(path):
        return {(record["sequence_name"], record["frame_number"]): record for record in _read_jgz(path)}


@contextmanager
def _naming_the_content(path: Path) -> Iterator[None]:
    """Let what a damaged file raises name it, also when only its content is of another kind than expected."""
    with naming_the_file(path):
        try:
            yield
        except (TypeError, AttributeError) as error:
            raise ValueError(f"it does not hold what it should: {error}") from error


def _read_jgz(path: Path) -> Any:
    with gzip.open(path, "rt") as file:
        return json.load(file)


CONVERTER = Converter(Co3d, 1, scenes, convert, finish, sources)
