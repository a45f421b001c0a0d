"""A batch through the network: whole, or in chunks with truncated back-propagation.

Whole: all views, gradients through all of time. In chunks: the sequence is cut into chunks of a few views, the state
is detached between them, and only a window of chunks is learned from, so memory does not grow with the sequence. All
chunks share the sequence's world, the camera of its first view.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from cut3r.data.view import AnyView, View
from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.model.state import StreamState
from cut3r.training.guidance import Guidance
from cut3r.training.parallel import let_go
from cut3r.training.precision import Precision, autocast


class Window(Enum):
    """Which chunks of a long sequence are learned from."""

    last = "last"
    random = "random"  # also supervises the early views of sequences longer than the window


@dataclass
class RolloutConfig:
    """How a sequence is learned from; the rest matters only if `chunked`.

    With the `last` window, a sequence of more than `chunk_views * graded_chunks` views never teaches the initial
    state, the initial memory and the first pose token, because they belong to the first chunk.

    `step_per_chunk` makes an optimizer step after each graded chunk instead of one per iteration. `detached_inputs`
    keeps the encoder and the initial state out of the gradient. Both are how the published weights were trained.
    """

    chunked: bool = False
    chunk_views: int = 4
    graded_chunks: int = 4
    window: Window = Window.last
    step_per_chunk: bool = False  # Parity
    detached_inputs: bool = False  # Parity

    def __post_init__(self) -> None:
        if self.chunk_views < 1 or self.graded_chunks < 1:
            raise ValueError(
                f"chunk_views {self.chunk_views} and graded_chunks {self.graded_chunks} must be at least 1"
            )
        if not self.chunked and (self.step_per_chunk or self.detached_inputs):
            raise ValueError("step_per_chunk and detached_inputs belong to chunked training: set rollout.chunked=true")


@dataclass(frozen=True)
class Chunk:
    """The views from `start` up to, not including, `end`."""

    start: int
    end: int
    graded: bool


@runtime_checkable
class LossValue(Protocol):
    @property
    def total(self) -> Float[Tensor, ""]: ...

    @property
    def details(self) -> dict[str, Tensor]: ...


Loss = Callable[..., LossValue]  # (views, predictions, *, first_camera)


@dataclass(frozen=True)
class Piece:
    """What one chunk gave. `total` carries the graph if the chunk is graded; the rest does not."""

    chunk: Chunk
    total: Float[Tensor, ""]
    details: dict[str, Tensor]
    predictions: list[Prediction]

    def without_graph(self, *, keep_predictions: bool) -> "Piece":
        """Let go of what the backward pass needed."""
        predictions = [
            Prediction(**{name: None if t is None else t.detach() for name, t in vars(prediction).items()})
            for prediction in self.predictions
            if keep_predictions
        ]
        return Piece(self.chunk, self.total.detach(), self.details, predictions)


def chunk_plan(views: int, config: RolloutConfig, draw: np.random.Generator | None = None) -> list[Chunk]:
    """Cut a sequence. Chunks after a random window are left out: nobody learns from them.

    Args:
        draw: For the random window.
    """
    if not config.chunked:
        return [Chunk(0, views, graded=True)]
    count = -(-views // config.chunk_views)
    first = max(0, count - config.graded_chunks)
    if config.window is Window.random:
        assert draw is not None
        first = int(draw.integers(first + 1))
    last = min(count, first + config.graded_chunks)
    size = config.chunk_views
    return [Chunk(k * size, min(views, (k + 1) * size), graded=k >= first) for k in range(last)]


@dataclass(frozen=True)
class Batch:
    """Views on the device, and what the network reads of them; its flags stay on the host, where they are asked.

    `first` is the first view of the sequence, also where the views are a later part of it.
    """

    views: list[View]
    inputs: list[ViewInput]
    rays_anywhere: bool
    first: View

    @classmethod
    def make(cls, views: Sequence[AnyView], device: torch.device) -> "Batch":
        """Move the views, and complete there those that travelled compactly; copies from pinned memory do not wait."""
        moved = [view.to(device, non_blocking=True) for view in views]
        inputs = [
            ViewInput(there.image, there.ray_map, here.has_image, here.has_rays, here.update, here.reset)
            for here, there in zip(views, moved, strict=True)
        ]
        return cls(moved, inputs, any(bool(view.has_rays.any()) for view in views), moved[0])

    def part(self, chunk: Chunk) -> "Batch":
        span = slice(chunk.start, chunk.end)
        return Batch(self.views[span], self.inputs[span], self.rays_anywhere, self.first)

    @property
    def samples(self) -> int:
        return self.inputs[0].batch_size


class TrainingStep(nn.Module):
    """The network and what training wants of it, as one module, so that FSDP sees every forward pass.

    Args:
        same_gradients: Give each parameter a gradient in each backward pass, whatever the batch needs.
        outputs: The heads that a pass with gradient runs; judging runs all of them.
    """

    def __init__(
        self,
        model: Cut3r,
        precision: Precision,
        *,
        detached_inputs: bool = False,
        same_gradients: bool = False,
        guidance: Guidance | None = None,
        outputs: Outputs | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.precision = precision
        self.detached_inputs = detached_inputs
        self.same_gradients = same_gradients
        self.guidance = guidance
        self.outputs = outputs or Outputs.all()

    def forward(
        self, batch: Batch, state: StreamState | None, loss: Loss, first_camera: Float[Tensor, "b 4 4"]
    ) -> tuple[Tensor, dict[str, Tensor], tuple[Tensor, Tensor, Tensor], list[Prediction]]:
        """Run some views on from `state` (None: from the start) and compare them with the truth.

        Returns:
            The loss, its details, the tensors of the next state, and the predictions. FSDP finds tensors only in plain
            containers, so this is a tuple.
        """
        begins = state is None
        recording = nullcontext() if self.guidance is None else self.guidance.recording()
        # autocast in its own region: no cast outlives an optimizer step
        with recording, autocast(batch.inputs[0].device, self.precision):
            predictions, state = self._predict(batch, state)
        result = loss(batch.views, predictions, first_camera=first_camera)
        total, details = result.total, result.details
        if self.guidance is not None:
            guided, errors = self.guidance(batch.views, batch.first, begins=begins)
            details = details | errors
            if torch.is_grad_enabled():
                total = total + guided
        if self.same_gradients and torch.is_grad_enabled() and not self.detached_inputs:
            total = total + 0.0 * self._touch()
        return total, details, (state.tokens, state.memory, state.is_new), predictions

    def _predict(self, batch: Batch, state: StreamState | None) -> tuple[list[Prediction], StreamState]:
        with_graph = torch.is_grad_enabled() and not self.detached_inputs
        with torch.set_grad_enabled(with_graph):
            state = self.model.initial_state(batch.samples) if state is None else state
        outputs = self.outputs if torch.is_grad_enabled() else Outputs.all()
        predictions = []
        for view in batch.inputs:
            with torch.set_grad_enabled(with_graph):
                tokens = self.model.encode(view, combine="batch", rays_in_batch=batch.rays_anywhere)
            prediction, state = self.model.step(state, view, tokens, outputs)
            predictions.append(prediction)
        return predictions, state

    def _touch(self) -> Float[Tensor, ""]:
        """Involve every trainable parameter outside of sharded blocks, which run for every view: one that this batch
        does not need gets a gradient of zero, not none.

        FSDP needs the same gradients on all processes. It costs a pass over all weights, so nobody else does it.
        """
        learning = [p for p in self.parameters() if p.requires_grad and not isinstance(p, DTensor)]
        return torch.cat([p.reshape(-1)[:1] for p in learning]).sum()


def run_chunks(step: nn.Module, batch: Batch, plan: Sequence[Chunk], loss: Loss) -> Iterator[Piece]:
    """Run the chunks one after the other; do the backward pass of a piece before asking for the next.

    Args:
        step: A `TrainingStep`, possibly wrapped.
    """
    state = None
    first_camera = batch.views[0].world_from_cam
    for chunk in plan:
        with torch.set_grad_enabled(chunk.graded):
            total, details, tensors, predictions = step(batch.part(chunk), state, loss, first_camera)
        state = StreamState(*tensors).detach()
        yield Piece(chunk, total, details, predictions)
        let_go(step)


def merge_details(pieces: Sequence[tuple[int, dict[str, Tensor]]]) -> dict[str, Tensor]:
    """Join the details of chunks, given with their first view; "name/2" of a chunk that starts at view 4 is "name/6".

    A detail without number is averaged over the chunks.
    """
    merged: dict[str, Tensor] = {}
    plain: dict[str, list[Tensor]] = {}
    for start, details in pieces:
        for name, value in details.items():
            stem, slash, number = name.rpartition("/")
            if slash and number.isdigit():
                merged[f"{stem}/{int(number) + start}"] = value
            else:
                plain.setdefault(name, []).append(value)
    return {**{name: torch.stack(values).mean() for name, values in plain.items()}, **merged}
