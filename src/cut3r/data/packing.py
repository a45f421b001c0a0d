"""A batch in one piece of memory, for the way from a data worker to the trainer.

Handing over a tensor costs about a third of a millisecond and an open file, and a batch has 13 tensors per view. So a
worker writes them all into one shared tensor, which the trainer reads in place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from cut3r.data.view import CompactView

ALIGNMENT = 64  # bytes: every tensor begins on a cache line, which suits any type


@dataclass(frozen=True)
class Slot:
    """Where a stacked tensor lies."""

    offset: int  # bytes
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def end(self) -> int:
        return self.offset + prod(self.shape) * self.dtype.itemsize

    def of(self, memory: UInt8[Tensor, "bytes"]) -> Tensor:
        """Look at this part of the memory as the tensor that it is; nothing is copied."""
        return memory[self.offset : self.end].view(self.dtype).view(self.shape)


@dataclass(frozen=True)
class PackedBatch:
    """V views of B samples; `unpack` gives them without copying."""

    memory: UInt8[Tensor, "bytes"]
    slots: list[dict[str, Slot]]  # of each view, by field
    labels: list[list[str]]  # of each view
    include_translation: bool

    def unpack(self) -> list[CompactView]:
        views = []
        for slots, labels in zip(self.slots, self.labels, strict=True):
            tensors: dict[str, Any] = {name: slot.of(self.memory) for name, slot in slots.items()}
            views.append(CompactView(**tensors, label=labels, include_translation=self.include_translation))
        return views

    def pin_memory(self) -> "PackedBatch":
        """Copy to page-locked memory; torch's DataLoader calls this by name."""
        return replace(self, memory=self.memory.pin_memory())


def pack(samples: Sequence[Sequence[CompactView]], *, shared: bool) -> PackedBatch:
    """Stack B samples of V views: tensors `...` of a sample become `b ...`, one after the other in memory.

    Args:
        samples: With the same number of views each, and equal shapes in the views of a number.
        shared: In memory that another process can read.

    Raises:
        ValueError: The samples have different numbers of views.
        RuntimeError: Shapes differ.
    """
    by_view = list(zip(*samples, strict=True))
    slots: list[dict[str, Slot]] = []
    end = 0
    for views in by_view:
        placed = {}
        for name, tensor in views[0].tensors().items():
            start = -(-end // ALIGNMENT) * ALIGNMENT
            placed[name] = Slot(start, (len(views), *tensor.shape), tensor.dtype)
            end = placed[name].end
        slots.append(placed)
    memory = torch.empty(end, dtype=torch.uint8)
    memory = memory.share_memory_() if shared else memory
    for views, placed in zip(by_view, slots, strict=True):
        for name, slot in placed.items():
            torch.stack([getattr(view, name) for view in views], out=slot.of(memory))
    labels = [[str(view.label) for view in views] for views in by_view]
    return PackedBatch(memory, slots, labels, by_view[0][0].include_translation)
