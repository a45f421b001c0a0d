"""What the network remembers of a stream: a value. Keeping a reference is a snapshot; using it is restoring."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

BUFFER = "buffer."  # before the names of a rule's buffers, among the tensors of a state


@dataclass(frozen=True)
class StreamState:
    """The memory of b streams. Nothing in it grows with the number of views.

    `tokens` is the scene; `memory` the pose memory ([key | value] slots). `is_new` marks streams that have not seen a
    view: their next view takes its pose query from a learned token instead of the memory. `buffers` belong to the rule
    by which views are written (`cut3r.model.update`), by name; the first axis is the stream's.
    """

    tokens: Float[Tensor, "b s d"]
    memory: Float[Tensor, "b m dd"]
    is_new: Bool[Tensor, "b"]
    buffers: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def batch_size(self) -> int:
        return self.tokens.shape[0]

    def tensors(self) -> dict[str, Tensor]:
        """Everything in it by name, in an order that depends on the names alone."""
        buffers = {BUFFER + name: self.buffers[name] for name in sorted(self.buffers)}
        return {"tokens": self.tokens, "memory": self.memory, "is_new": self.is_new, **buffers}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "StreamState":
        """Make a state of what `tensors` gave."""
        buffers = {name.removeprefix(BUFFER): value for name, value in tensors.items() if name.startswith(BUFFER)}
        return cls(tensors["tokens"], tensors["memory"], tensors["is_new"], buffers)

    def to(self, device: torch.device | str) -> "StreamState":
        return self._map(lambda tensor: tensor.to(device))

    def clone(self) -> "StreamState":
        """Copy the tensors, for a caller that changes tensors in place."""
        return self._map(lambda tensor: tensor.detach().clone())

    def detach(self) -> "StreamState":
        """Cut the state out of the graph: truncated back-propagation."""
        return self._map(lambda tensor: tensor.detach())

    def _map(self, change: Callable[[Tensor], Tensor]) -> "StreamState":
        return StreamState.from_tensors({name: change(tensor) for name, tensor in self.tensors().items()})


def merge(mask: Bool[Tensor, "b"], new: StreamState, old: StreamState) -> StreamState:
    """Take the streams whose mask is True from `new` and the others from `old`."""
    olds = old.tensors()
    return StreamState.from_tensors(
        {name: write_where(mask, value, olds[name]) for name, value in new.tensors().items()}
    )


def write_where(
    mask: Bool[Tensor, "b"], new: Shaped[Tensor, "b *rest"], old: Shaped[Tensor, "b *rest"]
) -> Shaped[Tensor, "b *rest"]:
    """Take `new` for the samples whose mask is True and keep `old` for the others."""
    if bool(mask.all()):
        return new
    return torch.where(mask.to(new.device).view(-1, *[1] * (new.ndim - 1)), new, old)


def blend(
    gate: Float[Tensor, "b s 1"] | None, new: Float[Tensor, "b s d"], old: Float[Tensor, "b s d"]
) -> Float[Tensor, "b s d"]:
    """Move each token the share `gate` of the way from old to new; None is all the way. 0 and 1 are exact."""
    if gate is None:
        return new
    return torch.where(gate == 1, new, old + gate * (new - old))
