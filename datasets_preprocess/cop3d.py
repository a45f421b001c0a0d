"""COP3D: CO3D's format without depth; frames cropped around the camera axis."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image

from cut3r.data.datasets.cop3d import LAYOUT, Cop3d
from cut3r.data.transforms import Size, principal_window
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from datasets_preprocess.co3d_annotations import (
    SPLITS,
    annotated_camera,
    frame_annotations,
    good_sequences,
    listed_frames,
)
from datasets_preprocess.object_crop import ObjectCrop
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Record, Unlisted, Writer
from datasets_preprocess.selections import write_selections

CATEGORIES = ("cat", "dog")


@dataclass(frozen=True)
class Cop3dOptions:
    """Which sequences are converted, with all of their frames.

    manyview_only: those of the "manyview" lists, at most 48 per category, instead of all that any list names.
    """

    manyview_only: bool = False


class _Frame(NamedTuple):
    rgb: UInt8[np.ndarray, "h w 3"]
    mask: UInt8[np.ndarray, "h w"]
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def scenes(raw: Path) -> Iterator[RawScene | Unlisted]:
    """List "<split>/<category>/<sequence>" of sequences of good quality; of a category with a damaged list or
    annotation, why that cannot be done."""
    for category in CATEGORIES:
        if not (raw / category / "set_lists").is_dir():
            continue
        try:
            yield from _scenes_of(raw / category, category)
        except (OSError, ValueError) as error:  # of this category only
            yield Unlisted(category, str(error))


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a sequence is made from; the annotations are those of its whole category."""
    _, category, sequence = scene.name.split("/")
    return [raw / category / part for part in (f"{sequence}/images", f"{sequence}/masks", "frame_annotations.jgz")]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Crop, resample and write the frames of one sequence.

    Raises:
        LeftOut: It is not among the chosen, or belongs to another split.
        ValueError: No frame can be used.
    """
    _, category, sequence = scene.name.split("/")
    path = f"{category}/{sequence}"
    annotations = frame_annotations(raw / category)
    listed = _numbers(scene, sequence, annotations, writer)
    frames = {Path(annotations[sequence, number]["image"]["path"]).stem: number for number in listed}

    def read(frame: str) -> _Frame:
        return _read_frame(raw, path, frame, annotations[sequence, frames[frame]], parity=writer.parity)

    done = []
    for frame, content in readable_frames(frames, read, writer):
        size: Size = (content.mask.shape[0], content.mask.shape[1])
        crop = ObjectCrop.of(principal_window(size, content.intrinsics), size)
        writer.image("rgb", path, frame, crop.image(content.rgb))
        writer.png8("foreground", path, frame, crop.nearest(content.mask))
        pose = content.world_from_cam.astype(np.float32)
        writer.npz("camera", path, frame, camera_intrinsics=crop.intrinsics(content.intrinsics), camera_pose=pose)
        done.append(frame)
    return done


def finish(out: Path, done: list[Record]) -> None:
    """Write which sequences each split has, and the numbers of their frames."""
    write_selections(out, LAYOUT, SPLITS, done)


def _scenes_of(folder: Path, category: str) -> Iterator[RawScene]:
    """List a sequence once for each split that wants it, with the frames of its "manyview" lists.

    `facts` say whether it is of this split as a whole: for training if a list of training frames names it.
    """
    good = good_sequences(folder)
    files = visible(folder, "set_lists/set_lists_*.json")
    chosen = [file for file in files if "manyview" in file.name] or [file for file in files if "fewview" in file.name]
    training, testing = listed_frames(files, "train"), listed_frames(files, "test")
    for split in SPLITS:
        listed = listed_frames(chosen, split)
        for name in good:
            whole = name in training if split == "train" else name in testing and name not in training
            if name in listed or whole:
                yield RawScene(f"{split}/{category}/{name}", tuple(listed.get(name, ())), {"whole": whole})


def _numbers(scene: RawScene, sequence: str, annotations: dict[tuple[str, int], Any], writer: Writer) -> list[int]:
    """Give the numbers of the frames to convert. Parity: 16_cop3d.md quirks 1 and 2, those of the chosen lists."""
    options = writer.options or Cop3dOptions()
    if not scene.frames and (writer.parity or options.manyview_only):
        raise LeftOut("it is in no list of which the original's training data is made")
    if writer.parity:
        return [number for number, _ in scene.frames]
    if not scene.facts["whole"]:
        raise LeftOut("all of its frames are in the split train")
    return sorted(number for name, number in annotations if name == sequence)


def _read_frame(raw: Path, scene: str, frame: str, annotation: dict[str, Any], *, parity: bool) -> _Frame:
    intrinsics, world_from_cam = annotated_camera(annotation, f"{scene}/{frame}", parity=parity)
    rgb = read_image(raw / annotation["image"]["path"])
    mask_path = raw / scene / "masks" / f"{frame}.png"
    with naming_the_file(mask_path), Image.open(mask_path) as image:
        mask = np.asarray(image.convert("L"))
    size = tuple(annotation["image"]["size"])
    if not rgb.shape[:2] == mask.shape == size:
        raise ValueError(f"image {rgb.shape[:2]}, mask {mask.shape}, annotated {size} (h, w); download them again")
    return _Frame(rgb, mask, intrinsics, world_from_cam)


CONVERTER = Converter(Cop3d, 1, scenes, convert, finish, sources, Cop3dOptions)
