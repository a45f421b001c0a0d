"""The loop: batches to weights, and everything that must happen now and then in between."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import torch
from accelerate import Accelerator

from cut3r.data.view import AnyView
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs
from cut3r.speed.precision import compile_blocks
from cut3r.training.checkpoint import Progress, Trained, read_latest_state, read_state, write_state, write_weights
from cut3r.training.config import RunConfig
from cut3r.training.freeze import freeze
from cut3r.training.guidance import Guidance
from cut3r.training.learner import Learner
from cut3r.training.lora import add_factors
from cut3r.training.loss_config import GuidanceConfig
from cut3r.training.optim import OptimConfig, Unit, WeightAverage, learning_rate, make_optimizer, set_learning_rate
from cut3r.training.parallel import Sharding, distribute, largest
from cut3r.training.precision import Precision, count_parameters, keep_outputs_float32, recompute_blocks
from cut3r.training.report import Report
from cut3r.training.rollout import Batch, Loss, RolloutConfig, TrainingStep
from cut3r.training.validation import validate

logger = logging.getLogger(__name__)


@runtime_checkable
class Feed(Protocol):
    """Where batches come from. Everything is a function of its arguments, so a training can go on anywhere."""

    def length(self, epoch: int) -> int:
        """Count the batches of an epoch on this process; equal on all processes."""

    def batch_size(self, epoch: int) -> int:
        """Count the samples of a batch of an epoch on this process; equal on all processes."""

    def batches(self, epoch: int, start: int) -> Iterator[Sequence[AnyView]]:
        """Give this process's batches of an epoch from number `start` on."""

    def held_out(self) -> Mapping[str, Iterator[Sequence[AnyView]]]:
        """Give this process's share of each held-out set."""


@dataclass(frozen=True)
class Lesson:
    """What is learned in an epoch."""

    loss: Loss
    outputs: Outputs
    guidance: GuidanceConfig


