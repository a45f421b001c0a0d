"""Two ways to keep a bounded set of points out of a stream without end: the best per voxel, or a uniform sample.

Both take and keep records of `POINT`. The number of kept records never exceeds `max_points` after `add`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped

logger = logging.getLogger(__name__)

# 24 bytes: metres in the world frame, sRGB, confidence >= 1, number of the frame in the stream
POINT = np.dtype([("point", "f4", 3), ("color", "u1", 3), ("confidence", "f4"), ("frame", "i4")], align=True)
OPAQUE = np.dtype((np.void, POINT.itemsize))  # NumPy moves records several times faster when it sees no fields in them

AXIS_BITS = 21  # three of them fit into an int64: 2,097,152 voxels per axis, +-10.4 km at 1 cm
HALF_AXIS = 1 << (AXIS_BITS - 1)
NEWER_SHARE = 4  # the points that wait for joining the others are at most one of so many
OCTANTS = 8  # however large the voxels, the eight around the origin stay apart


Gather = Callable[[Int64[np.ndarray, "some"]], Shaped[np.ndarray, "some"]]  # indices of points: their records


class VoxelGrid:
    """Keep the most confident point of every voxel; of equals, the one that came first.

    When more than `max_points` voxels are occupied, the voxel size doubles, as often as needed (equals that
    meet then: any of them). Points too far away to be numbered (10.4 km at 1 cm) are dropped and counted.

    Args:
        voxel_size: Edge length in metres. Voxel edges lie at its multiples.
        records: Of an earlier grid: at most one per voxel, in the order of their voxels.
    """

    def __init__(
        self,
        voxel_size: float,
        max_points: int,
        records: Shaped[np.ndarray, "p"] | None = None,
        *,
        out_of_range: int = 0,
    ) -> None:
        if not voxel_size > 0:
            raise ValueError(f"voxel_size is {voxel_size} m; give a positive edge length, or None to sample uniformly")
        if max_points < OCTANTS:
            raise ValueError(f"max_points is {max_points}; a voxel grid needs room for at least {OCTANTS} points")
        self.voxel_size = voxel_size
        self.max_points = max_points
        self.out_of_range = out_of_range
        records = np.empty(0, POINT) if records is None else records
        self._points = _SortedPoints(self._voxels_of(records["point"])[0], records)
        self._newer = _no_points()  # inserting into few is cheap; they join the many seldom

    def __len__(self) -> int:
        """Count the points."""
        return len(self._points) + len(self._newer)

    @property
    def records(self) -> Shaped[np.ndarray, "p"]:
        """In the order of their voxels."""
        self._join()
        return self._points.records

    def is_sound(self) -> bool:
        """Whether there is at most one point per voxel, in the order of their voxels, as after every `add`."""
        voxels, in_range = self._voxels_of(self.records["point"])
        return bool(in_range.all() and (np.diff(voxels) > 0).all())

    def add(self, records: Shaped[np.ndarray, "p"]) -> None:
        """Let finite points compete for their voxels."""
        self.add_points(records["point"], records["confidence"], records.take)

    def add_points(
        self, points: Float32[np.ndarray, "p 3"], confidence: Float32[np.ndarray, "p"], gather: Gather
    ) -> None:
        """The same without records of points that lose: `gather` makes those of some of the points, by their index."""
        voxels, in_range = self._voxels_of(points)
        self.out_of_range += len(points) - int(in_range.sum())
        best = _best_per_voxel(voxels, confidence, in_range)
        for kept in (self._points, self._newer):
            best = kept.improve(best, voxels, confidence, gather)
        self._newer.insert(voxels.take(best), gather(best))
        if len(self._newer) * NEWER_SHARE > len(self._points):
            self._join()
        while len(self) > self.max_points:
            self.double()

    @property
    def bound(self) -> str:
        dropped = f"; {self.out_of_range:,} too far away were dropped" if self.out_of_range else ""
        return f"one per {100 * self.voxel_size:.3g} cm voxel, at most {self.max_points:,}{dropped}"

    def _join(self) -> None:
        if len(self._newer):
            self._points.insert(self._newer.voxels, self._newer.records)
            self._newer = _no_points()

    def double(self) -> None:
        """Let voxels be twice as wide."""
        self._join()
        self.voxel_size *= 2
        voxels, records = _doubled(self._points.voxels), self._points.records
        best = _best_per_voxel(voxels, records["confidence"], np.ones(len(voxels), bool))
        logger.info(
            "more than %d points: voxels are now %g m wide, %d points remain",
            self.max_points,
            self.voxel_size,
            len(best),
        )
        self._points = _SortedPoints(voxels[best], records.take(best))

    def _voxels_of(self, points: Float32[np.ndarray, "p 3"]) -> tuple[Int64[np.ndarray, "p"], Bool[np.ndarray, "p"]]:
        """Number the voxels by position, 21 bits per axis, and tell which points have a number at all.

        In double precision, so that doubling the voxel size merges whole voxels.
        """
        voxels, in_range = np.zeros(len(points), np.int64), np.ones(len(points), bool)
        for axis in range(3):
            with np.errstate(over="ignore", invalid="ignore"):  # infinity, and nan of 0 / 0, are out of range
                cells = points[:, axis].astype(np.float64)
                cells /= self.voxel_size
                np.floor(cells, out=cells)
                cells += HALF_AXIS
                all_inside = len(cells) == 0 or (cells.min() >= 0 and cells.max() < 2 * HALF_AXIS)  # nan is not
            if not all_inside:
                inside = (cells >= 0) & (cells < 2 * HALF_AXIS)
                cells[~inside] = 0
                in_range &= inside
            voxels = (voxels << AXIS_BITS) | cells.astype(np.int64)
        return voxels, in_range


class _SortedPoints:
    """Points of different voxels, in the order of their voxels."""

    def __init__(self, voxels: Int64[np.ndarray, "p"], records: Shaped[np.ndarray, "p"]) -> None:
        self.voxels = voxels
        self.records = records

    def __len__(self) -> int:
        return len(self.voxels)

    def improve(
        self,
        candidates: Int64[np.ndarray, "some"],
        voxels: Int64[np.ndarray, "p"],
        confidence: Float32[np.ndarray, "p"],
        gather: Gather,
    ) -> Int64[np.ndarray, "rest"]:
        """Replace points by more confident candidates (indices) for the same voxels; gives those for other voxels."""
        if len(self) == 0:
            return candidates
        numbers = voxels.take(candidates)
        places = np.minimum(np.searchsorted(self.voxels, numbers), len(self) - 1)
        here = self.voxels.take(places) == numbers
        better = np.flatnonzero(here & (confidence.take(candidates) > self.records["confidence"][places]))
        self.records[places.take(better)] = gather(candidates.take(better))
        return candidates[~here]

    def insert(self, voxels: Int64[np.ndarray, "p"], records: Shaped[np.ndarray, "p"]) -> None:
        """Insert points of voxels that are not here, in the order of their voxels."""
        places = np.searchsorted(self.voxels, voxels) + np.arange(len(voxels))
        older = np.ones(len(self) + len(voxels), bool)
        older[places] = False
        self.records = _merged(self.records.view(OPAQUE), records.view(OPAQUE), older, places).view(POINT)
        self.voxels = _merged(self.voxels, voxels, older, places)


def _merged(
    old: Shaped[np.ndarray, "p"],
    new: Shaped[np.ndarray, "q"],
    older: Bool[np.ndarray, "all"],
    places: Int64[np.ndarray, "q"],
) -> Shaped[np.ndarray, "all"]:
    """`np.insert`, with the places in the result looked up once for several arrays."""
    merged = np.empty(len(older), old.dtype)
    merged[older] = old
    merged[places] = new
    return merged


def _no_points() -> _SortedPoints:
    return _SortedPoints(np.empty(0, np.int64), np.empty(0, POINT))


def _doubled(voxels: Int64[np.ndarray, "p"]) -> Int64[np.ndarray, "p"]:
    """The numbers of the voxels of twice the size that these lie in: half of each axis, counted from the origin."""
    axes = (0, AXIS_BITS, 2 * AXIS_BITS)
    lower_bits = sum((HALF_AXIS - 1) << axis for axis in axes)
    return ((voxels >> 1) & lower_bits) + sum(HALF_AXIS // 2 << axis for axis in axes)


def _best_per_voxel(
    voxels: Int64[np.ndarray, "p"], confidence: Float32[np.ndarray, "p"], eligible: Bool[np.ndarray, "p"]
) -> Int64[np.ndarray, "kept"]:
    """Indices of the most confident eligible point of each voxel, in the order of the voxels; of equals, the first."""
    best = np.flatnonzero(eligible)
    numbers = voxels if len(best) == len(voxels) else voxels.take(best)
    order = _stable_order(numbers)
    best = best.take(order)
    return best[_best_of_runs(numbers.take(order), confidence.take(best))]


def _stable_order(voxels: Int64[np.ndarray, "p"]) -> Int64[np.ndarray, "p"]:
    """What `np.argsort(voxels, kind="stable")` gives, several times faster for voxels that lie close together.

    Numbered within the box that holds them all, voxels leave room for the place of each in the same 63 bits, and NumPy
    sorts numbers much faster than it finds their order.
    """
    if len(voxels) == 0:
        return np.empty(0, np.int64)
    place_bits = len(voxels).bit_length()
    numbers = np.zeros(len(voxels), np.int64)
    cells = 1
    for axis in (2, 1, 0):  # x, y, z
        along = (voxels >> (axis * AXIS_BITS)) & (2 * HALF_AXIS - 1)
        first, last = int(along.min()), int(along.max())
        cells *= last - first + 1
        if cells.bit_length() + place_bits > 63:
            return np.argsort(voxels, kind="stable")
        numbers *= last - first + 1
        numbers += along
        numbers -= first
    numbers <<= place_bits
    numbers |= np.arange(len(voxels))
    numbers.sort()
    return numbers & ((1 << place_bits) - 1)


def _best_of_runs(voxels: Int64[np.ndarray, "p"], confidence: Float32[np.ndarray, "p"]) -> Int64[np.ndarray, "kept"]:
    """Of points whose voxels come in runs, the place of the most confident one of each run; of equals, the first."""
    if len(voxels) == 0:
        return np.empty(0, np.int64)
    starts = np.flatnonzero(_differ(voxels))
    if len(starts) == len(voxels):
        return starts
    highest = np.repeat(np.maximum.reduceat(confidence, starts), np.diff(starts, append=len(voxels)))
    places = np.flatnonzero(confidence == highest)
    return places[_differ(voxels.take(places))]


def _differ(numbers: Int64[np.ndarray, "p"]) -> Bool[np.ndarray, "p"]:
    """Which of at least one number differ from the one before them; the first does."""
    return np.concatenate(([True], numbers[1:] != numbers[:-1]))


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

    def add_points(
        self, points: Float32[np.ndarray, "p 3"], _confidence: Float32[np.ndarray, "p"], gather: Gather
    ) -> None:
        """The same, as in a `VoxelGrid`."""
        self.add(gather(np.arange(len(points))))

    @property
    def bound(self) -> str:
        return f"a uniform sample of {self.seen:,}, at most {self.max_points:,}"
