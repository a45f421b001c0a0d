"""Points of the scene followed through the original pictures, guided by what an alignment expects.

Neighbours are linked by optical flow, frames further apart by SIFT. Links become tracks, which have one observation
per frame. The pictures come as a stream: two of them, and the features of all, are in memory.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from cut3r.alignment.guide import Guide
from cut3r.io import features
from cut3r.io.features import Features
from cut3r.io.frame import Frame

OnProgress = Callable[[int, int], None]


@dataclass
class TrackConfig:
    """How points are found again. Lengths marked `share` are shares of a picture's long side."""

    limit: int = 500  # observations that each frame should have
    features: int = 1000  # per frame
    search_share: float = 0.08  # around where a point is expected
    ratio: float = 0.85  # of SIFT distances, best to second best in the search circle
    epipolar_share: float = 0.0025  # distance from the epipolar line
    same_place_share: float = 0.004  # two observations of a track in one frame that are closer are one
    distances: tuple[int, ...] = (1, 2, 3, 5, 8, 12, 18, 27)  # frames apart that are matched, where they overlap
    far: int = 2  # frames still further apart that are matched with each
    overlap: float = 0.35  # share of a frame that the other must show

    def __post_init__(self) -> None:
        if self.limit < 1 or self.features < 1 or not 0 < self.search_share < 1:
            raise ValueError(
                f"tracks with {self.limit} observations, {self.features} features and a search circle of "
                f"{self.search_share} of the picture make no sense; expected are at least 1 of each, and 0 to 1"
            )


@dataclass(frozen=True)
class Tracks:
    """Observations, sorted by track and frame; a track has at least two, in different frames."""

    track: Int[np.ndarray, "o"]
    frame: Int[np.ndarray, "o"]
    pixels: Float[np.ndarray, "o 2"]

    def __len__(self) -> int:
        return int(self.track[-1]) + 1 if len(self.track) else 0


def find_tracks(
    open_frames: Callable[[], Iterable[Frame]],
    guide: Guide,
    config: TrackConfig | None = None,
    *,
    groups: list[list[int]] | None = None,
    on_progress: OnProgress | None = None,
) -> Tracks:
    """Read all frames once more and follow their points.

    Args:
        open_frames: Gives the frames that were aligned, in the same order.
        groups: Frames of different groups are not compared. By default all are one.

    Raises:
        ValueError: Other frames than those that were aligned.
    """
    config, n = config or TrackConfig(), len(guide)
    group = np.zeros(n, dtype=int)
    for number, members in enumerate(groups or []):
        group[members] = number
    graph = _Links(guide, config)
    tell = on_progress or (lambda *_: None)
    count = 0
    for count, frame in enumerate(open_frames(), start=1):
        if count > n or frame.rgb.shape[:2] != guide.sizes[count - 1]:
            raise ValueError(_OTHER_FRAMES.format(n))
        graph.add(frame, follow=count > 1 and bool(group[count - 1] == group[count - 2]))
        tell(count, 2 * n)
    if count != n:
        raise ValueError(_OTHER_FRAMES.format(n))
    for first in range(n):
        for second in partners(guide, first, group, config):
            graph.match(first, second)
        tell(n + first + 1, 2 * n)
    return graph.tracks()


_OTHER_FRAMES = (
    "the source gave other frames now than the {} that were aligned; use footage that can be read again and does not "
    "change meanwhile"
)


