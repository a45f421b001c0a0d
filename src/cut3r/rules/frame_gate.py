"""The gate `frame`: one number per view, by which any rule's gates are multiplied. Experimental; constants of ours.

Dense video hardly changes from frame to frame, and each frame written makes the state forget a little. A view that
shows nothing new should write little: a soft choice of keyframes. The concept is published (arXiv 2605.16981), its
closed form is not, so `FrameWeight` is a place for others, and `Change` one of our own.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from cut3r.model.config import ModelConfig
from cut3r.model.state import StreamState
from cut3r.model.update import OVERWRITE, UpdateRule, Writing
from cut3r.rules.gate import GATE, NOT_A_NUMBER, WRITTEN, common_buffers, give
from cut3r.rules.memix import MeMix

WEIGHT = "frame_weight"  # buffer: the number that the last written view got


@runtime_checkable
class FrameWeight(Protocol):
    """Says how much of a view is written at all. A frozen dataclass, because its `repr` becomes part of the rule's."""

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        """Give the buffers of streams that have seen nothing; their names begin with `frame_`."""

    def weigh(self, writing: Writing) -> tuple[Float[Tensor, "b"], dict[str, Tensor]]:
        """Give each sample's number in [0, 1], and the buffers after it. May not ask the device for a value.

        The first written view of a stream is written whole, whatever this says.
        """


@dataclass(frozen=True)
class Change:
    """A view is written as far as it differs from the last one that was written by half or more.

    The difference, 1 - cosine of the mean encoder tokens, is measured against what is large in this stream: its
    `percentile` over the last `window` written views.

    Attributes:
        least: So much of every view is written.
        key: From this weight on a view is the one that later ones are compared with.
        percentile: Of the differences; such a one, and all above, are written whole.
        window: Written views.
        still: Differences below it are noise of a camera that stands still, also where all are so small.
    """

    least: float = 0.05
    key: float = 0.5
    percentile: float = 0.9
    window: int = 100
    still: float = 1e-4

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.key <= 1:
            raise ValueError(f"least is {self.least} and key {self.key}; give 0 <= least <= key <= 1")
        if not 0 < self.percentile <= 1:
            raise ValueError(f"percentile is {self.percentile}; give a share above 0 and up to 1, such as 0.9")
        if self.window < 1 or self.still <= 0:
            raise ValueError(f"window is {self.window} and still {self.still}; give at least 1 view, and more than 0")

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        return {
            "frame_key": torch.zeros(batch_size, config.encoder.width, device=device),  # mean token
            "frame_changes": torch.full((batch_size, self.window), torch.inf, device=device),  # a ring; inf is empty
            "frame_count": torch.zeros(batch_size, dtype=torch.int64, device=device),  # of changes, ever
        }

    def weigh(self, writing: Writing) -> tuple[Float[Tensor, "b"], dict[str, Tensor]]:
        buffers = writing.state.buffers
        written, count = buffers[WRITTEN], buffers["frame_count"]
        said = writing.tokens.features.float().mean(dim=1)  # b d
        # half the squared chord: 1 - cosine would lose what is below 1e-7
        change = (normalize(said, dim=-1) - normalize(buffers["frame_key"], dim=-1)).square().sum(dim=-1) / 2
        changes = buffers["frame_changes"].scatter(1, (count % self.window)[:, None], change[:, None])
        usual = _percentile(changes, (count + 1).clamp(max=self.window), self.percentile)
        weight = (change / usual.clamp_min(self.still)).clamp(self.least, 1)
        is_key = ~written | (weight >= self.key)
        return weight, {
            "frame_key": torch.where(is_key[:, None], said, buffers["frame_key"]),
            "frame_changes": torch.where(written[:, None], changes, buffers["frame_changes"]),
            "frame_count": torch.where(written, count + 1, count),
        }


@dataclass(frozen=True)
class FrameGate:
    """Multiplies another rule's gates by one number per view. The pose memory is not gated.

    The other rule's buffers go on as if the view had been written as it says.
    """

    inner: UpdateRule = OVERWRITE
    weight: FrameWeight = field(default_factory=Change)

    def __post_init__(self) -> None:
        if not isinstance(self.inner, UpdateRule) or isinstance(self.inner, FrameGate | MeMix):
            raise ValueError(f"a frame's gate goes around a rule of tokens, such as TTT3R(), and not {self.inner!r}")

    def statistics(self) -> Any:
        return self.inner.statistics()

    def initial_buffers(self, batch_size: int, config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
        return (
            common_buffers(batch_size, config, device)
            | self.inner.initial_buffers(batch_size, config, device)
            | self.weight.initial_buffers(batch_size, config, device)
            | {WEIGHT: torch.zeros(batch_size, device=device)}
        )

    def gate(self, writing: Writing) -> tuple[Float[Tensor, "b s 1"], dict[str, Tensor]]:
        buffers = writing.state.buffers
        inner, after = self.inner.gate(writing)
        weight, of_weight = self.weight.weigh(writing)
        of_tokens = torch.ones_like(buffers[GATE]) if inner is None else inner.squeeze(-1)
        gate, ours = give(writing.state, weight.unsqueeze(-1) * of_tokens)
        counted = after.get(NOT_A_NUMBER, buffers[NOT_A_NUMBER]) + ours[NOT_A_NUMBER] - buffers[NOT_A_NUMBER]
        told = torch.where(buffers[WRITTEN], weight, 1.0)
        return gate, {**buffers, **after, **of_weight, **ours, NOT_A_NUMBER: counted, WEIGHT: told}

    def reset(self, before: StreamState, initial: StreamState) -> StreamState:
        # overwriting alone keeps a quirk of the original's reset; with a gate, a reset begins a new stream
        return initial if self.inner == OVERWRITE else self.inner.reset(before, initial)


def _percentile(values: Float[Tensor, "b w"], count: torch.Tensor, share: float) -> Float[Tensor, "b"]:
    """Of the `count` smallest values, which are those of a ring that is not yet full; the next one above, no mean."""
    at = (share * count).ceil().long().clamp_min(1) - 1
    return values.sort(dim=1).values.gather(1, at[:, None]).squeeze(1)
