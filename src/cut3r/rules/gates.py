"""Rules for long streams: how much of what the decoder proposes each state token takes over.

The first view that is written into a stream is written whole. Rules need no training: they run on any weights.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cut3r.model.config import ModelConfig
from cut3r.model.state import StreamState
from cut3r.model.update import Overwrite, Writing
from cut3r.rules.statistics import LogitStatistics, Statistic

WRITTEN = "written"  # the buffer of every rule: which streams hold a view


@dataclass(frozen=True)
class TTT3R:
    """Tokens that attend to the view are written more: the mean logit through a sigmoid.

    Source: TTT3R (arXiv 2509.26645); the logits of each sample are its own.
    """

    reset_is_new_stream = True

    def statistics(self) -> LogitStatistics:
        return LogitStatistics(frozenset({Statistic.mean_logit}))

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        return {WRITTEN: torch.zeros(batch_size, dtype=torch.bool, device=device)}

    def gate(self, writing: Writing) -> tuple[Float[Tensor, "b s 1"], dict[str, Tensor]]:
        gate = writing.statistics[Statistic.mean_logit].sigmoid()
        return after_the_first(writing.state, gate), {WRITTEN: all_true(writing.state)}


@dataclass(frozen=True)
class FILT3R:
    """A scalar Kalman filter per token, whose process noise follows how much the proposals change.

    Source: FILT3R (arXiv 2603.18493), with the constants of its code. `r`: variance of a proposal.
    """

    p_init: float = 1.5
    gamma_p: float = 1.0
    q_min: float = 0.02
    q_max: float = 0.50
    alpha_q: float = 20.0
    tau_q: float = 3.0
    beta_delta: float = 0.05
    delta_floor: float = 0.01
    r: float = 1.0
    k_min: float = 0.01
    k_max: float = 0.99

    reset_is_new_stream = True

    def statistics(self) -> None:
        return None

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        tokens, width = config.state.tokens, config.decoder.width
        return {
            WRITTEN: torch.zeros(batch_size, dtype=torch.bool, device=device),
            "candidate": torch.zeros(batch_size, tokens, width, device=device),
            "variance": torch.full((batch_size, tokens), self.p_init, device=device),
            "change": torch.zeros(batch_size, device=device),  # running mean; 0 is unset
        }

    def gate(self, writing: Writing) -> tuple[Float[Tensor, "b s 1"], dict[str, Tensor]]:
        buffers = writing.state.buffers
        delta = (writing.candidate - buffers["candidate"]).norm(dim=-1)  # b s
        mean, before = delta.mean(dim=-1), buffers["change"]
        change = torch.where(before == 0, mean, (1 - self.beta_delta) * before + self.beta_delta * mean)
        change = change.clamp_min(self.delta_floor)
        surprise = torch.sigmoid(self.alpha_q * (delta / (change.unsqueeze(-1) + 1e-6) - self.tau_q))
        predicted = self.gamma_p * buffers["variance"] + self.q_min + (self.q_max - self.q_min) * surprise
        gain = (predicted / (predicted + self.r + 1e-6)).clamp(self.k_min, self.k_max)
        variance = ((1 - gain) ** 2 * predicted + gain**2 * self.r).clamp_min(1e-6)
        first = ~buffers[WRITTEN]
        after = {
            WRITTEN: all_true(writing.state),
            "candidate": writing.candidate,
            "variance": torch.where(first.unsqueeze(-1), buffers["variance"], variance),
            "change": torch.where(first, before, change),
        }
        return after_the_first(writing.state, gain), after


RULES: dict[str, type[Any]] = {"overwrite": Overwrite, "ttt3r": TTT3R, "filt3r": FILT3R}


def after_the_first(state: StreamState, gate: Float[Tensor, "b s"]) -> Float[Tensor, "b s 1"]:
    """Write the first view of a stream whole. A gate that is not a number writes nothing."""
    gate = gate.float().nan_to_num(nan=0.0).clamp(0, 1)
    return torch.where(state.buffers[WRITTEN].unsqueeze(-1), gate, 1.0).unsqueeze(-1)


def all_true(state: StreamState) -> Bool[Tensor, "b"]:
    return torch.ones_like(state.is_new)
