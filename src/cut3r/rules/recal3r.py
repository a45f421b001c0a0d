"""The rule `recal3r`: a rate of writing that is trusted as far as it is reliable, token by token."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.model.config import ModelConfig
from cut3r.model.decoder import Decoded
from cut3r.model.state import StreamState
from cut3r.model.update import Writing
from cut3r.rules.gate import WRITTEN, common_buffers, give, ranks
from cut3r.rules.statistics import LogitStatistics, Statistic


@dataclass(frozen=True)
class ReCal3R:
    """TTT3R's gate, damped by a token's past writing and by how little the view was a surprise; where a token has
    drifted far or attends to nothing in particular, a fixed rate stands in for it.

    Source: ReCal3R (arXiv 2607.05356); the surprise is each sample's own. Ranks make the rule discontinuous: two tokens
    whose entropies or drifts differ by less than the rounding error may swap, which moves a gate by a thousandth.

    Attributes:
        pressure_decay: Of the running mean of TTT3R's gates, the pressure.
        residual_shift: Change of a view's tokens in the decoder, against their length, that is trusted half.
        base_rate: The fixed rate.
        own_share: Of a token's own rate in its gate; the rest is the mean rate of all tokens.
    """

    pressure_decay: float = 0.95
    residual_shift: float = 0.2
    base_rate: float = 0.1
    own_share: float = 0.5

    def statistics(self) -> LogitStatistics:
        return LogitStatistics(frozenset({Statistic.mean_logit, Statistic.entropy}))

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        tokens, width = config.state.tokens, config.decoder.width
        return common_buffers(batch_size, config, device) | {
            "pressure": torch.zeros(batch_size, tokens, device=device),
            "reference": torch.zeros(batch_size, tokens, width, device=device),  # the state before the first write
        }

    def gate(self, writing: Writing) -> tuple[Float[Tensor, "b s 1"], dict[str, Tensor]]:
        state = writing.state
        written = state.buffers[WRITTEN]
        attended = writing.statistics[Statistic.mean_logit].sigmoid()
        before = state.buffers["pressure"]
        pressure = self.pressure_decay * before + (1 - self.pressure_decay) * attended
        trust = attended * self.surprise(writing.decoded).unsqueeze(-1) * torch.exp(-pressure)
        doubt = doubt_of(prior(state), entropy_rank(writing.statistics[Statistic.entropy]))
        rate = (1 - doubt) * trust + doubt * self.base_rate
        mean = rate.mean(dim=-1, keepdim=True)
        gate, after = give(state, self.own_share * rate + (1 - self.own_share) * mean)
        return gate, after | {
            "pressure": torch.where(written.unsqueeze(-1), pressure, before),
            "reference": torch.where(written[:, None, None], state.buffers["reference"], state.tokens),
        }

    def reset(self, before: StreamState, initial: StreamState) -> StreamState:
        return initial

    def surprise(self, decoded: Decoded) -> Float[Tensor, "b"]:
        """How far the decoder moved the view's tokens, through a sigmoid."""
        embedded = decoded.embedded
        moved = (embedded - decoded.stages[-1].float()).norm(dim=-1).mean(dim=-1)
        length = embedded.norm(dim=-1).mean(dim=-1)
        return torch.sigmoid(moved / (length + 1e-6) - self.residual_shift)


def prior(state: StreamState) -> Float[Tensor, "b s"]:
    """Near 1 for tokens that are still what they were at the start of the stream, 0 for the one that drifted most."""
    drift = (state.tokens - state.buffers["reference"]).norm(dim=-1)
    return 1 - (ranks(drift) + 1) / drift.shape[-1]


def entropy_rank(entropy: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
    """From 0 for the token that attends most sharply to 1 for the one that attends to everything."""
    return ranks(entropy) / max(entropy.shape[-1] - 1, 1)


def doubt_of(prior: Float[Tensor, "b s"], entropy_rank: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
    """How little a token's own rate is believed: 0 where prior and attention are both sure of it."""
    for_it, against = prior * (1 - entropy_rank), (1 - prior) * entropy_rank
    belief = for_it / (for_it + against + 1e-8)
    return 1 - belief * (1 - 4 * belief * (1 - belief))
