"""Annotations of CO3D, COP3D and Dynamic Replica: compressed JSON about sequences and frames, cameras in PyTorch3D's
convention, depth in half precision."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64

from cut3r.data.layout import read_png16
from cut3r.files.damaged import naming_the_file
from cut3r.geometry.poses import invert, pose_from_parts
from datasets_preprocess.runner import require_rigid

SPLITS = ("train", "test")
MIN_QUALITY = 0.5  # of a sequence's viewpoints, as annotated
# PyTorch3D's camera (x left, y up, z forward) in OpenCV axes.
OPENCV_FROM_PYTORCH3D = np.diag([-1.0, -1.0, 1.0])
ISOTROPIC, IMAGE_BOUNDS = "ndc_isotropic", "ndc_norm_image_bounds"  # formats of normalised coordinates
Frames = dict[tuple[str, int], dict[str, Any]]  # annotations by sequence and frame number


@lru_cache(maxsize=1)  # hundreds of megabytes; the sequences of a category come one after the other
def frame_annotations(category: Path) -> Frames:
    """Read the annotations of the frames of a category, given by its folder.

    Raises:
        ValueError: The file is damaged, or lacks what every record has.
    """
    path = category / "frame_annotations.jgz"
    with naming_the_content(path):
        return {(record["sequence_name"], record["frame_number"]): record for record in read_jgz(path)}


def good_sequences(category: Path) -> list[str]:
    """List the sequences whose viewpoints are of good quality, sorted."""
    path = category / "sequence_annotations.jgz"
    with naming_the_content(path):
        qualities = {record["sequence_name"]: record["viewpoint_quality_score"] or 0.0 for record in read_jgz(path)}
    return sorted(name for name, quality in qualities.items() if quality > MIN_QUALITY)


def listed_frames(files: list[Path], part: str) -> dict[str, list[tuple[int, str]]]:
    """Join set lists: pairs (frame number, image path) of each sequence in this part ("train", "val", "test")."""
    frames: dict[str, list[tuple[int, str]]] = {}
    for file in files:
        with naming_the_content(file):
            for sequence, number, path in json.loads(file.read_text())[part]:
                frames.setdefault(sequence, []).append((number, path))
    return frames


def annotated_camera(
    annotation: dict[str, Any], where: str, *, parity: bool
) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, "4 4"]]:
    """Give intrinsics (pixels) and world_from_cam of a frame, as `camera` does.

    Raises:
        ValueError: Its pose is no rigid motion, or it has no focal length.
    """
    size = tuple(annotation["image"]["size"])
    intrinsics, world_from_cam = camera(annotation["viewpoint"], size, parity=parity)
    require_rigid(world_from_cam, f"{where} in frame_annotations.jgz")
    if not (np.isfinite(intrinsics).all() and intrinsics[0, 0] > 0 and intrinsics[1, 1] > 0):
        raise ValueError(f"{where} in frame_annotations.jgz has no focal length or principal point")
    return intrinsics, world_from_cam


def camera(
    viewpoint: dict[str, Any], size: tuple[int, int], *, parity: bool = False
) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, "4 4"]]:
    """Give intrinsics (pixels) and world_from_cam of a PyTorch3D camera, isotropic if its record says nothing else.

    Args:
        parity: Leave the principal point in the convention where the corner of the image is (0, 0).

    Raises:
        ValueError: Its normalised coordinates are of an unknown format.
    """
    half = np.array([size[1] / 2, size[0] / 2])
    units = viewpoint.get("intrinsics_format", ISOTROPIC)  # what half of a side, or of the shorter side, is 1 in
    if units not in (ISOTROPIC, IMAGE_BOUNDS):
        raise ValueError(f"intrinsics_format {units!r}; expected {ISOTROPIC} or {IMAGE_BOUNDS}")
    scale = half if units == IMAGE_BOUNDS else half.min()
    focal = np.array(viewpoint["focal_length"]) * scale
    center = half - np.array(viewpoint["principal_point"]) * scale
    center = center if parity else center - 0.5
    intrinsics = np.array([[focal[0], 0, center[0]], [0, focal[1], center[1]], [0, 0, 1]])
    rotation = torch.from_numpy(OPENCV_FROM_PYTORCH3D @ np.array(viewpoint["R"]).T)
    translation = torch.from_numpy(OPENCV_FROM_PYTORCH3D @ np.array(viewpoint["T"]))
    return intrinsics, invert(pose_from_parts(rotation, translation)).numpy()


def read_half_depth(path: Path) -> Float32[np.ndarray, "h w"]:
    """Read a depth map: a PNG whose 16-bit numbers are the bits of half-precision floats."""
    return read_png16(path).view(np.float16).astype(np.float32)


def read_jgz(path: Path) -> Any:
    """Read compressed JSON."""
    with gzip.open(path, "rt") as file:
        return json.load(file)


@contextmanager
def naming_the_content(path: Path) -> Iterator[None]:
    """Let what a damaged file raises name it, also when only its content is of another kind than expected."""
    with naming_the_file(path):
        try:
            yield
        except (TypeError, AttributeError) as error:
            raise ValueError(f"it does not hold what it should: {error}") from error
