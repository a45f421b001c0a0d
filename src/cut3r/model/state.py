"""What the network remembers of a stream: a value. Keeping a reference is a snapshot; using it is restoring."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class StreamState:
    """The memory of b streams. Nothing in it grows with the number of views.

    `tokens` is the scene; `memory` the pose memory ([key | value] slots). `is_new` marks streams that have not seen a
    view: their next view takes its pose query from a learned token instead of the memory.
    """

    tokens: Float[Tensor, "b s d"]
    memory: Float[Tensor, "b m dd"]
    is_new: Bool[Tensor, "b"]

    @property
    def batch_size(self) -> int:
        return self.tokens.shape[0]

    def to(self, device: torch.device | str) -> "StreamState":
        return self._map(lambda tensor: tensor.to(device))

    def clone(self) -> "StreamState":
        """Copy the tensors, for a caller that changes tensors in place."""
        return self._map(lambda tensor: tensor.detach().clone())

    def detach(self) -> "StreamState":
        """Cut the state out of the graph: truncated back-propagation."""
        return self._map(lambda tensor: tensor.detach())

    def _map(self, change: Any) -> "StreamState":
        return StreamState(**{field.name: change(getattr(self, field.name)) for field in fields(self)})


def write_where(
    mask: Bool[Tensor, "b"], new: Float[Tensor, "b k d"], old: Float[Tensor, "b k d"]
) -> Float[Tensor, "b k d"]:
    """Take `new` for the samples whose mask is True and keep `old` for the others."""
    if bool(mask.all()):
        return new
    return torch.where(mask.to(new.device)[:, None, None], new, old)
