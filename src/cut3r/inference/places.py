"""Where all chunks of a stream stand, and what can put them elsewhere: places that are seen again.

A session keeps few frames of the past (anchors), spread evenly over the stream, and asks a `LoopCloser` at the end of
each chunk. Whoever closes loops needs graphs and solvers, so it comes from a higher floor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from cut3r.geometry.registration import Similarity
from cut3r.inference.joints import Joint, Sight

MOST = 256  # anchors: 0.65 MB each at 512x384
SPACING = 5  # frames between anchors; doubles when there are too many


@dataclass(frozen=True)
class Anchor:
    """A frame of the past: its picture, to see it again, and where its chunk saw its points."""

    number: int
    chunk: int
    image: UInt8[np.ndarray, "h w 3"]
    said: Float[Tensor, "d"]  # its mean token: what is in it
    sight: Sight


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
    spacing: int = SPACING
    loops: tuple[ClosedLoop, ...] = ()
    world_from_chunk: dict[int, Similarity] = field(default_factory=dict)
    changed: dict[int, Similarity] = field(default_factory=dict)
    searched: int = 0  # frames before this number have been compared with all others

    def noted(self, anchor: Anchor) -> "Places":
        """With another frame, unless it is too near the last one."""
        if self.anchors and anchor.number - self.anchors[-1].number < self.spacing:
            return self
        anchors, spacing = (*self.anchors, anchor), self.spacing
        if len(anchors) > MOST:
            anchors, spacing = anchors[::2], 2 * spacing
        return replace(self, anchors=anchors, spacing=spacing)

    def placed(self, chunk: int, world_from_chunk: Similarity) -> "Places":
        return replace(self, world_from_chunk=self.world_from_chunk | {chunk: world_from_chunk})


Look = Callable[[Sequence[Anchor]], list[Sight]]  # shows some frames to a network that has seen nothing


@runtime_checkable
class LoopCloser(Protocol):
    """Finds places that are seen again. It must give the same answer to the same question."""

    def close(self, places: Places, joints: Sequence[Joint], look: Look) -> Places:
        """Compare what has come since the last search with all before, and say where chunks stand and what moved."""
        ...
