"""Two ways to keep a bounded set of points out of a stream without end: the best per voxel, or a uniform sample.

Both take and keep records of `POINT`. The number of kept records never exceeds `max_points` after `add`.
"""

import logging
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped

logger = logging.getLogger(__name__)

# 24 bytes: metres in the world frame, sRGB, confidence >= 1, number of the frame in the stream
POINT = np.dtype([("point", "f4", 3), ("color", "u1", 3), ("confidence", "f4"), ("frame", "i4")], align=True)
OPAQUE = np.dtype((np.void, POINT.itemsize))  # NumPy moves records several times faster when it sees no fields in them

AXIS_BITS = 21  # three of them fit into an int64: 2,097,152 voxels per axis, +-10.4 km at 1 cm
HALF_AXIS = 1 << (AXIS_BITS - 1)
OCTANTS = 8  # however large the voxels, the eight around the origin stay apart


@dataclass
class VoxelGrid:
    """Keep the most confident point of every voxel; of equals, the one that came first.

    When more than `max_points` voxels are occupied, the voxel size doubles, as often as needed (equals that
    meet then: any of them). Points too far away to be numbered (10.4 km at 1 cm) are dropped and counted.

    Args:
        voxel_size: Edge length in metres. Voxel edges lie at its multiples.
    """

    voxel_size: float
    max_points: int
    records: Shaped[np.ndarray, "p"] = field(default_factory=lambda: np.empty(0, POINT))  # in the order of their voxels
    out_of_range: int = 0

    def __post_init__(self) -> None:
        if not self.voxel_size > 0:
            raise ValueError(
                f"voxel_size is {self.voxel_size} m; give a positive edge length, or None to sample uniformly"
            )
        if self.max_points < OCTANTS:
            raise ValueError(f"max_points is {self.max_points}; a voxel grid needs room for at least {OCTANTS} points")
        self._voxels = self._voxels_of(self.records["point"])[0]
        if not (np.diff(self._voxels) > 0).all():
            raise ValueError("the points are not one per voxel, in the order of their voxels; add them instead")

    def add(self, records: Shaped[np.ndarray, "p"]) -> None:
        """Let finite points compete for their voxels."""
        voxels, in_range = self._voxels_of(records["point"])
        self.out_of_range += len(records) - int(in_range.sum())
        best = _best_per_voxel(voxels, records["confidence"], in_range)
        self._merge(voxels[best], records.take(best))
        while len(self.records) > self.max_points:
            self._double()

    @property
    def bound(self) -> str:
        dropped = f"; {self.out_of_range:,} too far away were dropped" if self.out_of_range else ""
        return f"one per {100 * self.voxel_size:.3g} cm voxel, at most {self.max_points:,}{dropped}"

    def _merge(self, voxels: Int64[np.ndarray, "p"], records: Shaped[np.ndarray, "p"]) -> None:
        """Insert records of different voxels, both in ascending order, into the sorted set."""
        places = np.searchsorted(self._voxels, voxels)
        taken = np.zeros(len(voxels), bool)
        inside = places < len(self._voxels)
        taken[inside] = self._voxels[places[inside]] == voxels[inside]
        rivals = places[taken]
        better = records["confidence"][taken] > self.records["confidence"][rivals]
        self.records[rivals[better]] = records[taken][better]
        inserted = np.insert(self.records.view(OPAQUE), places[~taken], records[~taken].view(OPAQUE))
        self.records = inserted.view(POINT)
        self._voxels = np.insert(self._voxels, places[~taken], voxels[~taken])

    def _double(self) -> None:
        self.voxel_size *= 2
        voxels, in_range = self._voxels_of(self.records["point"])
        best = _best_per_voxel(voxels, self.records["confidence"], in_range)
        logger.info(
            "more than %d points: voxels are now %g m wide, %d points remain",
            self.max_points,
            self.voxel_size,
            len(best),
        )
        self.records, self._voxels = self.records.take(best), voxels[best]

    def _voxels_of(self, points: Float32[np.ndarray, "p 3"]) -> tuple[Int64[np.ndarray, "p"], Bool[np.ndarray, "p"]]:
        """Number the voxels by position, 21 bits per axis, and tell which points have a number at all.

        In double precision, so that doubling the voxel size merges whole voxels.
        """
        cells = np.floor(points.astype(np.float64) / self.voxel_size) + HALF_AXIS
        in_range = np.all((cells >= 0) & (cells < 2 * HALF_AXIS), axis=1)
        x, y, z = np.where(in_range[:, None], cells, 0).astype(np.int64).T
        return (x << (2 * AXIS_BITS)) | (y << AXIS_BITS) | z, in_range


def _best_per_voxel(
    voxels: Int64[np.ndarray, "p"], confidence: Float32[np.ndarray, "p"], eligible: Bool[np.ndarray, "p"]
) -> Int64[np.ndarray, "kept"]:
    """Indices of the most confident eligible point of each voxel, in the order of the voxels."""
    indices = np.flatnonzero(eligible)
    order = indices[np.argsort(voxels[indices])]
    if len(order) == 0:
        return order
    numbers, values = voxels[order], confidence[order]
    starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
    highest = np.repeat(np.maximum.reduceat(values, starts), np.diff(starts, append=len(order)))
    return np.minimum.reduceat(np.where(values == highest, order, len(voxels)), starts)  # of equals, the first


@dataclass
class Reservoir:
    """Keep a uniform sample: each point that ever came is kept with the same probability.

    Source: Vitter 1985, "Random sampling with a reservoir", algorithm R.
    """

    max_points: int
    records: Shaped[np.ndarray, "p"] = field(default_factory=lambda: np.empty(0, POINT))
    seen: int = 0
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __post_init__(self) -> None:
        if self.max_points < 1:
            raise ValueError(f"max_points is {self.max_points}; give the number of points to keep, at least 1")

    def add(self, records: Shaped[np.ndarray, "p"]) -> None:
        """Let points fill the reservoir, then replace random ones in it."""
        room = self.max_points - len(self.records)
        self.records = np.concatenate([self.records.view(OPAQUE), records[:room].view(OPAQUE)]).view(POINT)
        late = records[room:]
        counts = self.seen + len(records) - len(late) + 1 + np.arange(len(late))  # points seen, each late one included
        slots = self.generator.integers(0, counts)
        hits = slots < self.max_points
        self.records[slots[hits]] = late[hits]  # of several that hit one slot, the last stays
        self.seen += len(records)

    @property
    def bound(self) -> str:
        return f"a uniform sample of {self.seen:,}, at most {self.max_points:,}"
