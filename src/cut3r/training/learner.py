"""From a batch to an optimizer step, or to the decision that nothing can be learned from it."""

import logging
import math

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grad_norm_

from cut3r.training.checkpoint import Trained
from cut3r.training.optim import OptimConfig
from cut3r.training.parallel import any_process, average_gradients
from cut3r.training.rollout import Batch, Loss, Piece, RolloutConfig, chunk_plan, run_chunks

logger = logging.getLogger(__name__)


class TooManyBadStepsError(RuntimeError):
    """The loss has been useless many times in a row."""


class Learner:
    """Gathers the gradients of chunks and batches in the weights, and makes the steps.

    Args:
        step: A `TrainingStep` of the network of `state`, on all processes.
        seed: Of the random windows.
    """

    def __init__(
        self,
        step: nn.Module,
        state: Trained,
        loss: Loss,
        accelerator: Accelerator,
        *,
        optim: OptimConfig,
        rollout: RolloutConfig,
        seed: int,
    ) -> None:
        self.step, self.state, self.loss, self.accelerator = step, state, loss, accelerator
        self.optim, self.rollout, self.seed = optim, rollout, seed
        self.gradient_norm = 0.0  # of the last step, before clipping
        self._accepted = True  # no loss since the last step was useless
        self._told = False  # that batches have nothing to teach

    def learn(self, batch: Batch, *, updates: bool, keep_predictions: bool) -> list[Piece]:
        """Add the batch's gradient to what is there; `updates`: and make the step.

        Raises:
            TooManyBadStepsError: `max_bad_steps` useless iterations in a row.
        """
        progress, each_chunk = self.state.progress, self.rollout.step_per_chunk
        # without the rank: all processes learn from the same chunks, as FSDP needs it
        draw = np.random.default_rng([self.seed, progress.epoch, progress.iteration])
        plan = chunk_plan(len(batch.views), self.rollout, draw)
        shares = self.optim.accumulate * (1 if each_chunk else sum(chunk.graded for chunk in plan))
        pieces = []
        for piece in run_chunks(self.step, batch, plan, self.loss):
            if piece.chunk.graded:
                self._accepted &= self._is_sane(piece.total, batch)
                if piece.total.requires_grad:
                    self.state.scaler.scale(piece.total / shares).backward()
                else:
                    self._tell_nothing_learns()
            pieces.append(piece.without_graph(keep_predictions=keep_predictions))
            if piece.chunk.graded and each_chunk and updates:
                self._update()
        if updates and not each_chunk:
            self._update()
        return pieces

    def _tell_nothing_learns(self) -> None:
        if not self._told:
            logger.warning(
                "the loss of a batch depends on nothing that learns (run.freeze, run.train_only): it counts with a "
                "gradient of zero, as do further ones without a line of their own"
            )
        self._told = True

    def _is_sane(self, total: Float[Tensor, ""], batch: Batch) -> bool:
        value = float(total.detach())
        if math.isfinite(value) and value <= self.optim.max_loss:
            return True
        labels = sorted({label for view in batch.views for label in view.label})
        logger.warning("the loss is %g at step %d, with %s", value, self.state.progress.step, ", ".join(labels[:8]))
        return False

    def _update(self) -> None:
        """Make one optimizer step of what has been gathered, or drop it on all processes if one of them cannot use
        it."""
        state, progress = self.state, self.state.progress
        if not self.rollout.detached_inputs:
            fill_missing_gradients(state.parameters())
        average_gradients(self.step, self.accelerator)
        state.scaler.unscale_(state.optimizer)
        norm = clip_grad_norm_([value for _, value in state.parameters()], self.optim.clip_norm)
        self.gradient_norm = float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
        # float16: an infinite gradient is part of finding the scale, and the scaler leaves out the step by itself
        finite = math.isfinite(self.gradient_norm) or state.scaler.is_enabled()
        if any_process([not self._accepted or not finite], self.accelerator)[0]:
            self._count_bad_step()
        else:
            state.scaler.step(state.optimizer)
            progress.step += 1
            progress.bad_steps = 0
            if state.average is not None:
                state.average.update(state.parameters(), step=progress.step)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        self._accepted = True

    def _count_bad_step(self) -> None:
        progress, limit = self.state.progress, self.optim.max_bad_steps
        progress.bad_steps += 1
        progress.skipped += 1
        logger.warning(
            "skipping step %d: the loss or the gradient (norm %g) is not usable; %d in a row, %d in all, the limit is "
            "%d in a row",
            *(progress.step, self.gradient_norm, progress.bad_steps, progress.skipped, limit),
        )
        if progress.bad_steps >= limit:
            raise TooManyBadStepsError(
                f"{limit} steps in a row had no usable loss (last at epoch {progress.epoch}, iteration "
                f"{progress.iteration}); lower optim.lr, or look at the samples that the log names"
            )


def fill_missing_gradients(parameters: list[tuple[str, Tensor]]) -> None:
    """Give zeros to those that no batch of this step has needed, such as the ray encoder's.

    So they decay, and their moments fade, as in the published training.
    """
    for _, value in parameters:
        if value.grad is None:
            value.grad = torch.zeros_like(value)
