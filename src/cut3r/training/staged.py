"""A training by the clock: stages of views, losses and guidance, on walks that lie in the memory of the device."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from cut3r.data.walk_ring import Draw, WalkRing
from cut3r.model.network import Cut3r
from cut3r.training.checkpoint import Progress, Trained
from cut3r.training.guidance import Guidance
from cut3r.training.interval import Interval
from cut3r.training.learner import Learner
from cut3r.training.loss_config import GuidanceConfig, LossConfig
from cut3r.training.losses import ReconstructionLoss
from cut3r.training.optim import (
    OptimConfig,
    OptimKind,
    Schedule,
    WeightAverage,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)
from cut3r.training.precision import Precision, keep_outputs_float32
from cut3r.training.rollout import Batch, RolloutConfig, TrainingStep

logger = logging.getLogger(__name__)

WARM_UP_S = 10.0  # of the rate


@dataclass(frozen=True)
class Stage:
    """What is learned up to a share of the training; `guidance` is a factor of the training's own weights."""

    until: float
    draw: Draw
    loss: LossConfig
    guidance: float


def stage_at(stages: Sequence[Stage], share: float) -> Stage:
    return next((stage for stage in stages if share < stage.until), stages[-1])


class StagedTraining:
    """Trains a network in place, for `length_s` from its making on.

    Args:
        guidance: Weights of the guidance at factor 1; none may be 0.
        begin: Share of the stages at which this training begins.
        average: Decay of the average of the weights.
    """

    def __init__(
        self,
        model: Cut3r,
        ring: WalkRing,
        stages: Sequence[Stage],
        guidance: GuidanceConfig,
        accelerator: Accelerator,
        *,
        precision: Precision,
        lr: float,
        length_s: float,
        begin: float = 0.0,
        average: float = 0.999,
        seed: int = 0,
    ) -> None:
        self.model, self.ring, self.stages = model.to(accelerator.device).train(), ring, stages
        self.accelerator, self.weights, self.begin = accelerator, guidance, begin
        keep_outputs_float32(self.model)
        self.guidance = Guidance(self.model, guidance).to(accelerator.device)
        self.step = TrainingStep(self.model, precision, guidance=self.guidance)
        self.optim = by_the_clock(lr, length_s, fused=accelerator.device.type == "cuda")
        self.state = Trained(
            self.model,
            make_optimizer(self.model, self.optim, self.guidance),
            torch.amp.GradScaler(accelerator.device.type, enabled=False),
            None,
            Progress(),
            self.guidance,
        )
        self.average = self.state.average = WeightAverage(self.state.parameters(), average)
        self.learner = Learner(
            *(self.step, self.state, ReconstructionLoss(stages[0].loss), accelerator),
            optim=self.optim,
            rollout=RolloutConfig(),
            seed=seed,
        )
        self.rng, self.shrunk = np.random.default_rng([seed, 1]), 1.0
        self._began, self.length_s = time.monotonic(), length_s
        self.interval = Interval()
        self.enter(stage_at(stages, begin))

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def enter(self, stage: Stage) -> None:
        self.stage = stage
        self.guidance.config = GuidanceConfig(
            **{n: stage.guidance * weight for n, weight in vars(self.weights).items()}
        )
        self.learner.loss, self.step.outputs = ReconstructionLoss(stage.loss), stage.loss.outputs()
        logger.info("stage %d: %s, guidance %g", self.stages.index(stage) + 1, stage.draw, stage.guidance)

    def learn(self) -> None:
        """Make the step that it is time for; if the memory does not suffice, batches are smaller from now on.

        Raises:
            TooManyBadStepsError: The loss has been useless for some time.
        """
        share = self.begin + (1 - self.begin) * self.seconds / self.length_s
        if (stage := stage_at(self.stages, share)) is not self.stage:
            self.enter(stage)
        set_learning_rate(self.state.optimizer, learning_rate(self.seconds / 60, self.optim))
        draw = replace(self.stage.draw, batch=max(2, round(self.stage.draw.batch * self.shrunk)))
        try:
            self._learn(draw)
        except torch.OutOfMemoryError:
            if draw.batch == 2:
                raise
            self.shrunk /= 2
            self.state.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            logger.warning("a batch of %d does not fit into the memory; going on with half of it", draw.batch)

    def _learn(self, draw: Draw) -> None:
        batch = Batch.make(self.ring.draw(self.rng, draw), self.accelerator.device)
        (piece,) = self.learner.learn(batch, updates=True, keep_predictions=False)
        self.state.progress.samples += draw.batch
        plain = {name: value for name, value in piece.details.items() if "/" not in name}  # not of single views
        self.interval.add({"loss": piece.total, **plain}, draw.batch)
        self.interval.clock.lap("learning")

    def position(self) -> dict[str, Any]:
        progress, stage = self.state.progress, self.stages.index(self.stage) + 1
        return {"seconds": self.seconds, "stage": stage, "step": progress.step, "samples": progress.samples}


def by_the_clock(lr: float, length_s: float, *, fused: bool) -> OptimConfig:
    """Muon, whose rate rises for some seconds, stays, and falls over the last quarter."""
    return OptimConfig(
        kind=OptimKind.muon,
        lr=lr,
        min_lr=0.02 * lr,
        minutes=length_s / 60,
        warmup=min(0.1, WARM_UP_S / length_s),
        schedule=Schedule.wsd,
        decay_share=0.25,
        decay_tokens=False,
        clip_norm=5.0,
        fused=fused,
    )
