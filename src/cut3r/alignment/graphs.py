"""Which frames are seen together: stars, the pairs they give, and whether these hold all frames together.

A star is a short stream: its first frame, the *anchor*, is read by a network that has seen nothing, so that its camera
is the frame of everything after; then come the others, one by one. Each of them gives a *pair* (anchor, other).
"""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

Star = tuple[int, ...]
Pair = tuple[int, int]

WINDOW = 3  # with loops as good as all pairs (spec/global_alignment.md 6.4)
SMALL = 30  # so many frames are few enough for all pairs
SPANS = 8  # frames at distance d are paired from every (d / SPANS)th frame only


def original(n: int) -> list[Star]:
    """The original's 2n - 1 stars: all frames from the first; then, from each later one, every second frame both ways.

    Parity: neighbours are not paired except with frame 0 (quirk Q36), and stars without others are run for nothing.
    """
    _check_count(n)
    rest = ((tuple(range(i, n, 2)), tuple(range(i, -1, -2))) for i in range(1, n))
    return [tuple(range(n)), *(star for both in rest for star in both)]


def complete(n: int) -> list[Star]:
    """Every frame with every other, both ways: n (n - 1) pairs, for few frames."""
    _check_count(n)
    return _worth_running((tuple(range(i, n)), tuple(range(i, -1, -1))) for i in range(n))


def window(n: int, width: int = WINDOW, *, powers: bool = False) -> list[Star]:
    """Every frame with its `width` neighbours on each side: about 2 n width pairs.

    Args:
        powers: Also frames at distances d = 4, 8, 16, ... beyond the width, which bend less over long walks: from every
            frame up to d = 8, beyond from every (d / 8)th. So any moment of the video lies between at most 8 such pairs
            of each distance, and a sparse factor grows little faster than the frames. From every frame, it would have 7
            times the entries at 600 frames, and the result would be no better (measured on planted walks).

    Raises:
        ValueError: A width below 1.
    """
    _check_count(n)
    if width < 1:
        raise ValueError(f"a window of {width} frames pairs nothing; give 1 or more (usual: {WINDOW})")
    every = dict.fromkeys(range(1, width + 1), 1)  # distance: from every so many frames
    if powers:
        every |= {2**k: max(1, 2**k // SPANS) for k in range(2, n.bit_length()) if 2**k > width}
    return _worth_running(
        (
            (i, *(i + d for d, step in every.items() if i + d < n and i % step == 0)),
            (i, *(i - d for d, step in every.items() if i - d >= 0 and (i - d) % step == 0)),
        )
        for i in range(n)
    )


def one_reference(n: int, reference: int = 0) -> list[Star]:
    """Every frame with one of them only: n - 1 pairs.

    Raises:
        ValueError: There is no such frame.
    """
    _check_count(n)
    if not 0 <= reference < n:
        raise ValueError(f"frame {reference} cannot be the reference of {n} frames; give a number from 0 to {n - 1}")
    return _worth_running([(tuple(range(reference, n)), tuple(range(reference, -1, -1)))])


def both_ways(pairs: Iterable[Pair]) -> list[Star]:
    """Each pair as two stars, one from each end: for loops."""
    return [star for i, j in pairs for star in ((i, j), (j, i))]


def pairs_of(stars: Iterable[Star]) -> list[Pair]:
    """The pairs in the order in which they are predicted."""
    return [(star[0], other) for star in stars for other in star[1:]]


def sorted_pairs(pairs: Iterable[Pair]) -> list[Pair]:
    """The original's order: forward pairs by (i, j), then backward pairs by (j, i)."""
    return sorted(pairs, key=lambda pair: (pair[0] > pair[1], min(pair), max(pair)))


def components(n: int, pairs: Sequence[Pair]) -> list[list[int]]:
    """The groups of frames that pairs hold together, each in order, the one with the earliest frame first."""
    ends = np.array(pairs, dtype=int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(n, n))
    count, labels = connected_components(graph, directed=False)
    groups = (np.flatnonzero(labels == label).tolist() for label in range(count))
    return sorted(groups, key=lambda group: group[0])


def name_groups(groups: Sequence[Sequence[int]], most: int = 5) -> str:
    """Say which frames are in which group: a part of a sentence."""
    named = [_name(group) for group in groups[:most]]
    return "; ".join(named) + (f"; and {len(groups) - most} more" if len(groups) > most else "")


def _name(group: Sequence[int]) -> str:
    if len(group) == 1:
        return f"frame {group[0]} alone"
    if group[-1] - group[0] == len(group) - 1:
        return f"frames {group[0]} to {group[-1]}"
    return f"{len(group)} frames from {group[0]} to {group[-1]}"


def _worth_running(both: Iterable[tuple[Star, Star]]) -> list[Star]:
    return [star for stars in both for star in stars if len(star) > 1]


def _check_count(n: int) -> None:
    if n < 1:
        raise ValueError("there are no frames to pair; give at least one")
