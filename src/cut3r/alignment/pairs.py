"""What a network said of frames and of pairs of frames: compactly on the host, or as the plain tensors of an objective.

A pair (i, j) is two pictures in one frame, the camera of i: what the network saw of i alone, and then of j.
Confidences are >= 1; their logarithm is the weight of a point.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

LEAST = 1e-3  # weight of a point that the network is not sure of at all: one that is never sure weighs all alike


@dataclass(frozen=True)
class Pairs:
    """The points of each pair, metres in the camera of its first frame, for whom memory is plenty.

    A confidence of 1 says "do not use this point".

    Raises:
        ValueError: Frames that are not numbered 0, 1, ... without a gap, or a confidence below 1.
    """

    ends: Int[Tensor, "e 2"]
    points_first: Float[Tensor, "e h w 3"]
    conf_first: Float[Tensor, "e h w"]
    points_second: Float[Tensor, "e h w 3"]
    conf_second: Float[Tensor, "e h w"]

    def __post_init__(self) -> None:
        if not len(self.ends):
            raise ValueError("there are no pairs, so there is nothing to align; a single frame is already aligned")
        seen = self.ends.unique().tolist()
        if seen != list(range(len(seen))):
            missing = sorted(set(range(max(seen))) - set(seen))
            raise ValueError(f"frames {missing[:10]} are in no pair; number those that are 0, 1, 2, ... without a gap")
        for name, conf in (("first", self.conf_first), ("second", self.conf_second)):
            if not bool((conf >= 1).all()):
                raise ValueError(f"a confidence of the {name} frames is below 1 or not a number; 1 means: do not use")

    @property
    def frames(self) -> int:
        return int(self.ends.max()) + 1

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) in pixels."""
        return (self.conf_first.shape[1], self.conf_first.shape[2])

    def reordered(self, order: Int[Tensor, "e"]) -> "Pairs":
        """The same pairs in another order."""
        return Pairs(
            self.ends[order],
            self.points_first[order],
            self.conf_first[order],
            self.points_second[order],
            self.conf_second[order],
        )


@dataclass(frozen=True)
class Predictions:
    """The same with each frame's own points once, in half precision (11 bits: a relative error of at most 0.05 %).

    `points_self`: each frame alone, in its own camera. `points_pair`: of the second frame of each pair, in the camera
    of the first. Points that are not finite or excluded have confidence 0. 8 bytes per pixel of a frame or a pair.
    """

    images: UInt8[Tensor, "n h w 3"]
    points_self: Float[Tensor, "n h w 3"]
    conf_self: Float[Tensor, "n h w"]
    ends: Int[Tensor, "e 2"]
    points_pair: Float[Tensor, "e h w 3"]
    conf_pair: Float[Tensor, "e h w"]

    @property
    def frames(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) in pixels."""
        return (self.images.shape[1], self.images.shape[2])

    def pairs(self, *, least: float = LEAST) -> Pairs:
        """Everything in single precision, with the first frame's points again for each pair.

        Args:
            least: Added to each weight. Parity: 0.

        Raises:
            ValueError: A frame is in no pair.
        """
        first = self.ends[:, 0]
        conf_self, conf_pair = (weights_of(conf, least).exp().float() for conf in (self.conf_self, self.conf_pair))
        return Pairs(self.ends, self.points_self[first].float(), conf_self[first], self.points_pair.float(), conf_pair)

    def without(self, excluded: Bool[Tensor, "n h w"]) -> "Predictions":
        """Exclude pixels (masks of frames): their confidence becomes 0."""
        return replace(
            self,
            conf_self=self.conf_self.masked_fill(excluded, 0.0),
            conf_pair=self.conf_pair.masked_fill(excluded[self.ends[:, 1]], 0.0),
        )

    def with_pairs(
        self, ends: Int[Tensor, "k 2"], points: Float[Tensor, "k h w 3"], conf: Float[Tensor, "k h w"]
    ) -> "Predictions":
        """Add pairs at the end."""
        return replace(
            self,
            ends=torch.cat((self.ends, ends)),
            points_pair=torch.cat((self.points_pair, points)),
            conf_pair=torch.cat((self.conf_pair, conf)),
        )

    def in_chunks(self, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Ends, points and confidences of some pairs at a time."""
        yield from zip(self.ends.split(size), self.points_pair.split(size), self.conf_pair.split(size), strict=True)


def compact(
    points: Float[Tensor, "*batch h w 3"], conf: Float[Tensor, "*batch h w"]
) -> tuple[Float[Tensor, "*batch h w 3"], Float[Tensor, "*batch h w"]]:
    """Bring points and confidences to the host in half precision."""
    points, conf = points.half(), conf.clamp(1, torch.finfo(torch.half).max).half()
    usable = points.isfinite().all(dim=-1) & conf.isfinite()
    return points.where(usable[..., None], 0.0).cpu(), conf.where(usable, 0.0).cpu()


def weights_of(conf: Float[Tensor, "*batch"], least: float = LEAST) -> Float[Tensor, "*batch"]:
    """The weights of points in double precision; 0 where they are excluded."""
    return (conf.double().clamp_min(1).log() + least).where(conf > 0, 0.0)


def unit_ratio(depth: Float[Tensor, "h w"], other: Float[Tensor, "h w"]) -> float:
    """How much larger the depth of a frame is than another depth of the same, as a rule; 1 where nobody knows."""
    ratio = depth.float() / other.float()
    known = ratio[(depth > 0) & (other > 0) & ratio.isfinite()]
    return float(known.median()) if len(known) else 1.0
