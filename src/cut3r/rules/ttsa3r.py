"""The rule `ttsa3r`: tokens whose proposal changes, and that attend to what changes in the view, are written more."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.model.config import ModelConfig
from cut3r.model.encoder import Tokens
from cut3r.model.state import StreamState
from cut3r.model.update import Writing
from cut3r.rules.gate import common_buffers, give
from cut3r.rules.statistics import LogitStatistics, Statistic


@dataclass(frozen=True)
class TTSA3R:
    """The gate is a product of two: how a token's proposal changes, and how it attends to patches that change.

    Source: TTSA3R (arXiv 2601.22615); a view that is not written changes neither the state nor the buffers.

    Attributes:
        shift: Changes so many times the mean change are written half.
        most_tokens: Of a view, which the buffer must hold until the next one; 0 for as many as a square picture of the
            size that the network was trained at has.
        published_reset: As the published code: after a reset the next pose query is read from the memory.

    Raises:
        ValueError: `gate`: The view has more tokens than that.
    """

    shift: float = 1.5
    most_tokens: int = 0
    published_reset: bool = False

    def __post_init__(self) -> None:
        if self.most_tokens < 0:
            raise ValueError(f"most_tokens is {self.most_tokens}; give their number, or 0 for the usual one")

    def statistics(self) -> LogitStatistics:
        return LogitStatistics(frozenset({Statistic.mean_logits}))

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        most = self.most_tokens or (max(config.image_size) // config.patch_size) ** 2
        return common_buffers(batch_size, config, device) | {
            "candidate": torch.zeros(batch_size, config.state.tokens, config.decoder.width, device=device),
            "features": torch.zeros(batch_size, most, config.encoder.width, device=device),
            "grid": torch.zeros(batch_size, 2, dtype=torch.int64, device=device),  # of the features: rows, columns
        }

    def gate(self, writing: Writing) -> tuple[Float[Tensor, "b s 1"], dict[str, Tensor]]:
        gate, after = give(writing.state, self.temporal(writing) * self.spatial(writing))
        rows, columns = writing.tokens.grid
        features, places = writing.tokens.features.float(), writing.state.buffers["features"].shape[1]
        grid = torch.ones_like(writing.state.buffers["grid"])
        return gate, after | {
            "candidate": writing.decoded.candidate,
            "features": torch.nn.functional.pad(features, (0, 0, 0, places - features.shape[1])),
            "grid": torch.stack((rows * grid[:, 0], columns * grid[:, 1]), dim=-1),
        }

    def reset(self, before: StreamState, initial: StreamState) -> StreamState:
        return replace(initial, is_new=before.is_new) if self.published_reset else initial

    def temporal(self, writing: Writing) -> Float[Tensor, "b s"]:
        """A gate from the change of each token's proposal since the last written view, against the mean change."""
        change = (writing.decoded.candidate - writing.state.buffers["candidate"]).norm(dim=-1)
        return torch.sigmoid(change / change.mean(dim=-1, keepdim=True) - self.shift)

    def spatial(self, writing: Writing) -> Float[Tensor, "b s"]:
        """A gate from how each token attends to the patches that changed most for it: at least a half."""
        attention = writing.statistics[Statistic.mean_logits].abs()  # b s n
        changed = dissimilarity(writing.tokens, writing.state)
        return torch.sigmoid((attention * changed.unsqueeze(1)).amax(dim=-1))


def dissimilarity(tokens: Tokens, state: StreamState) -> Float[Tensor, "b n"]:
    """1 - cosine of each patch's encoder token and that of the last written view; 1 if that had another size.

    Raises:
        ValueError: The view has more tokens than the buffer holds.
    """
    features, (rows, columns) = tokens.features.float(), tokens.grid
    earlier, grid = state.buffers["features"], state.buffers["grid"]
    if features.shape[1] > earlier.shape[1]:
        raise ValueError(
            f"the rule ttsa3r keeps {earlier.shape[1]} tokens of a view, and this one has {features.shape[1]}; "
            f"use smaller frames, or the constant most_tokens={features.shape[1]}"
        )
    earlier = earlier[:, : features.shape[1]]
    cosine = (features * earlier).sum(dim=-1) / (features.norm(dim=-1) * earlier.norm(dim=-1))
    same_size = (grid[:, 0] == rows) & (grid[:, 1] == columns)
    return torch.where(same_size.unsqueeze(-1), 1 - cosine, 1.0)
