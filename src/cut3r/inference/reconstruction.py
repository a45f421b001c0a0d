"""Everything that a stream has shown so far, on the host: a bounded point cloud, and every camera."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int32, Shaped, UInt8

from cut3r.files.atomic import atomic_path
from cut3r.inference.bounded_points import POINT, Reservoir, VoxelGrid
from cut3r.inference.result import FrameResult
from cut3r.inference.scene_arrays import check_points, read_names, read_records, read_settings, restore_generator
from cut3r.io.glb import write_glb
from cut3r.io.ply import write_ply
from cut3r.io.point_cloud import PointCloud
from cut3r.io.trajectory import write_kitti, write_tum

CAMERA = np.dtype(
    [
        ("world_from_cam", "f4", (4, 4)),
        ("intrinsics", "f4", (3, 3)),
        ("image_size", "i4", 2),
        ("intrinsics_original", "f4", (3, 3)),
        ("original_size", "i4", 2),
        ("time_s", "f8"),
        ("index", "i4"),
        ("chunk", "i4"),
    ]
)


@dataclass(frozen=True)
class Cameras:
    """One camera per frame of the stream, in its order.

    `intrinsics` are in pixels of the network's images, `intrinsics_original` in pixels of the upright original images;
    sizes are (h, w). `time_s` is nan where the source has no time stamps. `indices` are places in the source, `names`
    its file names. Poses are comparable inside one chunk (`chunks` counts the resets).
    """

    world_from_cam: Float32[np.ndarray, "v 4 4"]
    intrinsics: Float32[np.ndarray, "v 3 3"]
    image_sizes: Int32[np.ndarray, "v 2"]
    intrinsics_original: Float32[np.ndarray, "v 3 3"]
    original_sizes: Int32[np.ndarray, "v 2"]
    time_s: Float64[np.ndarray, "v"]
    indices: Int32[np.ndarray, "v"]
    chunks: Int32[np.ndarray, "v"]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.world_from_cam)


class Reconstruction:
    """A sink for frame results that stays small however long the stream is.

    The cloud never holds more than `max_points` points (24 bytes each, 8 more for its voxel): one per voxel, the most
    confident, or a uniform sample of all. Only the cameras grow: 168 bytes and a name per frame.

    Points are placed as each result says (`FrameResult.points_world`: by default camera points moved by the pose). All
    results must share one world: after `Session.reset`, start a new reconstruction.

    Args:
        voxel_size: Edge length in metres; doubles whenever more than `max_points` voxels are occupied. None: sample
            uniformly instead.
        confidence: Points at or below are left out. Confidences are >= 1.
        stride: Take every n-th row and column of each frame.
    """

    def __init__(
        self,
        *,
        voxel_size: float | None = 0.01,
        max_points: int = 1_000_000,
        confidence: float = 1.5,
        stride: int = 1,
    ) -> None:
        if stride < 1:
            raise ValueError(f"stride is {stride}; give 1 to take every pixel, 2 for every second row and column, ...")
        self.confidence = confidence
        self.stride = stride
        self._kept: VoxelGrid | Reservoir = (
            Reservoir(max_points) if voxel_size is None else VoxelGrid(voxel_size, max_points)
        )
        self._cameras = bytearray()  # records of CAMERA: grows in place, without a copy per frame
        self._names: list[str] = []

    def add(self, result: FrameResult) -> None:
        """Take in one frame: its camera, and its valid, finite and confident points."""
        every = (slice(None, None, self.stride), slice(None, None, self.stride))
        points, confidence = result.points_world[every].numpy(), result.confidence[every].numpy()
        chosen = result.valid[every].numpy() & (confidence > self.confidence) & np.isfinite(points).all(axis=-1)
        records = np.empty(int(chosen.sum()), POINT)
        records["point"], records["confidence"] = points[chosen], confidence[chosen]
        records["color"], records["frame"] = result.image[every][chosen], result.number
        self._kept.add(records)
        self._cameras += _camera_record(result).tobytes()
        self._names.append(result.frame.name)

    def __len__(self) -> int:
        """Count the points."""
        return len(self._kept.records)

    @property
    def voxel_size(self) -> float | None:
        """Edge length in metres now, after all doublings; None when sampling uniformly."""
        return self._kept.voxel_size if isinstance(self._kept, VoxelGrid) else None

    @property
    def max_points(self) -> int:
        return self._kept.max_points

    @property
    def points(self) -> Float32[np.ndarray, "p 3"]:
        """World frame, metres."""
        return self._kept.records["point"].copy()

    @property
    def colors(self) -> UInt8[np.ndarray, "p 3"]:
        return self._kept.records["color"].copy()

    @property
    def confidences(self) -> Float32[np.ndarray, "p"]:
        return self._kept.records["confidence"].copy()

    @property
    def frame_numbers(self) -> Int32[np.ndarray, "p"]:
        """The frame of the stream that each point comes from, counted from 0."""
        return self._kept.records["frame"].copy()

    @property
    def cameras(self) -> Cameras:
        records = self._camera_records()
        return Cameras(
            world_from_cam=records["world_from_cam"],
            intrinsics=records["intrinsics"],
            image_sizes=records["image_size"],
            intrinsics_original=records["intrinsics_original"],
            original_sizes=records["original_size"],
            time_s=records["time_s"],
            indices=records["index"],
            chunks=records["chunk"],
            names=tuple(self._names),
        )

    def cloud(self) -> PointCloud:
        """Copy the points out, ready for the writers."""
        return PointCloud(self.points, self.colors, self.confidences, self.frame_numbers)

    def summary(self) -> str:
        """Say in one line how many points there are and what bounds them."""
        return f"{len(self):,} points of {len(self._names):,} frames: {self._kept.bound}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file that the suffix asks for, atomically.

        Points: .ply, .glb (with camera frusta). Cameras: .tum, .kitti. Everything: .npz (the arrays of `state_arrays`).

        Raises:
            ValueError: Another suffix.
        """
        WRITERS[check_suffix(path)](self, Path(path))

    def state_arrays(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """Give everything as plain arrays, for `from_state_arrays`; `numpy.savez` takes them without pickling."""
        kept, cameras = self._kept, self._camera_records()
        settings: dict[str, Any] = {"confidence": self.confidence, "stride": self.stride, "max_points": kept.max_points}
        if isinstance(kept, VoxelGrid):
            settings |= {"voxel_size": kept.voxel_size, "out_of_range": kept.out_of_range}
        else:
            settings |= {"seen": kept.seen, "generator": kept.generator.bit_generator.state}
        points = {f"points/{name}": kept.records[name].copy() for name in POINT.names or ()}
        frames = {f"cameras/{name}": cameras[name].copy() for name in CAMERA.names or ()}
        return (
            points | frames | {"cameras/name": np.array(self._names, str), "settings": np.array(json.dumps(settings))}
        )

    @classmethod
    def from_state_arrays(cls, arrays: dict[str, Shaped[np.ndarray, "..."]]) -> "Reconstruction":
        """Continue where `state_arrays` was called: later results change the copy exactly as the original.

        Raises:
            ValueError: The arrays are not those of a reconstruction, or damaged.
        """
        settings = read_settings(arrays)
        scene = cls(confidence=settings["confidence"], stride=settings["stride"])
        records = read_records(POINT, "points", arrays)
        check_points(records, settings["max_points"])
        if "voxel_size" in settings:
            scene._kept = VoxelGrid(
                settings["voxel_size"], settings["max_points"], records, out_of_range=settings["out_of_range"]
            )
        else:
            scene._kept = Reservoir(settings["max_points"], records, seen=settings["seen"])
            restore_generator(scene._kept.generator, settings.get("generator"))
        cameras = read_records(CAMERA, "cameras", arrays)
        scene._cameras, scene._names = bytearray(cameras.tobytes()), read_names(arrays, len(cameras))
        return scene

    def _camera_records(self) -> Shaped[np.ndarray, "v"]:
        return np.frombuffer(bytes(self._cameras), CAMERA)


def _camera_record(result: FrameResult) -> np.ndarray:
    pixel_map, frame = result.pixel_map, result.frame
    record = np.empty((), CAMERA)
    record["world_from_cam"], record["intrinsics"] = result.world_from_cam.numpy(), result.intrinsics.numpy()
    record["image_size"], record["original_size"] = pixel_map.image_size, pixel_map.original_size
    record["intrinsics_original"] = result.intrinsics_original.numpy()
    record["time_s"] = np.nan if frame.time_s is None else frame.time_s
    record["index"], record["chunk"] = frame.index, result.chunk
    return record


def _save_ply(scene: Reconstruction, path: Path) -> None:
    write_ply(path, scene.cloud())


def _save_glb(scene: Reconstruction, path: Path) -> None:
    cameras = scene.cameras
    write_glb(path, scene.cloud(), cameras.world_from_cam, cameras.intrinsics, cameras.image_sizes)


def _save_tum(scene: Reconstruction, path: Path) -> None:
    write_tum(path, scene.cameras.world_from_cam, scene.cameras.time_s)


def _save_kitti(scene: Reconstruction, path: Path) -> None:
    write_kitti(path, scene.cameras.world_from_cam)


def _save_npz(scene: Reconstruction, path: Path) -> None:
    arrays: dict[str, Any] = scene.state_arrays()
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


WRITERS: dict[str, Callable[[Reconstruction, Path], None]] = {
    ".ply": _save_ply,
    ".glb": _save_glb,
    ".tum": _save_tum,
    ".kitti": _save_kitti,
    ".npz": _save_npz,
}


def check_suffix(path: str | os.PathLike[str]) -> str:
    """Return the suffix that chooses the writer.

    Raises:
        ValueError: No writer has this suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise ValueError(f"{path} has the suffix '{suffix}'; a reconstruction is saved as one of {', '.join(WRITERS)}")
    return suffix
