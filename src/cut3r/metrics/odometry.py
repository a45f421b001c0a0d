"""Drift of a camera path over 100 to 800 metres: t_rel and r_rel of the KITTI odometry benchmark.

Source: Geiger et al. 2012, section 3.1, and its development kit.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from cut3r.geometry.poses import invert, rotation_angle

LENGTHS_M = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0)
START_EVERY = 10  # frames


@dataclass(frozen=True)
class SegmentErrors:
    """One entry per segment of the true path.

    `drift`: error of the segment's end as a share of its length. `turn`: radians per metre. `length_m`: the nominal
    length, one of those asked for.
    """

    length_m: Float64[Tensor, "n"]
    drift: Float64[Tensor, "n"]
    turn: Float64[Tensor, "n"]

    @property
    def t_rel(self) -> float:
        """Mean over all segments of all lengths; 0.01 is 1 %. nan without segments."""
        return float(self.drift.mean())

    @property
    def r_rel(self) -> float:
        """Mean over all segments of all lengths, degrees per 100 metres."""
        return float(100 * self.turn.mean().rad2deg())


def segment_errors(
    predicted: Float64[Tensor, "v 4 4"],
    true: Float64[Tensor, "v 4 4"],
    lengths_m: tuple[float, ...] = LENGTHS_M,
    start_every: int = START_EVERY,
) -> SegmentErrors:
    """Compare the motion over segments of the true path. Nothing is aligned, so an error of scale counts; the world of
    each path may be another one.

    A segment starts at every tenth camera and ends at the first one that is farther along the path than its length.
    """
    firsts, lasts, lengths = _segments(true, lengths_m, start_every)
    said, truth = (invert(poses[firsts]) @ poses[lasts] for poses in (predicted, true))
    wrong = invert(said) @ truth
    turn = rotation_angle(wrong[:, :3, :3], torch.eye(3, dtype=wrong.dtype).expand(len(wrong), 3, 3))
    return SegmentErrors(lengths, wrong[:, :3, 3].norm(dim=-1) / lengths, turn / lengths)


def _segments(
    true: Float64[Tensor, "v 4 4"], lengths_m: tuple[float, ...], start_every: int
) -> tuple[Int64[Tensor, "n"], Int64[Tensor, "n"], Float64[Tensor, "n"]]:
    """Give the first and the last camera of each segment, and its nominal length."""
    steps = true[:, :3, 3].diff(dim=0).norm(dim=-1)
    way = torch.cat((steps.new_zeros(1), steps.cumsum(dim=0)))
    firsts = torch.arange(0, len(true), start_every).repeat_interleave(len(lengths_m))
    lengths = torch.tensor(lengths_m, dtype=way.dtype).repeat(len(firsts) // len(lengths_m))
    lasts = torch.searchsorted(way, way[firsts] + lengths, right=True)
    reached = lasts < len(true)
    return firsts[reached], lasts[reached], lengths[reached]
