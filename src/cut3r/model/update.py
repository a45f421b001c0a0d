"""How a view is written into the state: the published overwriting; `cut3r.rules` has others, for long streams.

All rules have one form: each state token moves a share of the way to what the decoder proposes, old + gate (new - old),
with a gate in [0, 1]. The pose memory is not gated.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.model.config import ModelConfig
from cut3r.model.decoder import Decoded
from cut3r.model.encoder import Tokens
from cut3r.model.state import StreamState


@dataclass(frozen=True)
class Writing:
    """What a rule may look at: the state before, the decoder's proposal (`decoded.candidate`) and what became of the
    view's tokens, those tokens, and the statistics of attention that the rule asked for."""

    state: StreamState
    decoded: Decoded
    tokens: Tokens
    statistics: Any


@runtime_checkable
class UpdateRule(Protocol):
    """A way to write. Its `repr` names it with its constants, which saved sessions keep; frozen dataclasses do that."""

    def statistics(self) -> Any:
        """Give what is told, layer by layer, the state's queries and the view's keys (`add(q, k)`), or None."""

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        """Give the buffers of streams that have seen nothing. Their names never change."""

    def gate(self, writing: Writing) -> tuple[Float[Tensor, "b s 1"] | None, dict[str, Tensor]]:
        """Give the gate of each sample, None for 1 everywhere, and the buffers after it.

        The caller keeps both away from samples that are not written. May not ask the device for a value.
        """

    def reset(self, before: StreamState, initial: StreamState) -> StreamState:
        """Give what a reset makes of a state: the initial one, unless published code does otherwise."""


@dataclass(frozen=True)
class Overwrite:
    """The published rule: the state becomes what the decoder proposes."""

    def statistics(self) -> None:
        return None

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        return {}

    def gate(self, writing: Writing) -> tuple[None, dict[str, Tensor]]:
        return None, {}

    def reset(self, before: StreamState, initial: StreamState) -> StreamState:
        # Parity: a reset of the original does not make a stream new; the next pose query is read from the memory
        return replace(initial, is_new=before.is_new)


OVERWRITE = Overwrite()
