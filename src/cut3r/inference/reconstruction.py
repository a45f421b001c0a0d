"""Everything that a stream has shown so far, on the host: a bounded point cloud, and every camera."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64, Shaped, UInt8

from cut3r.files.atomic import atomic_path
from cut3r.inference.bounded_points import POINT, Reservoir, VoxelGrid
from cut3r.inference.cameras import CAMERA, Cameras, camera_record, cameras_of
from cut3r.inference.result import EDGES, FrameResult
from cut3r.inference.scene_state import SceneState, pack, unpack
from cut3r.inference.sink import Sink
from cut3r.io.glb import write_glb
from cut3r.io.ply import write_ply
from cut3r.io.point_cloud import PointCloud
from cut3r.io.trajectory import write_kitti, write_tum


class Reconstruction(Sink):
    """A sink for frame results that stays small however long the stream is.

    The cloud never holds more than `max_points` points (24 bytes each, 8 more for its voxel): one per voxel, the most
    confident, or a uniform sample of all. Only the cameras grow: 169 bytes and a name per frame.

    Points are placed as each result says (`FrameResult.points_world`: by default camera points moved by the pose). All
    results must share one world: after `Session.reset`, start a new reconstruction. A frame whose camera is not finite
    keeps its place among the cameras, but gives no points, and the files of cameras do without it.

    It can be looked at while another thread adds results.

    Args:
        voxel_size: Edge length in metres; doubles whenever more than `max_points` voxels are occupied. None: sample
            uniformly instead.
        confidence: Points at or below are left out. Confidences are >= 1.
        stride: Take every n-th row and column of each frame.
        edges: Leave out the flying pixels at steps of depth of at least this share of the depth, see
            `FrameResult.on_surfaces`. None: keep them.
    """

    def __init__(
        self,
        *,
        voxel_size: float | None = 0.01,
        max_points: int = 1_000_000,
        confidence: float = 1.5,
        stride: int = 1,
        edges: float | None = EDGES,
    ) -> None:
        if stride < 1:
            raise ValueError(f"stride is {stride}; give 1 to take every pixel, 2 for every second row and column, ...")
        if edges is not None and not 0 < edges < np.inf:
            raise ValueError(
                f"edges is {edges}; give a positive share of the depth such as {EDGES}, or None to keep all"
            )
        self.confidence = confidence
        self.stride = stride
        self.edges = edges
        self._kept: VoxelGrid | Reservoir = (
            Reservoir(max_points) if voxel_size is None else VoxelGrid(voxel_size, max_points)
        )
        self._lock = threading.RLock()  # held while results are added, and while the points or cameras are copied
        self._cameras = bytearray()  # records of CAMERA: grows in place, without a copy per frame
        self._names: list[str] = []

    def add(self, result: FrameResult) -> None:
        """Take in one frame: its camera, and its valid, finite and confident points that lie on surfaces."""
        every = (slice(None, None, self.stride), slice(None, None, self.stride))
        confidence, colors = result.confidence[every].numpy().reshape(-1), result.image[every].reshape(-1, 3)
        chosen = result.on_surfaces(self.edges)[every].numpy().reshape(-1) & (confidence > self.confidence)
        indices = np.flatnonzero(chosen & np.isfinite(confidence) & result.camera_is_finite)
        points = result.points_world[every].numpy().reshape(-1, 3).take(indices, axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            total = points.sum()
        if not np.isfinite(total):  # seldom; and it may only be the sum that is too large
            finite = np.isfinite(points).all(axis=-1)
            indices, points = indices[finite], points[finite]
        trusted = confidence.take(indices)

        def gather(some: Int64[np.ndarray, "some"]) -> Shaped[np.ndarray, "some"]:
            records = np.empty(len(some), POINT)
            records["point"], records["confidence"] = points.take(some, axis=0), trusted.take(some)
            records["color"], records["frame"] = colors.take(indices.take(some), axis=0), result.number
            return records

        with self._lock:
            self._kept.add_points(points, trusted, gather)
            before = np.frombuffer(self._cameras[-CAMERA.itemsize :], CAMERA)
            self._cameras += camera_record(result, before).tobytes()
            self._names.append(result.frame.name)

    def __len__(self) -> int:
        """Count the points."""
        with self._lock:
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
        return self._copy("point")

    @property
    def colors(self) -> UInt8[np.ndarray, "p 3"]:
        return self._copy("color")

    @property
    def confidences(self) -> Float32[np.ndarray, "p"]:
        return self._copy("confidence")

    @property
    def frame_numbers(self) -> Int32[np.ndarray, "p"]:
        """The frame of the stream that each point comes from, counted from 0."""
        return self._copy("frame")

    @property
    def cameras(self) -> Cameras:
        with self._lock:
            return cameras_of(self._camera_records(), tuple(self._names))

    def cloud(self) -> PointCloud:
        """Copy the points out, ready for the writers."""
        with self._lock:
            return PointCloud(self.points, self.colors, self.confidences, self.frame_numbers)

    def summary(self) -> str:
        """Say in one line how many points there are, what bounds them, and how many cameras were lost."""
        lost = int((~self._camera_records()["finite"]).sum())
        cameras = f"; {lost:,} of the cameras are not finite" if lost else ""
        return f"{len(self):,} points of {len(self._names):,} frames: {self._kept.bound}{cameras}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file that the suffix asks for, atomically.

        Points: .ply, .glb (with camera frusta). Cameras: .tum, .kitti. Everything: .npz (the arrays of `state_arrays`).
        Every number in them is finite, but for the time stamps of pictures, which have none.

        Raises:
            ValueError: Another suffix.
        """
        WRITERS[check_suffix(path)](self, Path(path))

    def state_arrays(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """Give everything as plain arrays, for `from_state_arrays`; `numpy.savez` takes them without pickling."""
        with self._lock:
            return pack(
                SceneState(self._kept, self._camera_records(), self._names, self.confidence, self.stride, self.edges)
            )

    @classmethod
    def from_state_arrays(cls, arrays: dict[str, Shaped[np.ndarray, "..."]]) -> "Reconstruction":
        """Continue where `state_arrays` was called: later results change the copy exactly as the original.

        Raises:
            ValueError: The arrays are not those of a reconstruction.
        """
        state = unpack(arrays)
        scene = cls(confidence=state.confidence, stride=state.stride, edges=state.edges)
        scene._kept, scene._cameras, scene._names = state.kept, bytearray(state.cameras.tobytes()), state.names
        return scene

    def _copy(self, field: str) -> Shaped[np.ndarray, "p ..."]:
        with self._lock:
            return self._kept.records[field].copy()

    def _camera_records(self) -> Shaped[np.ndarray, "v"]:
        return np.frombuffer(bytes(self._cameras), CAMERA)


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
