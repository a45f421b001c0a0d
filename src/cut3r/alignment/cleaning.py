"""Points that hang in front of what other, more confident frames see are no points."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cut3r.geometry.cameras import project, unproject
from cut3r.geometry.poses import invert, transform

BLOCK, POINTS = 16, 2**20  # at most so many frames, and about so many of their points, are looked at at once


@dataclass
class CleaningConfig:
    """What `clean` takes away.

    `parity`: one vote is enough, at a tolerance far below the noise (quirk Q42: 35-46 % of all points go), and a point
    that is gone has no vote any more, so that the order of frames matters.
    """

    tolerance: float = 0.04  # share of the depth that a point must be nearer than what the other frame sees
    votes: int = 2  # frames that must say so
    parity: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < 1 or self.votes < 1:
            raise ValueError(
                f"cleaning with tolerance {self.tolerance} and {self.votes} votes is not possible; expected are a "
                "tolerance from 0 to 1 and at least one vote"
            )

    @classmethod
    def as_original(cls) -> "CleaningConfig":
        return cls(tolerance=0.001, votes=1, parity=True)


def clean(
    depth: Float[Tensor, "n h w"],
    conf: Float[Tensor, "n h w"],
    world_from_cam: Float[Tensor, "n 4 4"],
    intrinsics: Float[Tensor, "n 3 3"],
    config: CleaningConfig | None = None,
    *,
    neighbours: Int[Tensor, "n k"] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "n h w"]:
    """Give the confidences, 0 where a point is in the way of what others see with more confidence.

    Args:
        depth: Metres along the optical axis.
        neighbours: The frames that each is compared with; by default all others, which is quadratic in their number.
            -1 stands for none.
        on_progress: Called with the frames done and all of them.
    """
    config = config or CleaningConfig()
    n, h, w = depth.shape
    block = max(1, min(BLOCK, POINTS // (h * w)))
    after = conf.clone()
    for i in range(n):
        points_world = transform(world_from_cam[i], unproject(depth[i], intrinsics[i]))
        others = torch.arange(n) if neighbours is None else neighbours[i]
        others = others[(others != i) & (others >= 0)]
        if config.parity:
            for j in others.split(1):
                bad = _in_the_way(points_world, after[i], j, depth, after, world_from_cam, intrinsics, config.tolerance)
                after[i] = after[i].masked_fill(bad[0], 0.0)
        else:
            votes = torch.zeros(depth.shape[1:], dtype=torch.long)
            for some in others.split(block):
                votes += _in_the_way(
                    points_world, conf[i], some, depth, conf, world_from_cam, intrinsics, config.tolerance
                ).sum(dim=0)
            after[i] = conf[i].masked_fill(votes >= config.votes, 0.0)
        if on_progress is not None:
            on_progress(i + 1, n)
    return after


def partners(n: int, ends: Int[Tensor, "e 2"]) -> Int[Tensor, "n k"]:
    """The frames that share a pair with each of n frames, as `clean` takes them: linear in the number of pairs."""
    both = torch.cat((ends, ends.flip(1))).unique(dim=0)  # sorted by the first of them
    counts = torch.bincount(both[:, 0], minlength=n)
    table = torch.full((n, max(int(counts.max()), 1)), -1)
    place = torch.arange(len(both)) - (counts.cumsum(0) - counts)[both[:, 0]]
    table[both[:, 0], place] = both[:, 1]
    return table


def _in_the_way(
    points_world: Float[Tensor, "h w 3"],
    conf: Float[Tensor, "h w"],
    others: Int[Tensor, "k"],
    depths: Float[Tensor, "n h w"],
    confs: Float[Tensor, "n h w"],
    world_from_cam: Float[Tensor, "n 4 4"],
    intrinsics: Float[Tensor, "n 3 3"],
    tolerance: float,
) -> Bool[Tensor, "k h w"]:
    """Whether each point is nearer to the other cameras than what they see there, and less sure."""
    h, w = conf.shape
    seen = transform(invert(world_from_cam[others]), points_world.expand(len(others), h, w, 3))
    pixels, z = project(seen, intrinsics[others])
    column, row = (pixels.nan_to_num(-1.0, -1.0, -1.0).round().clamp(-1, max(h, w))).long().unbind(dim=-1)
    inside = (z > 0) & (column >= 0) & (column < w) & (row >= 0) & (row < h)
    frame = others[:, None, None].expand_as(row)
    at = (frame, row.clamp(0, h - 1), column.clamp(0, w - 1))
    return inside & (z < (1 - tolerance) * depths[at]) & (conf < confs[at])
