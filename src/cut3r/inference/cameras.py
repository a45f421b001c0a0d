"""The cameras of a stream: one record per frame, which is all that grows."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int32, Shaped

from cut3r.geometry.registration import Similarity
from cut3r.inference.chunk_points import ChunkPlace, placed_poses
from cut3r.inference.preprocess import PixelMap
from cut3r.inference.view import View

CAMERA = np.dtype(
    [
        ("chunk_from_cam", "f4", (4, 4)),
        ("intrinsics", "f4", (3, 3)),
        ("image_size", "i4", 2),
        ("intrinsics_original", "f4", (3, 3)),
        ("original_size", "i4", 2),
        ("time_s", "f8"),
        ("index", "i4"),
        ("chunk", "i4"),
        ("finite", "?"),
        ("given", "?"),  # the pose came with the frame
    ]
)
MATRICES = ("chunk_from_cam", "intrinsics", "intrinsics_original")


@dataclass(frozen=True)
class Cameras:
    """One camera per frame of the stream, in its order.

    `intrinsics` are in pixels of the network's images, `intrinsics_original` in pixels of the upright original images;
    sizes are (h, w). `time_s` is nan where the source has no time stamps. `indices` are places in the source, `names`
    its file names. `chunks` counts the resets; poses of several chunks are comparable if
    the chunks have been put in their places. Where the network gave no
    numbers, `finite` is False and `world_from_cam` nan.
    """

    world_from_cam: Float32[np.ndarray, "v 4 4"]
    intrinsics: Float32[np.ndarray, "v 3 3"]
    image_sizes: Int32[np.ndarray, "v 2"]
    intrinsics_original: Float32[np.ndarray, "v 3 3"]
    original_sizes: Int32[np.ndarray, "v 2"]
    time_s: Float64[np.ndarray, "v"]
    indices: Int32[np.ndarray, "v"]
    chunks: Int32[np.ndarray, "v"]
    finite: Bool[np.ndarray, "v"]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.world_from_cam)


def camera_record(view: View, before: Shaped[np.ndarray, "v"]) -> Shaped[np.ndarray, ""]:
    """Describe a frame's camera as a record of CAMERA.

    Args:
        before: The record of the frame before, if there is one. Matrices that are not finite are taken from it, or are
            the identity, so that no file gets a nan; `finite` tells them apart.
    """
    pixel_map = view.pixel_map
    record = np.empty((), CAMERA)
    for name in MATRICES:
        matrix = getattr(view, name).numpy()
        if not np.isfinite(matrix).all():
            matrix = before[name][-1] if len(before) else np.eye(len(matrix))
        record[name] = matrix
    record["image_size"], record["original_size"] = pixel_map.image_size, pixel_map.original_size
    record["time_s"] = view.time_s if view.time_s is not None and math.isfinite(view.time_s) else np.nan
    record["index"], record["chunk"], record["finite"] = view.index, view.chunk, view.camera_is_finite
    record["given"] = view.pose_is_given
    return record


def hold_given(
    records: Shaped[np.ndarray, "v"], chunk: int, before: Float64[np.ndarray, "4 4"], after: Float64[np.ndarray, "4 4"]
) -> None:
    """Let cameras that are given stay where they are in the world while their chunk is moved: changes the records."""
    mine = (records["chunk"] == chunk) & records["given"]
    if mine.any() and not np.array_equal(before, after):
        stays, back = (Similarity.from_matrix(torch.tensor(place)) for place in (before, after))
        cameras = torch.from_numpy(records["chunk_from_cam"][mine]).double()
        records["chunk_from_cam"][mine] = back.inverse().place(stays.place(cameras)).float().numpy()


def cameras_of(records: Shaped[np.ndarray, "v"], names: tuple[str, ...], places: list[ChunkPlace]) -> Cameras:
    """Take records of CAMERA apart, with the poses where the chunks stand."""
    placed = placed_poses(places, records["chunk"], records["chunk_from_cam"])
    world_from_cam = np.where(records["finite"][:, None, None], placed, np.float32(np.nan))
    return Cameras(
        world_from_cam=world_from_cam,
        intrinsics=records["intrinsics"],
        image_sizes=records["image_size"],
        intrinsics_original=records["intrinsics_original"],
        original_sizes=records["original_size"],
        time_s=records["time_s"],
        indices=records["index"],
        chunks=records["chunk"],
        finite=records["finite"],
        names=names,
    )


def pixel_map_of(cameras: Cameras, number: int) -> PixelMap:
    """The map between the pixels of a frame's original picture and of the network's, by the intrinsics of both."""
    (h, w), (h0, w0) = cameras.image_sizes[number].tolist(), cameras.original_sizes[number].tolist()
    image, original = cameras.intrinsics[number], cameras.intrinsics_original[number]
    scale = (float(image[0, 0] / original[0, 0]), float(image[1, 1] / original[1, 1]))
    offset = [float((original[k, 2] + 0.5) * scale[k] - 0.5 - image[k, 2]) for k in (0, 1)]
    return PixelMap(original_size=(h0, w0), image_size=(h, w), scale=scale, offset=(offset[0], offset[1]))
