"""What every rule of a long stream keeps beside its own buffers, and how its gate is given out.

`written`: which streams hold a view; `gate`: of the last view that was written; `not_a_number`: how many gates of
tokens came out as no number so far.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.model.config import ModelConfig
from cut3r.model.state import StreamState

WRITTEN, GATE, NOT_A_NUMBER = "written", "gate", "not_a_number"


def common_buffers(batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
    return {
        WRITTEN: torch.zeros(batch_size, dtype=torch.bool, device=device),
        GATE: torch.zeros(batch_size, config.state.tokens, device=device),
        NOT_A_NUMBER: torch.zeros(batch_size, dtype=torch.int64, device=device),
    }


def give(state: StreamState, gate: Float[Tensor, "b s"]) -> tuple[Float[Tensor, "b s 1"], dict[str, Tensor]]:
    """Give a gate and the common buffers after it: the first written view of a stream is written whole.

    A gate that is not a number writes nothing, and is counted.
    """
    written = state.buffers[WRITTEN].unsqueeze(-1)  # b 1
    gate = torch.where(written, gate.float(), 1.0)
    strange = gate.isnan().sum(dim=-1)
    gate = gate.nan_to_num(nan=0.0).clamp(0, 1)
    after = {
        WRITTEN: torch.ones_like(state.buffers[WRITTEN]),
        GATE: gate,
        NOT_A_NUMBER: state.buffers[NOT_A_NUMBER] + strange,
    }
    return gate.unsqueeze(-1), after


def ranks(values: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
    """The place of each value among those of its sample, 0 for the smallest; of equal ones the first comes first."""
    order = values.argsort(dim=-1, stable=True)
    places = torch.arange(values.shape[-1], device=values.device, dtype=values.dtype).expand_as(values)
    return torch.empty_like(values).scatter(-1, order, places)
