"""The mask `memix`: only the tokens whose proposals agree least with the view are written, by whatever rule."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.model.config import ModelConfig
from cut3r.model.state import StreamState
from cut3r.model.update import OVERWRITE, UpdateRule, Writing
from cut3r.rules.gate import GATE, WRITTEN, common_buffers


@dataclass(frozen=True)
class MeMix:
    """Writes some tokens by another rule; the others keep their values exactly. The pose memory is not masked.

    Source: MeMix (arXiv 2603.15330), which writes 708 of 768 tokens.

    Attributes:
        inner: The other rule.
        share: Of the blocks that are written, the ones with the lowest scores.
        blocks: About equal runs of tokens that are written or kept together; 0 for tokens one by one.
        protected: The number of a block that is never written; -1 for none.
        mask_first_view: As the published code: mask the first view of a stream, too.
        published_reset: As the published code: a reset gives back the first state and memory, but the buffers stay, and
            the next view is not the first of a stream.
    """

    inner: UpdateRule = OVERWRITE
    share: float = 708 / 768
    blocks: int = 0
    protected: int = -1
    mask_first_view: bool = False
    published_reset: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.inner, UpdateRule) or isinstance(self.inner, MeMix):
            raise ValueError(f"memix masks another rule, such as TTT3R(), and not {self.inner!r}")
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; memix writes a share of the tokens above 0 and up to 1")
        if self.blocks < 0:
            raise ValueError(f"blocks is {self.blocks}; give their number, or 0 for tokens one by one")

    def statistics(self) -> Any:
        return self.inner.statistics()

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        ours = common_buffers(batch_size, config, device)
        return ours | self.inner.initial_buffers(batch_size, config, device)

    def gate(self, writing: Writing) -> tuple[Float[Tensor, "b s 1"], dict[str, Tensor]]:
        buffers = writing.state.buffers
        inner, after = self.inner.gate(writing)
        mask = self.mask(self.scores(writing), buffers[GATE].shape[-1])
        if not self.mask_first_view:
            mask = torch.where(buffers[WRITTEN].unsqueeze(-1), mask, 1.0)
        gate = mask if inner is None else mask * inner.squeeze(-1)
        ours = {**buffers, WRITTEN: torch.ones_like(buffers[WRITTEN])}
        return gate.unsqueeze(-1), ours | after | {GATE: gate}

    def reset(self, before: StreamState, initial: StreamState) -> StreamState:
        return replace(before, tokens=initial.tokens, memory=initial.memory) if self.published_reset else initial

    def scores(self, writing: Writing) -> Float[Tensor, "b blocks"]:
        """How well each block's proposals agree with the view: their mean product with its mean embedded token."""
        view = writing.decoded.embedded.mean(dim=1).unsqueeze(-1)  # b d 1
        scores = (writing.decoded.candidate @ view).squeeze(-1)  # b s
        runs = scores.split(self._tokens_of_a_block(scores.shape[-1]), dim=-1)
        return scores if self.blocks == 0 else torch.stack([run.mean(dim=-1) for run in runs], dim=-1)

    def mask(self, scores: Float[Tensor, "b blocks"], tokens: int) -> Float[Tensor, "b s"]:
        """1 for the tokens of the lowest-scored blocks, 0 for the others."""
        blocks = scores.shape[-1]
        count = round(self.share * blocks)
        if 0 <= self.protected < blocks:
            scores, count = scores.clone(), min(count, blocks - 1)
            scores[:, self.protected] = torch.inf
        lowest = scores.argsort(dim=-1, stable=True)[:, :count]
        mask = torch.zeros_like(scores).scatter(-1, lowest, 1.0)
        return mask.repeat_interleave(self._tokens_of_a_block(tokens), dim=-1)[:, :tokens]

    def _tokens_of_a_block(self, tokens: int) -> int:
        return math.ceil(tokens / self.blocks) if self.blocks else 1
