"""Dynamic Replica: pictures are copied, depth becomes metres, cameras become OpenCV's."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, Float64

from cut3r.data.datasets.dynamic_replica import CAMERA, SPLITS, DynamicReplica
from cut3r.io.images import read_image
from datasets_preprocess.co3d_annotations import IMAGE_BOUNDS, camera, naming_the_content, read_half_depth, read_jgz
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, RawScene, Unlisted, Writer, require_rigid

CAMERAS = ("left", "right")
FLOWS = ("flow_forward", "flow_backward")
Records = dict[str, dict[str, list[dict[str, Any]]]]  # by sequence and camera, in the order of the file


@dataclass(frozen=True)
class DynamicReplicaOptions:
    """Whether what nothing reads is written: the right camera, and optical flow."""

    right: bool = False
    flow: bool = False


@dataclass(frozen=True)
class Loaded:
    """What a record stands for."""

    rgb: Path
    depth: Float32[np.ndarray, "h w"]  # metres; infinite or no number where there is none
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]
    flows: dict[str, dict[str, np.ndarray]]


def scenes(raw: Path) -> Iterator[RawScene | Unlisted]:
    """List "<split>/<sequence>" of the annotations RAW/<split>/frame_annotations_<split>.jgz, or those in RAW."""
    for split in SPLITS:
        path = annotation_file(raw, split)
        if not path.is_file():
            if (raw / split).is_dir():
                yield Unlisted(split, f"there is no {path.name} in it; download it again")
            continue
        try:
            sequences = records_of(path)
        except ValueError as error:  # of this split only
            yield Unlisted(split, str(error))
            continue
        yield from (RawScene(f"{split}/{sequence}") for sequence in sequences)


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name the folders of both cameras, and the annotations of the split."""
    split, sequence = scene.name.split("/")
    path = annotation_file(raw, split)
    return [path, *(path.parent / f"{sequence}_source_{side}" for side in CAMERAS)]


def annotation_file(raw: Path, split: str) -> Path:
    """Say where the annotations of a split lie: in a folder of the split, or beside all sequences."""
    name = f"frame_annotations_{split}.jgz"
    return raw / split / name if (raw / split / name).is_file() else raw / name


def records_of(path: Path) -> Records:
    """Read annotations.

    Raises:
        ValueError: The file is damaged, or lacks what every record has.
    """
    return _records(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)  # hundreds of megabytes, of which each sequence takes a little
def _records(path: Path, modified: int) -> Records:
    found: Records = {}
    with naming_the_content(path):
        for record in read_jgz(path):
            sides = found.setdefault(record["sequence_name"], {side: [] for side in CAMERAS})
            sides[record["camera_name"]].append(record)
    return found


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write pictures, depth and cameras; frames are named by their time in seconds."""
    split, sequence = scene.name.split("/")
    path = annotation_file(raw, split)
    sides = records_of(path)[sequence]
    options = writer.options or DynamicReplicaOptions()
    wanted = CAMERAS if writer.parity or options.right else CAMERAS[:1]  # 20_dynamic_replica.md, section 6
    frames = {
        side: _convert_camera(path.parent, f"{scene.name}/{side}", sides[side], writer, writer.parity or options.flow)
        for side in wanted
        if sides[side]
    }
    return frames.get(CAMERA, [])


def _convert_camera(
    folder: Path, place: str, records: list[dict[str, Any]], writer: Writer, with_flow: bool
) -> list[str]:
    names = {f"{place.rpartition('/')[2]}/{float(record['frame_timestamp'])}": record for record in records}
    frames = []
    load = partial(_load, folder, names, writer.parity, with_flow)
    for name, loaded in readable_frames(names, load, writer):
        frame = name.rpartition("/")[2]
        writer.copy("rgb", place, frame, loaded.rgb)
        depth = writer.npy if writer.parity else writer.depth  # as it is, or 0 where it is not finite
        depth("depth", place, frame, loaded.depth)
        writer.npz("camera", place, frame, intrinsics=loaded.intrinsics, pose=loaded.world_from_cam)
        for kind, arrays in loaded.flows.items():
            writer.npz(kind, place, frame, **arrays)
        frames.append(frame)
    return frames


def _load(folder: Path, records: dict[str, dict[str, Any]], parity: bool, with_flow: bool, name: str) -> Loaded:
    try:
        return _read(folder, records[name], parity, with_flow)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the annotation of {name} does not hold what it should: {error!r}") from error


def _read(folder: Path, record: dict[str, Any], parity: bool, with_flow: bool) -> Loaded:
    rgb, size = folder / record["image"]["path"], tuple(record["image"]["size"])
    depth = read_half_depth(folder / record["depth"]["path"])
    shape = read_image(rgb).shape[:2]
    if not shape == depth.shape == size:
        raise ValueError(f"picture of {shape}, depth of {depth.shape}, annotated {size}; expected the same size")
    viewpoint = {"intrinsics_format": IMAGE_BOUNDS, **record["viewpoint"]}  # PyTorch3D's default
    intrinsics, world_from_cam = camera(viewpoint, size, parity=parity)
    require_rigid(world_from_cam, f"{rgb.name} in the annotations")
    if not (np.isfinite(intrinsics).all() and intrinsics[0, 0] > 0 and intrinsics[1, 1] > 0):
        raise ValueError(f"{rgb.name} in the annotations has no focal length or principal point")
    return Loaded(rgb, depth, intrinsics, world_from_cam, _read_flows(folder, record) if with_flow else {})


def _read_flows(folder: Path, record: dict[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """Read the flow of a frame as it is stored; the last has no forward flow, the first no backward flow."""
    paths = {
        kind: {name: record.get(each, {}).get("path", "") for name, each in (("flow", kind), ("mask", f"{kind}_mask"))}
        for kind in FLOWS
    }
    return {
        kind: {name: _read_png(folder / path) for name, path in of.items()} for kind, of in paths.items() if of["flow"]
    }


def _read_png(path: Path) -> np.ndarray:
    """Read all channels of a PNG as they are, in OpenCV's order; Pillow knows no 16-bit colours."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if pixels is None:
        raise ValueError(f"{path} is missing or damaged; download it again")
    return pixels


CONVERTER = Converter(DynamicReplica, 1, scenes, convert, sources=sources, options=DynamicReplicaOptions)