class Trainer:
    """Trains a network in place. The last state in the run's folder is continued from, if there is one.

    Args:
        model: With its first weights. It is frozen, moved and wrapped as the configs say.
        accelerator: Of the processes that take part.
        guidance: Losses beside `loss`; their weights are trained with the network.
        outputs: Heads that the loss needs; all by default.
        lessons: What is learned in an epoch, by its number, where that differs from `loss`, `outputs` and the weights
            of `guidance`.
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
        guidance: Guidance | None = None,
        outputs: Outputs | None = None,
        lessons: Callable[[int], "Lesson"] | None = None,
    ) -> None:
        self.lessons = lessons
        self.feed, self.validation_loss = feed, validation_loss
        self.optim, self.run, self.accelerator = optim, run, accelerator
        self.stop_requested = False  # set by a signal handler: end after this step, with a state
        self._saved: tuple[int, int] | None = None  # the position of the last state written
        self.step = training_step(model, rollout, run, accelerator, guidance=guidance, outputs=outputs)
        optimizer = make_optimizer(model, optim, guidance)
        scaler = torch.amp.GradScaler(accelerator.device.type, enabled=run.precision is Precision.fp16)
        progress = Progress(processes=accelerator.num_processes)
        self.state = Trained(model, optimizer, scaler, None, progress, guidance, run.lora)
        if optim.ema_decay is not None:
            self.state.average = WeightAverage(self.state.parameters(), optim.ema_decay)
        self.learner = Learner(self.step, self.state, loss, accelerator, optim=optim, rollout=rollout, seed=run.seed)
        self._resume()
        self._begin_lesson()
        total, learning = count_parameters(model)
        logger.info("%.1f M parameters, %.1f M of them learn", total / 1e6, learning / 1e6)

    @property
    def progress(self) -> Progress:
        return self.state.progress

    @property
    def states_folder(self) -> Path:
        return self.run.output_dir / "checkpoints"

    def fit(self) -> bool:
        """Train until the end that `optim` sets, or until told to stop.

        Returns:
            Whether the training is complete; if not, its state is saved and the same call goes on from there.

        Raises:
            TooManyBadStepsError: `max_bad_steps` useless iterations in a row.
        """
        if self._is_done() and self._final_weights_exist():
            logger.info("this training is complete; to train on, raise its length or name another run.output_dir")
            return True
        began = time.monotonic()
        self._deadline = began + 60 * (self.run.max_minutes or math.inf)
        self._before = began - self.progress.seconds
        self.report = Report(self.run, self.accelerator, self.progress, done=self._done())
        try:
            return self._fit()
        finally:
            self.report.close()

    def _fit(self) -> bool:
        while not self._is_done():
            if not self._train_epoch():
                break
            self._finish_epoch()
        self._save()
        if not self._is_done():
            logger.info("stopped at step %d; the same command goes on from there", self.progress.step)
            return False
        if self.progress.iteration:  # the end came within an epoch
            self._validate()
            self._saved = None
            self._save()  # with the best
        self._write_weights("final", official=self.run.export_official)
        return True

    def _train_epoch(self) -> bool:
        """Train the rest of this epoch; False if it was left early."""
        progress, accumulate, report = self.progress, self.optim.accumulate, self.report
        length = self.feed.length(progress.epoch)
        progress.batch_size = self.feed.batch_size(progress.epoch)
        save_every = max(1, round(self.run.save_epochs * length))
        self._begin_lesson()
        report.lap(None)
        for views in self.feed.batches(progress.epoch, progress.iteration):
            report.lap("waiting")
            position = progress.epoch + progress.iteration / length
            if progress.iteration % accumulate == 0:
                set_learning_rate(self.state.optimizer, learning_rate(self._done(), self.optim))
            progress.iteration += 1
            updates = progress.iteration % accumulate == 0 or progress.iteration == length
            self._learn(Batch.make(views, self.accelerator.device), updates=updates)
            stops = updates and self._should_stop()
            report.lap("learning")
            report.tell(position, self._rate(), done=self._done(), total=self.optim.length)
            if stops:
                return False
            if updates and progress.iteration < length and progress.iteration % save_every < accumulate:
                self._save()
            report.lap("saving")
        return True

    def _begin_lesson(self) -> None:
        if self.lessons is None:
            return
        lesson = self.lessons(self.progress.epoch)
        self.learner.loss, cast(TrainingStep, self.step).outputs = lesson.loss, lesson.outputs
        if self.state.guidance is not None:
            self.state.guidance.config = lesson.guidance

    def _learn(self, batch: Batch, *, updates: bool) -> None:
        pieces = self.learner.learn(batch, updates=updates, keep_predictions=self.report.picture_due())
        samples = batch.samples * self.accelerator.num_processes
        self.progress.samples += samples
        self.progress.epoch_samples += samples
        self.report.lap("learning")
        self.report.learned(batch, pieces, self.learner.gradient_norm if updates else None)
        self.report.lap("drawing")

    def _rate(self) -> float:
        group = self.state.optimizer.param_groups[0]
        return float(group["lr"] / group["lr_scale"])

    def _done(self) -> float:
        """How much of the training is behind it, in the unit that its length is given in."""
        progress = self.progress
        match self.optim.unit:
            case Unit.steps:
                return float(progress.step)
            case Unit.samples:
                return float(progress.samples)
            case Unit.minutes:
                return progress.seconds / 60
            case Unit.epochs:
                share = progress.iteration / self.feed.length(progress.epoch) if progress.iteration else 0.0
                return progress.epoch + share

    def _is_done(self) -> bool:
        """Whether the length is reached; in epochs, the last one must have been finished, with its validation."""
        by_epochs = self.optim.unit is Unit.epochs
        return (self.progress.epoch if by_epochs else self._done()) >= self.optim.length

    def _should_stop(self) -> bool:
        """Agree with the other processes on the time, and on whether to go on."""
        now, limit = time.monotonic(), self.run.max_steps
        wanted = self.stop_requested or now > self._deadline or (limit is not None and self.progress.step >= limit)
        stop, self.progress.seconds = largest([float(wanted), now - self._before], self.accelerator)
        return bool(stop) or (self.optim.unit is not Unit.epochs and self._is_done())

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
        progress.epoch, progress.iteration, progress.epoch_samples = epoch, 0, 0
        if save_due and progress.best < best:
            self._save()

    def _validate(self) -> None:
        """Judge the weights (their average, if there is one); the best so far are kept."""
        average, losses = self.state.average, []
        if average is not None:
            average.swap(self.state.parameters())
        for name, batches in self.feed.held_out().items():
            values, batch, predictions = validate(self.step, batches, self.validation_loss, self.accelerator)
            self.report.validation(name, values, batch, predictions)
            losses.append(values["loss_median"])
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

    def _final_weights_exist(self) -> bool:
        final = self.states_folder / "final.safetensors"
        wanted = [final, final.with_suffix(".pth")] if self.run.export_official else [final]
        return all(path.is_file() for path in wanted)

    def _resume(self) -> None:
        if not read_latest_state(self.state, self.states_folder, self.accelerator):
            if self.run.resume is None:
                return
            read_state(self.state, self.run.resume, self.accelerator)
        progress = self.progress
        progress.place(
            batch_size=self.feed.batch_size(progress.epoch),
            processes=self.accelerator.num_processes,
            accumulate=self.optim.accumulate,
        )
        logger.info("epoch %d, iteration %d, step %d", progress.epoch, progress.iteration, progress.step)


def training_step(
    model: Cut3r,
    rollout: RolloutConfig,
    run: RunConfig,
    accelerator: Accelerator,
    *,
    guidance: Guidance | None = None,
    outputs: Outputs | None = None,
) -> torch.nn.Module:
    """Freeze, patch and distribute the network, in place, as the configs say."""
    freeze(model, run.freeze, run.train_only, rest_learns=not run.lora.is_on)
    add_factors(model, run.lora)
    keep_outputs_float32(model)
    if run.gradient_checkpointing:
        recompute_blocks(model, keep_products=run.keep_products)
    if run.compile:
        compile_blocks(model)
    sharded = accelerator.num_processes > 1 and run.sharding is Sharding.fsdp
    step = TrainingStep(
        model,
        run.precision,
        detached_inputs=rollout.detached_inputs,
        same_gradients=sharded,
        guidance=guidance,
        outputs=outputs,
    )
    blocks = [*model.decoder.image_blocks, *model.decoder.state_blocks]
    return distribute(step, accelerator, run.sharding, blocks=blocks).train()
