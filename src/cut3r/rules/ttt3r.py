"""The rule `ttt3r`: tokens that attend to the view are written more."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.model.config import ModelConfig
from cut3r.model.state import StreamState
from cut3r.model.update import Writing
from cut3r.rules.gate import common_buffers, give
from cut3r.rules.statistics import LogitStatistics, Statistic


@dataclass(frozen=True)
class TTT3R:
    """The gate is the mean logit of the token's attention through a sigmoid.

    Source: TTT3R (arXiv 2509.26645); the logits of each sample are its own.
    """

    def statistics(self) -> LogitStatistics:
        return LogitStatistics(frozenset({Statistic.mean_logit}))

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        return common_buffers(batch_size, config, device)

    def gate(self, writing: Writing) -> tuple[Float[Tensor, "b s 1"], dict[str, Tensor]]:
        return give(writing.state, writing.statistics[Statistic.mean_logit].sigmoid())

    def reset(self, before: StreamState, initial: StreamState) -> StreamState:
        return initial
