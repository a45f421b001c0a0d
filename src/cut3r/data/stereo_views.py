"""Which pictures of a place help to find the depth of another one, and between which depths to look.

Pictures help that see the same 3-D points from another direction, best by 5 degrees: fewer, and depth is a guess; many
more, and things look different. Source of the score: Yao 2018 (MVSNet), section 4.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int, Int64
from scipy.sparse import coo_array, csr_array

from cut3r.geometry.poses import invert, transform

MOST_OTHERS = 6  # pictures that are compared with one
BEST_DEG, SPREAD_DEG = 5.0, (1.5, 10.0)  # the best angle, and deviations below and above it
FEWEST_POINTS = 10  # that a picture sees
MOST_POINTS = 512  # of a picture that are looked at
QUANTILES = (0.01, 0.99)  # of the depths of its points; a few of them are wrong
ROOM = (1.5, 3.0)  # how much nearer and farther than these depth is looked for
LEAST_SCORE = 0.1  # of a picture by that of the best one


@dataclass(frozen=True)
class Helpers:
    """Numbers of the pictures that a picture is compared with, the best first, and the range of its depths."""

    others: tuple[int, ...]
    nearest: float
    farthest: float


@dataclass(frozen=True)
class Sparse:
    """3-D points, in the unit of the poses, and for each picture the numbers of those that it sees."""

    points: Float64[np.ndarray, "p 3"]
    seen: Sequence[Int64[np.ndarray, "_"]]


def choose_helpers(world_from_cam: Float64[np.ndarray, "n 4 4"], sparse: Sparse) -> list[Helpers | None]:
    """Choose for each picture; None for one that sees too few points, or none of them together with another."""
    count = len(world_from_cam)
    starts = np.cumsum([0, *(len(numbers) for numbers in sparse.seen)])
    columns = np.concatenate((*sparse.seen, np.empty(0, np.int64)))
    sees = csr_array((np.ones(len(columns), bool), columns, starts), shape=(count, max(len(sparse.points), 1)))
    return [_helpers(number, world_from_cam, sparse, sees) for number in range(count)]


def _helpers(number: int, poses: Float64[np.ndarray, "n 4 4"], sparse: Sparse, sees: csr_array) -> Helpers | None:
    own = np.unique(sparse.seen[number])
    if len(own) < FEWEST_POINTS:
        return None
    some = own[:: -(-len(own) // MOST_POINTS)]
    scores = _scores(number, poses, sparse.points[some], sees[:, some].tocoo())
    others = np.argsort(-scores, kind="stable")[:MOST_OTHERS]
    others = others[scores[others] > LEAST_SCORE * scores.max()]
    depth = transform(invert(torch.from_numpy(poses[number])), torch.from_numpy(sparse.points[own]))[:, 2].numpy()
    ahead = depth[depth > 0]
    if not len(others) or len(ahead) < FEWEST_POINTS:
        return None
    low, high = np.quantile(ahead, QUANTILES)
    return Helpers(tuple(others.tolist()), float(low / ROOM[0]), float(high * ROOM[1]))


def _scores(number: int, poses: np.ndarray, points: Float64[np.ndarray, "k 3"], sees: coo_array) -> np.ndarray:
    """For each picture the sum over the common points of how good the angle is between the two rays to it."""
    pictures, places = sees.row, sees.col
    centres = poses[:, :3, 3]
    ours, theirs = centres[number] - points[places], centres[pictures] - points[places]
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = np.divide((ours * theirs).sum(axis=1), lengths, out=np.ones(len(lengths)), where=lengths > 0)
    off = np.degrees(np.arccos(np.clip(cosine, -1, 1))) - BEST_DEG
    weights = np.exp(-0.5 * (off / np.where(off < 0, *SPREAD_DEG)) ** 2)
    scores = np.bincount(pictures, weights, minlength=len(poses))
    scores[number] = 0
    return scores


def nearby(world_from_cam: Float64[np.ndarray, "n 4 4"], ranks: Sequence[int]) -> list[Int[np.ndarray, "_"]]:
    """For each camera the others of these ranks by distance, of those that look the same way within 45 degrees and
    stand elsewhere."""
    centres, ahead = world_from_cam[:, :3, 3], world_from_cam[:, :3, 2]
    found = []
    for number in range(len(world_from_cam)):
        apart = np.linalg.norm(centres - centres[number], axis=1)
        usable = np.flatnonzero((ahead @ ahead[number] > np.sqrt(0.5)) & (apart > 1e-9 * (1 + apart.max())))
        order = usable[np.argsort(apart[usable], kind="stable")]
        found.append(order[[rank for rank in ranks if rank < len(order)]])
    return found
