"""How far a frame's result is to be trusted, as far as the stream itself can tell."""

from dataclasses import dataclass
from enum import Enum


class Trust(Enum):
    good = "good"
    weak = "weak"  # confidence is far below what is usual in the chunk
    lost = "lost"  # no numbers, or no valid pixel


@dataclass(frozen=True)
class Quality:
    """A signal, not a promise: a network can be sure and wrong.

    `confidence` is the mean confidence above 1 as a share of the chunk's median; 1 while nothing is usual yet, 0
    without valid pixels. `new_area` is the share of trusted points that the chunk has not seen before. `residual_m` is
    that of the joint of the frame's chunk; nan for the first chunk and where points were not compared. `is_doubtful`
    says that the joint may be wrong, so that the whole chunk may stand somewhere else. `is_key`: the frame was written.
    """

    confidence: float
    new_area: float
    residual_m: float
    is_doubtful: bool
    trust: Trust
    is_key: bool
