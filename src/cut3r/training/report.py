"""When a training tells what: means every few iterations, pictures now and then, held-out errors."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator

from cut3r.model.prediction import Prediction
from cut3r.training.checkpoint import Progress
from cut3r.training.config import RunConfig
from cut3r.training.interval import Interval
from cut3r.training.monitor import Monitor
from cut3r.training.pictures import picture
from cut3r.training.rollout import Batch, Piece, merge_details


class Report:
    """Collects what the iterations of a run give, and hands it to the monitor.

    Args:
        done: How much of the training is behind it, in any unit; with it the time that is left is guessed.
    """

    def __init__(self, run: RunConfig, accelerator: Accelerator, progress: Progress, *, done: float) -> None:
        self.run, self.accelerator, self.progress = run, accelerator, progress
        self.interval = Interval()
        self.monitor = Monitor(
            run.output_dir,
            speaks=accelerator.is_main_process,
            step=progress.step,
            validated=progress.iteration == 0,
            tensorboard=run.tensorboard,
            wandb=run.wandb,
        )
        self._done = done

    def lap(self, part: str | None) -> None:
        """Note that a part of an iteration has ended (see `Clock`)."""
        self.interval.clock.lap(part)

    def picture_due(self) -> bool:
        return self.monitor.speaks and self.progress.iteration % self.run.picture_every == 0

    def learned(self, batch: Batch, pieces: Sequence[Piece], gradient_norm: float | None) -> None:
        """Take what an iteration has given; its gradient if it made a step."""
        loss = torch.stack([piece.total for piece in pieces]).mean()
        details = merge_details([(piece.chunk.start, piece.details) for piece in pieces])
        self.interval.add({"loss": loss, **details}, batch.samples)
        if gradient_norm is not None:
            self.interval.add({"gradient": torch.tensor(gradient_norm, device=loss.device)})
        if self.picture_due():
            self.draw("train", batch, [prediction for piece in pieces for prediction in piece.predictions])

    def tell(self, position: float, rate: float, *, done: float, total: float) -> None:
        """Write a line of the log if it is time; all processes call this.

        Args:
            position: In epochs.
            done: Of `total`.
        """
        progress = self.progress
        if progress.iteration % self.run.print_every:
            return
        values = self.interval.take(self.accelerator)
        left = values.pop("seconds") * max(0.0, total - done) / max(1e-9, done - self._done)
        self._done = done
        values |= {"lr": rate, "skipped": progress.skipped, "samples": progress.samples}
        self.monitor.train(progress.step, position, values, left=left)

    def validation(self, name: str, values: dict[str, float], shown: Batch | None, said: list[Prediction]) -> None:
        self.monitor.validation(name, self.progress.step, values)
        if shown is not None and self.monitor.speaks:
            self.draw(name, shown, said)

    def draw(self, name: str, batch: Batch, predictions: list[Prediction]) -> None:
        for sample in range(min(self.run.pictures, batch.samples)):
            image = picture(batch.views[: len(predictions)], predictions, sample)
            self.monitor.picture(f"{name}/{sample}", self.progress.step, image)

    def close(self) -> None:
        self.monitor.close()
