"""Everything that a stream has shown so far, on the host: a bounded point cloud, and every camera."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int32, Int64, Shaped, UInt8

from cut3r.files.atomic import atomic_path
from cut3r.geometry.registration import Similarity
from cut3r.inference.bounded_points import POINT
from cut3r.inference.cameras import CAMERA, Cameras, camera_record, cameras_of, hold_given
from cut3r.inference.chunk_points import ChunkPlace, ChunkPoints, as_cloud, checked_place, no_such_chunk
from cut3r.inference.keeper import FrameKeeper
from cut3r.inference.result import FrameResult
from cut3r.inference.scene_state import SceneState, pack, unpack
from cut3r.inference.sink import Sink
from cut3r.inference.view import EDGES, View
from cut3r.io.glb import write_glb
from cut3r.io.ply import write_ply
from cut3r.io.point_cloud import PointCloud
from cut3r.io.trajectory import write_kitti, write_tum


class Reconstruction(Sink):
    """A sink for frame results that stays small however long the stream is.

    The cloud never holds more than `max_points` points (24 bytes each, 8 more for its voxel): one per voxel, the most
    confident, or a uniform sample of all. Only the cameras grow: 170 bytes and a name per frame.

    Points are placed as each result says (by default camera points moved by the pose), in the frame of their chunk.
    Where a chunk stands can change later (`move`); chunks are merged when points are asked for. A frame whose camera is
    not finite keeps its place among the cameras, but gives no points, and the files of cameras do without it.

    It can be looked at while another thread adds results.

    Args:
        voxel_size: Edge length in metres; doubles whenever more than `max_points` voxels are occupied. None: sample
            uniformly instead.
        confidence: Points at or below are left out. Confidences are >= 1.
        stride: Take every n-th row and column of each frame.
        edges: Leave out the flying pixels at steps of depth of at least this share of the depth, see
            `View.on_surfaces`. None: keep them.
        frames: Keeps what `save` needs for a folder: `cut3r.KeptFrames()`, or `cut3r.FramesAgain(source)`.
    """

    def __init__(
        self,
        *,
        voxel_size: float | None = 0.01,
        max_points: int = 1_000_000,
        confidence: float = 1.5,
        stride: int = 1,
        edges: float | None = EDGES,
        frames: FrameKeeper | None = None,
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
        self.frames = frames
        self._kept = ChunkPoints(voxel_size, max_points)
        self._places: list[ChunkPlace] = []
        self._lock = threading.RLock()  # held while results are added, and while the points or cameras are copied
        self._cameras = bytearray()  # records of CAMERA: grows in place, without a copy per frame
        self._names: list[str] = []

    def add(self, result: FrameResult | View) -> None:
        """Take in one frame: its camera, and its valid, finite and confident points that lie on surfaces."""
        view = result if isinstance(result, View) else result.view
        every = (slice(None, None, self.stride), slice(None, None, self.stride))
        confidence, colors = view.confidence[every].numpy().reshape(-1), view.image[every].reshape(-1, 3)
        chosen = view.on_surfaces(self.edges)[every].numpy().reshape(-1) & (confidence > self.confidence)
        indices = np.flatnonzero(chosen & np.isfinite(confidence) & view.camera_is_finite)
        points = view.points_chunk[every].numpy().reshape(-1, 3).take(indices, axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            total = points.sum()
        if not np.isfinite(total):  # seldom; and it may only be the sum that is too large
            finite = np.isfinite(points).all(axis=-1)
            indices, points = indices[finite], points[finite]
        trusted = confidence.take(indices)

        def gather(some: Int64[np.ndarray, "some"]) -> Shaped[np.ndarray, "some"]:
            records = np.empty(len(some), POINT)
            records["point"], records["confidence"] = points.take(some, axis=0), trusted.take(some)
            records["color"], records["frame"] = colors.take(indices.take(some), axis=0), view.number
            return records

        with self._lock:
            self._note_chunk(view)
            for chunk in view.moves.keys() & {place.number for place in self._places}:  # one without frames is no chunk
                self.move(chunk, view.moves[chunk])
            self._kept.add_points(points, trusted, gather)
            before = np.frombuffer(self._cameras[-CAMERA.itemsize :], CAMERA)
            self._cameras += camera_record(view, before).tobytes()
            self._names.append(view.name)
        if self.frames is not None:
            self.frames.add(result)

    def _note_chunk(self, view: View) -> None:
        """Begin a chunk, or follow it: the latest result says where it stands."""
        if not self._places or self._places[-1].number != view.chunk:
            self._places.append(ChunkPlace(view.chunk, view.number, np.eye(4)))
            self._kept.begin_chunk()
        if view.world_from_chunk is not None:
            self._put(self._places[-1], view.world_from_chunk.matrix().double().numpy())

    def _put(self, place: ChunkPlace, world_from_chunk: Float64[np.ndarray, "4 4"]) -> None:
        hold_given(np.frombuffer(self._cameras, CAMERA), place.number, place.world_from_chunk, world_from_chunk)
        place.world_from_chunk = world_from_chunk

    @property
    def chunks(self) -> dict[int, Similarity]:
        """Where each chunk stands, by its number."""
        return {place.number: Similarity.from_matrix(torch.tensor(place.world_from_chunk)) for place in self._places}

    def move(self, chunk: int, world_from_chunk: Similarity) -> None:
        """Put a chunk somewhere else, cameras and points, as when a loop closes; nothing is computed anew. Cameras that
        were given stay where they are.

        Raises:
            KeyError: There is no such chunk.
            ValueError: Not a similarity: not finite, or of a scale that is not positive.
        """
        found = [place for place in self._places if place.number == chunk]
        if not found:
            raise no_such_chunk(chunk, [place.number for place in self._places])
        matrix = checked_place(chunk, world_from_chunk)
        with self._lock:
            self._put(found[0], matrix)
        if self.frames is not None:
            self.frames.move(chunk, world_from_chunk)

    def __len__(self) -> int:
        """Count the points, before chunks that overlap are merged."""
        with self._lock:
            return len(self._kept)

    @property
    def frame_count(self) -> int:
        """Count the frames that were taken in."""
        return len(self._names)

    @property
    def voxel_size(self) -> float | None:
        """Edge length in metres now, after all doublings; None when sampling uniformly."""
        return self._kept.voxel_size

    @property
    def max_points(self) -> int:
        return self._kept.max_points

    @property
    def points(self) -> Float32[np.ndarray, "p 3"]:
        """World frame, metres."""
        return self.cloud().points

    @property
    def colors(self) -> UInt8[np.ndarray, "p 3"]:
        return self.cloud().colors

    @property
    def confidences(self) -> Float32[np.ndarray, "p"]:
        return np.asarray(self.cloud().confidence)

    @property
    def frame_numbers(self) -> Int32[np.ndarray, "p"]:
        """The frame of the stream that each point comes from, counted from 0."""
        return np.asarray(self.cloud().frame)

    @property
    def cameras(self) -> Cameras:
        with self._lock:
            return cameras_of(self._camera_records(), tuple(self._names), self._places)

    def cloud(self) -> PointCloud:
        """Copy the points out, ready for the writers."""
        with self._lock:
            return as_cloud(self._kept.placed(self._places))

    def summary(self) -> str:
        """Say in one line how many points there are, what bounds them, and how many cameras were lost."""
        lost = int((~self._camera_records()["finite"]).sum())
        cameras = f"; {lost:,} of the cameras are not finite" if lost else ""
        return f"{len(self):,} points of {len(self._names):,} frames: {self._kept.bound}{cameras}"

    def save(self, path: str | os.PathLike[str], *, frames: FrameKeeper | None = None) -> None:
        """Write the file that the suffix asks for, atomically, or a folder for splat trainers.

        Points: .ply, .glb (with camera frusta). Cameras: .tum, .kitti. Everything: .npz (the arrays of `state_arrays`).
        Every number in them is finite, but for the time stamps of pictures, which have none. A folder has no suffix, or
        a / at its end; it needs the pictures and depth of frames, which are not kept here.

        Args:
            frames: Has them; by default, what the reconstruction was made with.

        Raises:
            ValueError: Another suffix; or a folder of which nobody has the frames, that holds files of others, or of
                whose frames no two see the same.
        """
        if not is_folder(path):
            WRITERS[check_suffix(path)](self, Path(path))
            return
        keeper = frames or self.frames
        if keeper is None:
            raise ValueError(
                f"{path} is a folder, which needs the pictures and depth of frames, and this reconstruction was made "
                "to keep neither; make it with Reconstruction(frames=cut3r.KeptFrames()), or, where the source can be "
                "read again, save it with frames=cut3r.FramesAgain(source)"
            )
        keeper.save(Path(path), self)

    def state_arrays(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """Give everything as plain arrays, for `from_state_arrays`; `numpy.savez` takes them without pickling."""
        with self._lock:
            cameras = self._camera_records()
            settings = (self.confidence, self.stride, self.edges)
            return pack(SceneState(self._kept, self._places, cameras, self._names, *settings))

    @classmethod
    def from_state_arrays(cls, arrays: dict[str, Shaped[np.ndarray, "..."]]) -> "Reconstruction":
        """Continue where `state_arrays` was called: later results change the copy exactly as the original.

        Raises:
            ValueError: The arrays are not those of a reconstruction.
        """
        state = unpack(arrays)
        scene = cls(confidence=state.confidence, stride=state.stride, edges=state.edges)
        scene._kept, scene._places, scene._names = state.kept, state.places, state.names
        scene._cameras = bytearray(state.cameras.tobytes())
        return scene

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


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Tell by its name whether what is to be saved is a folder."""
    return not Path(path).suffix or os.fspath(path).endswith(("/", os.sep))


def check_suffix(path: str | os.PathLike[str]) -> str:
    """Return the suffix that chooses the writer of a file.

    Raises:
        ValueError: No writer has this suffix.
    """
    suffix = Path(path).suffix.lower()
    if is_folder(path) or suffix not in WRITERS:
        what = "is a folder" if is_folder(path) else f"has the suffix '{suffix}'"
        raise ValueError(f"{path} {what}; a reconstruction is saved as one of {', '.join(WRITERS)}")
    return suffix
