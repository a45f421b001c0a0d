"""The rule `filt3r`: each token is the state of a scalar Kalman filter."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.model.config import ModelConfig
from cut3r.model.state import StreamState
from cut3r.model.update import Writing
from cut3r.rules.gate import WRITTEN, common_buffers, give


@dataclass(frozen=True)
class FILT3R:
    """The gate is the filter's gain; its process noise follows how much the proposals change.

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

    def statistics(self) -> None:
        return None

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        tokens, width = config.state.tokens, config.decoder.width
        return common_buffers(batch_size, config, device) | {
            "candidate": torch.zeros(batch_size, tokens, width, device=device),
            "variance": torch.full((batch_size, tokens), self.p_init, device=device),
            "change": torch.zeros(batch_size, device=device),  # running mean; 0 is unset
        }

    def gate(self, writing: Writing) -> tuple[Float[Tensor, "b s 1"], dict[str, Tensor]]:
        buffers, candidate = writing.state.buffers, writing.decoded.candidate
        delta = (candidate - buffers["candidate"]).norm(dim=-1)  # b s
        mean, before = delta.mean(dim=-1), buffers["change"]
        change = torch.where(before == 0, mean, (1 - self.beta_delta) * before + self.beta_delta * mean)
        change = change.clamp_min(self.delta_floor)
        surprise = torch.sigmoid(self.alpha_q * (delta / (change.unsqueeze(-1) + 1e-6) - self.tau_q))
        predicted = self.gamma_p * buffers["variance"] + self.q_min + (self.q_max - self.q_min) * surprise
        gain = (predicted / (predicted + self.r + 1e-6)).clamp(self.k_min, self.k_max)
        variance = ((1 - gain) ** 2 * predicted + gain**2 * self.r).clamp_min(1e-6)
        gate, after = give(writing.state, gain)
        written = buffers[WRITTEN]
        return gate, after | {
            "candidate": candidate,
            "variance": torch.where(written.unsqueeze(-1), variance, buffers["variance"]),
            "change": torch.where(written, change, before),
        }

    def reset(self, before: StreamState, initial: StreamState) -> StreamState:
        return initial