def partners(guide: Guide, first: int, group: Int[np.ndarray, "n"], config: TrackConfig) -> list[int]:
    """Later frames that show enough of the same: some near in time, and of those further away the best."""
    n, reach = len(guide), max(config.distances)
    near = first + np.array(config.distances)
    far = np.arange(first + reach + 1, n, max(1, reach // 4))
    later = np.concatenate((near[near < n], far))
    later = later[group[later] == group[first]]
    share = guide.overlap(first, later)
    chosen = later[(share >= config.overlap) & (later <= first + reach)].tolist()
    distant = [int(k) for k in np.argsort(-share, kind="stable") if later[k] > first + reach][: config.far]
    return chosen + [int(later[k]) for k in distant if share[k] >= config.overlap]


class _Links:
    """Observations of all frames so far, and which of them show the same point."""

    def __init__(self, guide: Guide, config: TrackConfig) -> None:
        self._guide, self._config = guide, config
        self._features: list[Features] = []
        self._starts: list[int] = []  # the number of each frame's first feature
        self._frames: list[np.ndarray] = []
        self._pixels: list[np.ndarray] = []
        self._links: list[np.ndarray] = []
        self._count = 0
        self._last: np.ndarray | None = None  # the picture before
        self._moving = np.zeros(0, dtype=int)  # observations in it that are followed
        self._places = np.zeros((0, 2))

    def add(self, frame: Frame, *, follow: bool) -> None:
        number, config = len(self._features), self._config
        image = features.grey(frame.rgb)
        found = features.detect(image, frame.mask, config.features)
        self._features.append(found)
        self._starts.append(self._count)
        new = self._observe(number, found.pixels)
        arrived, places = self._follow(number, image, frame.mask) if follow else (new[:0], found.pixels[:0])
        fresh = _uncovered(found.pixels, places, self._length(number, 0.015))
        self._moving = np.concatenate((arrived, new[fresh]))
        self._places = np.concatenate((places, found.pixels[fresh]))
        self._last = image

    def _follow(self, number: int, image: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        expected = self._guide.expect(number - 1, number, self._places)
        guess = np.where(np.isfinite(expected), expected, self._places)
        assert self._last is not None
        if image.shape != self._last.shape:
            return self._moving[:0], self._places[:0]
        there, found = features.flow(self._last, image, self._places, guess)
        found &= ~(np.linalg.norm(there - expected, axis=1) > self._length(number, self._config.search_share))
        if mask is not None:
            x, y = (there[found].round().astype(int)).T
            found[found] = mask[y.clip(0, mask.shape[0] - 1), x.clip(0, mask.shape[1] - 1)]
        found[found] = features.epipolar_inliers(self._places[found], there[found], self._epipolar(number))
        arrived = self._observe(number, there[found])
        self._links.append(np.stack((self._moving[found], arrived), axis=1))
        return arrived, there[found]

    def match(self, first: int, second: int) -> None:
        a, b = self._features[first], self._features[second]
        expected = self._guide.expect(first, second, a.pixels)
        radius = self._length(second, self._config.search_share)
        pairs = features.match(a, b, expected, radius, self._config.ratio)
        good = features.epipolar_inliers(a.pixels[pairs[:, 0]], b.pixels[pairs[:, 1]], self._epipolar(second))
        self._links.append(pairs[good] + (self._starts[first], self._starts[second]))

    def tracks(self) -> Tracks:
        if not self._count:
            return Tracks(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 2)))
        links = np.concatenate([*self._links, np.zeros((0, 2), int)])
        ones = np.ones(len(links), dtype=np.int8)
        graph = coo_matrix((ones, (links[:, 0], links[:, 1])), shape=(self._count, self._count))
        _, label = connected_components(graph, directed=False)
        frame, pixels = np.concatenate(self._frames), np.concatenate(self._pixels)
        same_px = np.array([self._length(k, self._config.same_place_share) for k in range(len(self._features))])
        rows = _one_per_frame(label, frame, pixels, same_px)
        rows = rows[np.bincount(label[rows], minlength=label.max() + 1)[label[rows]] >= 2]
        rows = _bounded(label, frame, pixels, rows, self._guide.sizes, self._config.limit)
        _, track = np.unique(label[rows], return_inverse=True)
        return Tracks(track, frame[rows], pixels[rows])

    def _observe(self, number: int, pixels: np.ndarray) -> np.ndarray:
        """Number new observations."""
        numbers = np.arange(self._count, self._count + len(pixels))
        self._frames.append(np.full(len(pixels), number))
        self._pixels.append(pixels)
        self._count += len(pixels)
        return numbers

    def _length(self, number: int, share: float) -> float:
        return share * max(self._guide.sizes[number])

    def _epipolar(self, number: int) -> float:
        return max(1.0, self._length(number, self._config.epipolar_share))


def _uncovered(pixels: np.ndarray, covered: np.ndarray, radius: float) -> np.ndarray:
    """Which pixels have no covered one within the radius."""
    if not len(covered) or not len(pixels):
        return np.ones(len(pixels), dtype=bool)
    return np.asarray(cKDTree(covered).query(pixels)[0] > radius)


def _one_per_frame(label: np.ndarray, frame: np.ndarray, pixels: np.ndarray, same_px: np.ndarray) -> np.ndarray:
    """Rows sorted by track and frame, the first of each frame; none of a frame whose observations contradict."""
    rows = np.lexsort((np.arange(len(label)), frame, label))
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (label[rows][1:] != label[rows][:-1]) | (frame[rows][1:] != frame[rows][:-1])
    lead = rows[np.flatnonzero(new)[np.cumsum(new) - 1]]  # of each row, the first of its track and frame
    apart = np.linalg.norm(pixels[rows] - pixels[lead], axis=1) > same_px[frame[rows]]
    contradicted = np.bincount(np.cumsum(new) - 1, weights=apart)[np.cumsum(new) - 1] > 0
    return np.asarray(rows[new & ~contradicted])


def _bounded(
    label: np.ndarray, frame: np.ndarray, pixels: np.ndarray, rows: np.ndarray, sizes: list, limit: int
) -> np.ndarray:
    """Take the longest tracks first, as long as some frame needs them in that part of its picture."""
    if not len(rows):
        return rows
    shape = np.array(sizes)[frame[rows]]
    grid = np.array((9, 12))
    cell = ((pixels[rows][:, ::-1] + 0.5) / shape * grid).astype(int).clip(0, grid - 1) @ np.array((12, 1))
    quota = -(-limit // int(grid.prod()))
    full = np.zeros((len(sizes), int(grid.prod())), dtype=int)
    starts = np.flatnonzero(np.diff(label[rows], prepend=-1))
    lengths = np.diff(starts, append=len(rows))
    chosen = np.zeros(len(rows), dtype=bool)
    for k in np.argsort(-lengths, kind="stable").tolist():
        part = slice(starts[k], starts[k] + lengths[k])
        frames, cells = frame[rows[part]], cell[part]
        if (full[frames, cells] < quota).any():
            full[frames, cells] += 1
            chosen[part] = True
    return np.asarray(rows[chosen])
