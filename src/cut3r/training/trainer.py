"""The loop: batches to gradients, gradients to weights, and everything that must happen now and then in between."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grad_norm_

from cut3r.data.view import View
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Prediction
from cut3r.model.speed import compile_blocks
from cut3r.training.checkpoint import Progress, Trained, read_latest_state, read_state, write_state, write_weights
from cut3r.training.config import RunConfig
from cut3r.training.freeze import freeze
from cut3r.training.monitor import Monitor
from cut3r.training.optim import OptimConfig, WeightAverage, learning_rate, make_optimizer, set_learning_rate
from cut3r.training.parallel import (
    any_process,
    average_gradients,
    distribute,
    gather_gradients_locally,
    mean_over_processes,
)
from cut3r.training.pictures import picture
from cut3r.training.precision import Precision, count_parameters, keep_outputs_float32, recompute_blocks
from cut3r.training.rollout import (
    Batch,
    Loss,
    Piece,
    RolloutConfig,
    TrainingStep,
    chunk_plan,
    merge_details,
    run_chunks,
)
from cut3r.training.validation import validate

logger = logging.getLogger(__name__)


@runtime_checkable
class Feed(Protocol):
    """Where batches come from. Everything is a function of its arguments, so a training can go on anywhere."""

    def length(self, epoch: int) -> int:
        """Count the batches of an epoch on this process; equal on all processes."""

    def batches(self, epoch: int, start: int) -> Iterator[Sequence[View]]:
        """Give this process's batches of an epoch from number `start` on."""

    def held_out(self) -> Mapping[str, Iterator[Sequence[View]]]:
        """Give this process's share of each held-out set."""


class TooManyBadStepsError(RuntimeError):
    """The loss has been useless many times in a row."""


