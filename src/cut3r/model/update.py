"""How a view is written into the state: the published overwriting; `cut3r.rules` has others, for long streams.

All rules have one form: each state token moves a share of the way to what the decoder proposes, old + gate (new - old),
with a gate in [0, 1]. The pose memory is not gated.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.model.config import ModelConfig
from cut3r.model.encoder import Tokens
from cut3r.model.state import StreamState


@dataclass(frozen=True)
class Writing:
    """What a rule may look at: the state before, the decoder's proposal, the view, and its statistics of attention."""

    state: StreamState
    candidate: Float[Tensor, "b s d"]
    tokens: Tokens
    statistics: Any


@runtime_checkable
class UpdateRule(Protocol):
    """A way to write. Its `repr` names it with its constants, which saved sessions keep; frozen dataclasses do that.

    `reset_is_new_stream`: after a reset inside a stream the next view counts as the first of one; the original's
    overwriting does not do so.
    """

    reset_is_new_stream: bool

    def statistics(self) -> Any:
        """Give what is told, layer by layer, the state's queries and the view's keys (`add(q, k)`), or None."""

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        """Give the buffers of streams that have seen nothing. Their names never change."""

    def gate(self, writing: Writing) -> tuple[Float[Tensor, "b s 1"] | None, dict[str, Tensor]]:
        """Give the gate of each sample, None for 1 everywhere, and the buffers after it.

        The caller keeps both away from samples that are not written. May not ask the device for a value.
        """


@dataclass(frozen=True)
class Overwrite:
    """The published rule: the state becomes what the decoder proposes."""

    reset_is_new_stream = False

    def statistics(self) -> None:
        return None

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        return {}

    def gate(self, writing: Writing) -> tuple[None, dict[str, Tensor]]:
        return None, {}


OVERWRITE = Overwrite()
