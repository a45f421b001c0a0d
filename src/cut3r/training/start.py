"""From a config to a finished training."""

import logging
import random
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from cut3r.data.taught import Taught
from cut3r.model.network import Cut3r
from cut3r.training.checkpoint import latest_state
from cut3r.training.config import Start, TrainConfig
from cut3r.training.data_config import FOOTAGE
from cut3r.training.feed import DataFeed
from cut3r.training.guidance import Guidance, require_state_grid
from cut3r.training.loss_config import LossConfig
from cut3r.training.losses import ReconstructionLoss, ValidationLoss
from cut3r.training.own_place import start_at_own_place
from cut3r.training.parallel import Sharding, start_processes
from cut3r.training.reporters import require_wandb
from cut3r.training.trainer import Lesson, Trainer
from cut3r.weights.constructor import constructor_from_config
from cut3r.weights.warm_start import warm_start

logger = logging.getLogger(__name__)


def prepare(config: TrainConfig) -> Trainer:
    """Build everything that a training needs; refuses whatever is wrong before the first batch.

    Changes global switches of PyTorch (seeds, TF32, cuDNN) as the config says.

    Raises:
        FileNotFoundError: A dataset, `run.pretrained` or `run.resume` is not there.
        ValueError: Settings that do not go together.
    """
    run = config.run
    accelerator = start_processes(run.device)
    _check_parallel(config, accelerator)
    _check_guidance(config)
    if run.wandb is not None:
        require_wandb()
    if run.export_official:
        constructor_from_config(config.model)  # refuses now what it would refuse at the end
    feed = DataFeed(
        config.data,
        config.paths,
        config.model,
        taught=let_teach(config, accelerator),
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    _set_switches(config, accelerator)
    seed_everything(run.seed)  # the first weights are the same on all processes
    model = Cut3r(config.model)
    if run.start is Start.own_place:
        start_at_own_place(model)
    if run.pretrained is not None and run.resume is None and latest_state(run.output_dir / "checkpoints") is None:
        load_pretrained(model, run.pretrained, encoder_only=run.encoder_only)
    guides = config.loss.widest_guidance()
    guidance = Guidance(model, guides) if guides.is_on else None
    seed_everything(run.seed + accelerator.process_index)
    return Trainer(
        model,
        feed,
        ReconstructionLoss(config.loss),
        ValidationLoss.like(config.loss),
        optim=config.optim,
        rollout=config.rollout,
        run=run,
        accelerator=accelerator,
        guidance=guidance,
        lessons=partial(lesson, config.loss),
    )


def lesson(loss: LossConfig, epoch: int) -> Lesson:
    """What an epoch is to teach."""
    stage = loss.stages()[loss.stage_number(epoch)]
    return Lesson(ReconstructionLoss(stage), stage.outputs(), stage.guidance)


def let_teach(config: TrainConfig, accelerator: Accelerator) -> Taught | None:
    """Let the teacher, if there is one, look at all footage that it has not seen; the processes share the work.

    Raises:
        FileNotFoundError: The teacher or the footage is not there.
        ValueError: One of the two is not given, or cannot be used.
    """
    teacher, footage, data = config.run.teacher, config.data.footage, config.data
    wanted = data.samples.get(FOOTAGE, 0) > 0 or data.validation.samples.get(FOOTAGE, 0) > 0
    if not wanted:
        if teacher is not None or footage:
            raise ValueError(
                "run.teacher and data.footage are for samples of footage, and there are none; set "
                f"data.samples.{FOOTAGE}"
            )
        return None
    if teacher is None:
        raise ValueError(
            "footage has no depth and no poses without a teacher: set run.teacher=FILE, a network such as "
            "cut3r_512_dpt_4_64.pth, or 512-dpt, which is downloaded once"
        )
    from cut3r.training.teaching import Teaching  # here, because a training without footage needs no PyAV

    teaching = Teaching(data, teacher)
    teaching.run(accelerator.device, rank=accelerator.process_index, world=accelerator.num_processes)
    accelerator.wait_for_everyone()
    return teaching.taught()


def load_pretrained(model: Cut3r, path: Path, *, encoder_only: bool) -> None:
    """Copy into `model`, in place, what fits of a file; `encoder_only` keeps the rest at its initial values."""
    others = {name: entry.clone() for name, entry in model.state_dict().items() if not name.startswith(ENCODERS)}
    warm_start(model, path)
    if encoder_only:
        model.load_state_dict(others, strict=False)
        logger.info("only the encoders and their norms keep the weights of %s", path)


# Parity: the original leaves the encoders' last norms out, so that they start anew in front of a trained encoder
ENCODERS = ("encoder.image.", "encoder.rays.")


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _check_parallel(config: TrainConfig, accelerator: Accelerator) -> None:
    meets_per_chunk = config.rollout.step_per_chunk or (config.rollout.chunked and config.run.sharding is Sharding.fsdp)
    loader = config.data.loader
    if accelerator.num_processes > 1 and meets_per_chunk and not (loader.fixed_length or loader.same_shape):
        raise ValueError(
            "the processes meet after each chunk (rollout.step_per_chunk, or chunks with run.sharding=fsdp), so they "
            "need the same number of views: set data.loader.same_shape=true"
        )
    if accelerator.num_processes > 1 and config.rollout.step_per_chunk and config.run.sharding is Sharding.fsdp:
        raise ValueError("rollout.step_per_chunk works with run.sharding=ddp only")


def _check_guidance(config: TrainConfig) -> None:
    if config.loss.widest_guidance().attention:
        require_state_grid(config.model, [*config.data.sizes, config.data.validation.size])
        if config.run.compile:
            raise ValueError(
                "loss.guidance.attention looks into blocks, which run.compile seals; switch one of them off"
            )


def _set_switches(config: TrainConfig, accelerator: Accelerator) -> None:
    torch.backends.cudnn.benchmark = config.run.cudnn_benchmark
    if config.run.threads is not None:
        torch.set_num_threads(config.run.threads)
    torch.set_float32_matmul_precision("high")  # TF32 for the products that stay in float32
    if not accelerator.is_main_process:
        logging.getLogger().setLevel(logging.WARNING)
