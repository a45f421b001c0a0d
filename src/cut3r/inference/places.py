"""Where all chunks of a stream stand, and what can put them elsewhere: places that are seen again.

A session keeps few frames of the past (anchors), spread evenly over the stream, and asks a `LoopCloser` at the end of
each chunk. Whoever closes loops needs graphs and solvers, so it comes from a higher floor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from cut3r.geometry.registration import Similarity
from cut3r.inference.joints import Joint, Sight

MOST = 256  # anchors: 0.65 MB each at 512x384
SPACING = 5  # frames between anchors
BLOCK = 5  # anchors in a row that are kept, or forgotten, together: each sees what its neighbours see


@dataclass(frozen=True)
class Anchor:
    """A frame of the past: its picture, to see it again, and where its chunk saw its points."""

    number: int
    chunk: int
    image: UInt8[np.ndarray, "h w 3"]
    said: Float[Tensor, "d"]  # its mean token: what is in it
    sight: Sight
    order: int = 0  # how many anchors were noted before it, also those that are forgotten


@dataclass(frozen=True)
class ClosedLoop:
    """Two frames that may show the same place, and what became of that: `refused` says why, or is empty.

    `place` brings the chunk of the second frame into that of the first, as measured where one looked at both.
    """

    first: int
    second: int
    chunks: tuple[int, int]
    similarity: float
    place: Similarity
    residual_m: float
    refused: str

    def report(self) -> dict[str, Any]:
        """What a JSON file can hold."""
        said = {"first": self.first, "second": self.second, "chunks": list(self.chunks), "refused": self.refused}
        numbers = {"similarity": self.similarity, "residual_m": self.residual_m}
        return said | numbers | {"place": self.place.matrix().tolist()}

    @classmethod
    def reported(cls, said: dict[str, Any]) -> "ClosedLoop":
        """Of its report."""
        first, second = (int(chunk) for chunk in said["chunks"])
        place = Similarity.from_matrix(torch.tensor(said["place"], dtype=torch.float64))
        return cls(**said | {"chunks": (first, second), "place": place})


@dataclass(frozen=True)
class Places:
    """What is known of all chunks: bounded but for a place, a joint and few loops per chunk.

    `changed` are chunks that stand elsewhere since the last result.
    """

    anchors: tuple[Anchor, ...] = ()
    loops: tuple[ClosedLoop, ...] = ()
    world_from_chunk: dict[int, Similarity] = field(default_factory=dict)
    changed: dict[int, Similarity] = field(default_factory=dict)
    searched: int = 0  # frames before this number have been compared with all others

    def noted(self, anchor: Anchor) -> "Places":
        """With another frame, unless it is too near the last one; and without old ones, if there are too many."""
        if self.anchors and anchor.number - self.anchors[-1].number < SPACING:
            return self
        anchor = replace(anchor, order=self.anchors[-1].order + 1 if self.anchors else 0)
        return replace(self, anchors=_thinned((*self.anchors, anchor)))

    def placed(self, chunk: int, world_from_chunk: Similarity) -> "Places":
        return replace(self, world_from_chunk=self.world_from_chunk | {chunk: world_from_chunk})


def _thinned(anchors: tuple[Anchor, ...]) -> tuple[Anchor, ...]:
    """Without one block if there are too many: a short one, or that between those nearest to each other, so that the
    others are spread over the stream."""
    if len(anchors) <= MOST:
        return anchors
    blocks = [tuple(block) for _, block in groupby(anchors, lambda each: (each.chunk, each.order // BLOCK))]
    if len(blocks) < 3:
        return anchors[1:]
    worth = [
        (len(block) > BLOCK // 2, after[0].order - before[-1].order)
        for before, block, after in zip(blocks, blocks[1:], blocks[2:], strict=False)
    ]
    del blocks[1 + worth.index(min(worth))]
    return tuple(chain.from_iterable(blocks))


Look = Callable[[Sequence[Anchor]], list[Sight]]  # shows some frames to a network that has seen nothing


@runtime_checkable
class LoopCloser(Protocol):
    """Finds places that are seen again. It must give the same answer to the same question."""

    def close(self, places: Places, joints: Sequence[Joint], look: Look) -> Places:
        """Compare what has come since the last search with all before, and say where chunks stand and what moved."""
        ...