class Trainer:
    """Trains a network in place. The last state in the run's folder is continued from, if there is one.

    Args:
        model: With its first weights. It is frozen, moved and wrapped as the configs say.
        accelerator: Of the processes that take part.
    """

    def __init__(
        self,
        model: Cut3r,
        feed: Feed,
        loss: Loss,
        validation_loss: Loss,
        *,
        optim: OptimConfig,
        rollout: RolloutConfig,
        run: RunConfig,
        accelerator: Accelerator,
    ) -> None:
        self.feed, self.loss, self.validation_loss = feed, loss, validation_loss
        self.optim, self.rollout, self.run, self.accelerator = optim, rollout, run, accelerator
        self.stop_requested = False  # set by a signal handler: end after this step, with a state
        self._accepted = True  # no loss since the last step was useless
        self._gradient_norm = 0.0
        self._saved: tuple[int, int] | None = None  # the position of the last state written
        self._deadline = math.inf
        freeze(model, run.freeze, run.train_only)
        keep_outputs_float32(model)
        if run.gradient_checkpointing:
            recompute_blocks(model, keep_products=run.keep_products)
        if run.compile:
            compile_blocks(model)
        self.step = distribute(
            TrainingStep(model, run.precision, detached_inputs=rollout.detached_inputs), accelerator, run.sharding
        )
        self.step.train()
        optimizer = make_optimizer(model, optim)
        scaler = torch.amp.GradScaler(accelerator.device.type, enabled=run.precision is Precision.fp16)
        self.state = Trained(model, optimizer, scaler, None, Progress(processes=accelerator.num_processes))
        if optim.ema_decay is not None:
            self.state.average = WeightAverage(self.state.parameters(), optim.ema_decay)
        self._resume()
        self.monitor = Monitor(
            run.output_dir,
            speaks=accelerator.is_main_process,
            step=self.progress.step,
            validated=self.progress.iteration == 0,
            tensorboard=run.tensorboard,
        )
        total, learning = count_parameters(model)
        logger.info("%.1f M parameters, %.1f M of them learn", total / 1e6, learning / 1e6)

    @property
    def progress(self) -> Progress:
        return self.state.progress

    @property
    def states_folder(self) -> Path:
        return self.run.output_dir / "checkpoints"

    def fit(self) -> bool:
        """Train until the last epoch or until told to stop.

        Returns:
            Whether the training is complete; if not, its state is saved and the same call goes on from there.

        Raises:
            TooManyBadStepsError: `max_bad_steps` useless iterations in a row.
        """
        self._deadline = time.monotonic() + 60 * (self.run.max_minutes or math.inf)
        try:
            while self.progress.epoch < self.optim.epochs:
                if not self._train_epoch():
                    self._save()
                    logger.info("stopped at step %d; the same command goes on from there", self.progress.step)
                    return False
                self._finish_epoch()
            self._save()
            self._write_weights("final", official=self.run.export_official)
        finally:
            self.monitor.close()
        return True

    def _train_epoch(self) -> bool:
        """Train the rest of this epoch; False if it was left early."""
        progress, accumulate = self.progress, self.optim.accumulate
        length = self.feed.length(progress.epoch)
        save_every = max(1, round(self.run.save_epochs * length))
        started = time.monotonic()
        for views in self.feed.batches(progress.epoch, progress.iteration):
            waited = time.monotonic() - started
            position = progress.epoch + progress.iteration / length
            if progress.iteration % accumulate == 0:
                set_learning_rate(self.state.optimizer, learning_rate(position, self.optim))
            progress.iteration += 1
            updates = progress.iteration % accumulate == 0 or progress.iteration == length
            batch = Batch.make(views, self.accelerator.device)
            pieces = self._learn(batch, updates=updates)
            loss = float(torch.stack([piece.total for piece in pieces]).mean())
            now = time.monotonic()
            self.monitor.clock.tick(now - started, waited, batch.samples, loss)
            progress.seconds += now - started
            started = now
            self._report(position, batch, pieces, loss, left=self._iterations_left(length))
            if updates and self._should_stop():
                return False
            if updates and progress.iteration < length and progress.iteration % save_every < accumulate:
                self._save()
        return True

    def _learn(self, batch: Batch, *, updates: bool) -> list[Piece]:
        """Add the batch's gradient to what is there; `updates`: and make the step."""
        progress, each_chunk = self.progress, self.rollout.step_per_chunk
        # without the rank: all processes learn from the same chunks, as FSDP needs it
        draw = np.random.default_rng([self.run.seed, progress.epoch, progress.iteration])
        plan = chunk_plan(len(batch.views), self.rollout, draw)
        shares = self.optim.accumulate * (1 if each_chunk else sum(chunk.graded for chunk in plan))
        pieces = []
        with gather_gradients_locally(self.step):
            for piece in run_chunks(self.step, batch, plan, self.loss):
                if piece.chunk.graded:
                    self._accepted &= self._is_sane(piece.total, batch)
                    self.state.scaler.scale(piece.total / shares).backward()
                pieces.append(piece.without_graph(keep_predictions=self._picture_due()))
                if piece.chunk.graded and each_chunk and updates:
                    self._update()
        if updates and not each_chunk:
            self._update()
        return pieces

    def _is_sane(self, total: Float[Tensor, ""], batch: Batch) -> bool:
        value = float(total.detach())
        if math.isfinite(value) and value <= self.optim.max_loss:
            return True
        labels = sorted({label for view in batch.views for label in view.label})
        logger.warning("the loss is %g at step %d, with %s", value, self.progress.step, ", ".join(labels[:8]))
        return False

    def _update(self) -> None:
        """Make one optimizer step of what has been gathered, or drop it on all processes if one of them cannot use it.

        Raises:
            TooManyBadStepsError: That happened too often in a row.
        """
        state, progress = self.state, self.progress
        average_gradients(self.step)
        state.scaler.unscale_(state.optimizer)
        norm = clip_grad_norm_([value for _, value in state.parameters()], self.optim.clip_norm)
        self._gradient_norm = float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
        # float16: an infinite gradient is part of finding the scale, and the scaler leaves out the step by itself
        finite = math.isfinite(self._gradient_norm) or state.scaler.is_enabled()
        if any_process([not self._accepted or not finite], self.accelerator)[0]:
            self._count_bad_step()
        else:
            state.scaler.step(state.optimizer)
            progress.step += 1
            progress.bad_steps = 0
            if state.average is not None:
                state.average.update(state.parameters())
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        self._accepted = True

    def _count_bad_step(self) -> None:
        progress, limit = self.progress, self.optim.max_bad_steps
        progress.bad_steps += 1
        progress.skipped += 1
        logger.warning(
            "skipping step %d: the loss or the gradient (norm %g) is not usable; %d in a row, %d in all, the limit is "
            "%d in a row",
            *(progress.step, self._gradient_norm, progress.bad_steps, progress.skipped, limit),
        )
        if progress.bad_steps >= limit:
            raise TooManyBadStepsError(
                f"{limit} steps in a row had no usable loss (last at epoch {progress.epoch}, iteration "
                f"{progress.iteration}); lower optim.lr, or look at the samples that the log names"
            )

    def _report(self, position: float, batch: Batch, pieces: list[Piece], loss: float, *, left: int) -> None:
        progress, run = self.progress, self.run
        if progress.iteration % run.print_every == 0:
            details = merge_details([(piece.chunk.start, piece.details) for piece in pieces])
            values = {"loss": loss, **{name: float(value) for name, value in details.items()}}
            values = mean_over_processes(values, self.accelerator)
            rate = self.state.optimizer.param_groups[0]["lr"] / self.state.optimizer.param_groups[0]["lr_scale"]
            values |= {"lr": rate, "gradient": self._gradient_norm, "skipped": progress.skipped}
            self.monitor.train(progress.step, position, values, left=left)
        if self._picture_due():
            self._draw("train", batch, [prediction for piece in pieces for prediction in piece.predictions])

    def _picture_due(self) -> bool:
        return self.monitor.speaks and self.progress.iteration % self.run.picture_every == 0

    def _draw(self, name: str, batch: Batch, predictions: list[Prediction]) -> None:
        for sample in range(min(self.run.pictures, batch.samples)):
            image = picture(batch.views[: len(predictions)], predictions, sample)
            self.monitor.picture(f"{name}/{sample}", self.progress.step, image)

    def _iterations_left(self, length: int) -> int:
        later = sum(self.feed.length(epoch) for epoch in range(self.progress.epoch + 1, self.optim.epochs))
        return later + length - self.progress.iteration

    def _should_stop(self) -> bool:
        steps = self.run.max_steps
        wanted = self.stop_requested or time.monotonic() > self._deadline
        wanted = wanted or (steps is not None and self.progress.step >= steps)
        return any_process([wanted], self.accelerator)[0]

    def _finish_epoch(self) -> None:
        """Save, then judge. The position in the state is the end of this epoch, not the beginning of the next: a run
        that ends during the validation makes up for it."""
        progress, run = self.progress, self.run
        epoch, best = progress.epoch + 1, progress.best
        save_due = epoch % max(1, run.save_epochs) == 0
        if save_due:
            self._save()
        if epoch % run.validate_epochs == 0:
            self._validate()
        if epoch % run.keep_epochs == 0:
            self._write_weights(f"epoch-{epoch:04d}")
        progress.epoch, progress.iteration = epoch, 0
        if save_due and progress.best < best:
            self._save()

    def _validate(self) -> None:
        """Judge the weights (their average, if there is one); the best so far are kept."""
        average, losses = self.state.average, []
        if average is not None:
            average.swap(self.state.parameters())
        for name, batches in self.feed.held_out().items():
            values, batch, predictions = validate(self.step, batches, self.validation_loss, self.accelerator)
            self.monitor.validation(name, self.progress.step, values)
            losses.append(values["loss_median"])
            if batch is not None and self.monitor.speaks:
                self._draw(name, batch, predictions)
        if average is not None:
            average.swap(self.state.parameters())
        if losses and sum(losses) / len(losses) < self.progress.best:
            self.progress.best = sum(losses) / len(losses)
            self._write_weights("best")

    def _write_weights(self, name: str, *, official: bool = False) -> None:
        path = self.states_folder / f"{name}.safetensors"
        write_weights(self.state, path, self.accelerator, official=official)

    def _save(self) -> None:
        position = (self.progress.epoch, self.progress.iteration)
        if position == self._saved:
            return
        self._saved = position
        write_state(self.state, self.states_folder, self.accelerator, keep=self.run.keep_last)

    def _resume(self) -> None:
        if not read_latest_state(self.state, self.states_folder, self.accelerator) and self.run.resume is not None:
            read_state(self.state, self.run.resume, self.accelerator)
