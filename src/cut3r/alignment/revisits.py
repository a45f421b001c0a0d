"""Which frames, far apart in time, may show the same place? Those whose tokens are alike: candidates for loops."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

DIRECTIONS = 64  # at most so many count in a comparison, and one for FRAMES_EACH frames
FRAMES_EACH = 8
ROWS = 512  # frames that are compared with all others at once
BLOCK = 10  # frames, for `RevisitConfig.per_block`


@dataclass
class RevisitConfig:
    """How many candidates there are, and how far apart."""

    per_frame: int = 5  # the most similar frames of each that are considered
    apart: int = 25  # frames: nearer ones are neighbours; and a better candidate silences those so near at both ends
    per_block: int = 2  # candidates that may begin or end in 10 frames

    def __post_init__(self) -> None:
        if min(self.per_frame, self.apart, self.per_block) < 1:
            raise ValueError(
                f"{self.per_frame} similar frames, {self.apart} frames apart, {self.per_block} in ten frames: none of "
                "these can be below 1"
            )


@dataclass(frozen=True)
class Revisit:
    """Two frames, the earlier one first, and the cosine between their tokens."""

    first: int
    second: int
    similarity: float


def revisits(
    pooled: Float[Tensor, "n d"],
    config: RevisitConfig | None = None,
    *,
    paired: Collection[tuple[int, int]] = (),
    since: int = 0,
) -> list[Revisit]:
    """Candidates for loops, the most similar first.

    Args:
        pooled: The mean token of every frame.
        paired: Pairs that exist already, in either order; they are no candidates.
        since: The later frame of a pair has this number or a larger one.
    """
    config = config or RevisitConfig()
    known = {(min(pair), max(pair)) for pair in paired}
    unit = torch.nn.functional.normalize(whitened(pooled), dim=1)
    n, found = len(unit), dict[tuple[int, int], float]()
    times = torch.arange(n)
    for rows in times[since:].split(ROWS):
        cosine = unit[rows] @ unit.T
        gap = rows[:, None] - times
        cosine[(gap.abs() <= config.apart) | ((gap < 0) & (since > 0))] = -1.0
        best = cosine.topk(min(config.per_frame, n), dim=1)
        for row, values, others in zip(rows.tolist(), best.values.tolist(), best.indices.tolist(), strict=True):
            found |= {(min(row, j), max(row, j)): v for v, j in zip(values, others, strict=True) if v > 0}
    ranked = sorted((-value, pair) for pair, value in found.items() if pair not in known)
    return _thinned([Revisit(*pair, -value) for value, pair in ranked], config)


def whitened(pooled: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
    """Coordinates along the directions in which the frames of this video differ most, each with the variance 1.

    What all frames share (light, camera, style) says nothing about places. Only few directions are kept, because with
    as many as there are frames, all frames would be equally unlike.
    """
    centred = pooled.double() - pooled.double().mean(dim=0)
    count = max(2, min(DIRECTIONS, len(pooled) // FRAMES_EACH, pooled.shape[1]))
    values, vectors = torch.linalg.eigh(centred.mT @ centred / len(pooled))
    values, vectors = values[-count:], vectors[:, -count:]
    return centred @ vectors / values.clamp_min(1e-9 * float(values[-1]) + 1e-30).sqrt()


def _thinned(ranked: list[Revisit], config: RevisitConfig) -> list[Revisit]:
    """Without those near a better one at both ends, and those where there are enough."""
    kept: list[Revisit] = []
    near: dict[tuple[int, int], list[Revisit]] = {}  # those kept, by the cell of size `apart` that they are in
    used: Counter[int] = Counter()
    for each in ranked:
        row, column = each.first // config.apart, each.second // config.apart
        around = [near.get((row + a, column + b), []) for a in (-1, 0, 1) for b in (-1, 0, 1)]
        if any(_close(each, other, config.apart) for cell in around for other in cell):
            continue
        blocks = (each.first // BLOCK, each.second // BLOCK)
        if any(used[block] >= config.per_block for block in blocks):
            continue
        used.update(blocks)
        near.setdefault((row, column), []).append(each)
        kept.append(each)
    return kept


def _close(a: Revisit, b: Revisit, apart: int) -> bool:
    return abs(a.first - b.first) < apart and abs(a.second - b.second) < apart
