"""The points of a stream, chunk by chunk, in each chunk's own frame: chunks can be moved, and their points need not."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, Shaped

from cut3r.geometry.registration import Similarity
from cut3r.inference.bounded_points import POINT, Gather, Reservoir, VoxelGrid
from cut3r.io.point_cloud import PointCloud

LARGEST_NUMBER = 2.0**62  # in a place
LARGEST_VOXEL_M = 1e6  # so large that nothing more can be merged: more chunks than points are allowed


@dataclass
class ChunkPlace:
    """Which frames a chunk has, and where it stands: `world_from_chunk` is a 4x4 similarity, its scale inside."""

    number: int
    first_frame: int
    world_from_chunk: Float64[np.ndarray, "4 4"]


class ChunkPoints:
    """At most `max_points` points of all chunks together: a voxel grid for each chunk, all with voxels of one size, or
    one uniform sample.

    Args:
        voxel_size: In metres of the chunks; None: a uniform sample.
    """

    def __init__(self, voxel_size: float | None, max_points: int) -> None:
        self.max_points = max_points
        self.grids: list[VoxelGrid] = []
        self.sample = Reservoir(max_points) if voxel_size is None else None
        self.voxel_size = voxel_size
        if voxel_size is not None:
            VoxelGrid(voxel_size, max_points)  # refuses sizes that cannot be

    def begin_chunk(self) -> None:
        if self.voxel_size is not None:
            self.grids.append(VoxelGrid(self.voxel_size, self.max_points))

    def add_points(
        self, points: Float32[np.ndarray, "p 3"], confidence: Float32[np.ndarray, "p"], gather: Gather
    ) -> None:
        """Let points of the latest chunk compete."""
        if self.sample is not None:
            self.sample.add_points(points, confidence, gather)
            return
        self.grids[-1].add_points(points, confidence, gather)
        self.voxel_size = self.grids[-1].voxel_size
        for grid in self.grids[:-1]:
            while grid.voxel_size < self.voxel_size:
                grid.double()
        while len(self) > self.max_points and self.voxel_size < LARGEST_VOXEL_M:
            self.voxel_size *= 2
            for grid in self.grids:
                grid.double()

    def __len__(self) -> int:
        return len(self.sample.records) if self.sample is not None else sum(map(len, self.grids))

    @property
    def bound(self) -> str:
        """What bounds them, in words."""
        if self.sample is not None:
            return self.sample.bound
        whole = VoxelGrid(self.voxel_size or 1.0, self.max_points, out_of_range=sum(g.out_of_range for g in self.grids))
        return whole.bound

    def records(self) -> list[Shaped[np.ndarray, "p"]]:
        """The points in their chunks' frames; of a uniform sample, all in one array."""
        return [self.sample.records] if self.sample is not None else [grid.records for grid in self.grids]

    def placed(self, places: list[ChunkPlace]) -> Shaped[np.ndarray, "p"]:
        """The points where their chunks stand. Where chunks overlap, the most confident point of a voxel stays."""
        if self.sample is not None:
            starts = [place.first_frame for place in places]
            chunk = np.searchsorted(starts, self.sample.records["frame"], side="right") - 1
            placed = self.sample.records.copy()
            for number, place in enumerate(places):
                mine = chunk == number
                placed["point"][mine] = moved(place, placed["point"][mine])
            return placed
        parts = []
        for grid, place in zip(self.grids, places, strict=True):
            part = grid.records.copy()
            part["point"] = moved(place, part["point"])
            parts.append(part)
        if len(parts) < 2:
            return parts[0] if parts else np.empty(0, POINT)
        merged = VoxelGrid(self.voxel_size or 1.0, self.max_points)
        for part in parts:
            merged.add(part)
        return merged.records


def moved(place: ChunkPlace, points: Float32[np.ndarray, "p 3"]) -> Float32[np.ndarray, "p 3"]:
    """Points of a chunk in the world; exactly themselves where the chunk has not been moved."""
    matrix = place.world_from_chunk
    if np.array_equal(matrix, np.eye(4)):
        return points
    return (points.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)


def placed_poses(
    places: list[ChunkPlace], chunks: Int32[np.ndarray, "v"], chunk_from_cam: Float32[np.ndarray, "v 4 4"]
) -> Float32[np.ndarray, "v 4 4"]:
    """Camera poses where their chunks stand: rotations stay rotations, only positions are scaled."""
    poses = chunk_from_cam.copy()
    for place in places:
        mine = chunks == place.number
        if mine.any() and not np.array_equal(place.world_from_chunk, np.eye(4)):
            placed = place.world_from_chunk @ chunk_from_cam[mine].astype(np.float64)
            placed[:, :3, :3] /= np.cbrt(np.linalg.det(place.world_from_chunk[:3, :3]))
            poses[mine] = placed.astype(np.float32)
    return poses


def no_such_chunk(chunk: int, chunks: list[int]) -> KeyError:
    return KeyError(f"there is no chunk {chunk}; there are {chunks}")


def checked_place(chunk: int, world_from_chunk: Similarity) -> Float64[np.ndarray, "4 4"]:
    """The place of a chunk as a matrix, scale inside.

    Raises:
        ValueError: Not a similarity: not finite, or of a scale that is not positive.
    """
    matrix: np.ndarray = world_from_chunk.matrix().double().numpy()
    if not is_similarity(matrix):
        raise ValueError(f"world_from_chunk of chunk {chunk} is no rotation, positive scale and translation: {matrix}")
    return matrix


def is_similarity(matrix: np.ndarray) -> bool:
    """Whether a 4x4 matrix is a rotation times a positive scale, and a translation."""
    if not np.isfinite(matrix).all() or not (matrix[3] == (0, 0, 0, 1)).all() or np.abs(matrix).max() > LARGEST_NUMBER:
        return False
    cubed = np.linalg.det(matrix[:3, :3])
    if not cubed > 0:
        return False
    rotation = matrix[:3, :3] / np.cbrt(cubed)
    return bool(np.abs(rotation @ rotation.T - np.eye(3)).max() < 1e-3)


def as_cloud(records: Shaped[np.ndarray, "p"]) -> PointCloud:
    return PointCloud(*(records[name].copy() for name in ("point", "color", "confidence", "frame")))
