"""What one of two processes does in `test_distributed.py`: python -m tests.training.two_processes FOLDER."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.distributed.fsdp import FSDPModule

from cut3r.training.config import RunConfig
from cut3r.training.guidance import Guidance
from cut3r.training.lora import LoraConfig
from cut3r.training.loss_config import GuidanceConfig, LossConfig
from cut3r.training.losses import ReconstructionLoss, ValidationLoss
from cut3r.training.optim import OptimConfig
from cut3r.training.parallel import Sharding, whole
from cut3r.training.precision import Precision
from cut3r.training.rollout import RolloutConfig
from cut3r.training.trainer import Trainer
from tests.training.fake_feed import FakeFeed, small_network

CHUNKS = RolloutConfig(chunked=True, chunk_views=2, graded_chunks=2)
# a large eps, because Adam divides gradients that are nothing but rounding by themselves
NOT_CLIPPED = 1e9
OPTIM = OptimConfig(lr=1e-2, epochs=1, warmup_epochs=0.0, eps=1e-2)


@dataclass(frozen=True)
class Case:
    rollout: RolloutConfig
    views: int
    sharding: Sharding = Sharding.ddp
    uneven: bool = False  # the second process has more views
    spoiled: bool = False  # its second batch is nan
    guided: bool = False
    precision: Precision = Precision.fp32
    recomputed: bool = False
    lora: bool = False
    clipped: bool = True


CASES = {
    "whole": Case(RolloutConfig(), 3),
    "chunked": Case(CHUNKS, 5),
    "uneven": Case(CHUNKS, 2, uneven=True),
    "spoiled": Case(RolloutConfig(), 2, spoiled=True),
    "unclipped": Case(CHUNKS, 5, clipped=False),
    "unclipped_fsdp": Case(CHUNKS, 5, clipped=False, sharding=Sharding.fsdp),
    "whole_fsdp": Case(RolloutConfig(), 3, sharding=Sharding.fsdp),
    "chunked_fsdp": Case(CHUNKS, 5, sharding=Sharding.fsdp),
    "guided": Case(CHUNKS, 5, guided=True),
    "guided_fsdp": Case(CHUNKS, 5, guided=True, sharding=Sharding.fsdp),
    "uneven_fsdp": Case(RolloutConfig(), 2, sharding=Sharding.fsdp, uneven=True),
    "recomputed_fsdp": Case(CHUNKS, 5, sharding=Sharding.fsdp, recomputed=True),
    "bf16": Case(CHUNKS, 5, precision=Precision.bf16),
    "bf16_fsdp": Case(CHUNKS, 5, sharding=Sharding.fsdp, precision=Precision.bf16),
    "lora": Case(CHUNKS, 5, lora=True),
    "lora_fsdp": Case(CHUNKS, 5, lora=True, sharding=Sharding.fsdp),
}


def train(case: Case, folder: Path, *, rank: int, world: int, accelerator: Accelerator) -> Trainer:
    """Three steps; together the processes see two samples per step, whatever their number."""
    views = case.views + (3 * rank if case.uneven else 0)
    feed = FakeFeed(length=3, samples=2, views=views, rank=rank, world=world)
    if case.spoiled and rank == 1:
        feed.spoiled.add((0, 1))
    run = RunConfig(
        output_dir=folder,
        device="cpu",
        precision=case.precision,
        gradient_checkpointing=case.recomputed,
        lora=LoraConfig(rank=2 if case.lora else 0),
        sharding=case.sharding,
        tensorboard=False,
        print_every=1,
    )
    model = small_network()
    if rank:  # its weights do not matter: all begin with those of the first process
        model.heads.pose.fc1.weight.data.zero_()
    trainer = Trainer(
        model,
        feed,
        ReconstructionLoss(LossConfig()),
        ValidationLoss(),
        optim=OPTIM if case.clipped else replace(OPTIM, clip_norm=NOT_CLIPPED),
        rollout=case.rollout,
        run=run,
        accelerator=accelerator,
        guidance=Guidance(model, GuidanceConfig(1.0, 0.6, 2.0)) if case.guided else None,
    )
    trainer.fit()
    return trainer


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    rank = accelerator.process_index
    results: dict[str, Any] = {}
    for name, case in CASES.items():
        trainer = train(case, folder / name, rank=rank, world=2, accelerator=accelerator)
        weights = {key: whole(entry) for key, entry in trainer.state.model.state_dict().items()}
        if trainer.state.guidance is not None:
            weights |= {f"guidance.{key}": whole(entry) for key, entry in trainer.state.guidance.state_dict().items()}
        results[name] = {"weights": weights, "skipped": trainer.progress.skipped, "steps": trainer.progress.step}
        results[name]["kind"] = type(trainer.step).__name__
        results[name]["sharded"] = sum(isinstance(module, FSDPModule) for module in trainer.step.modules())
    torch.save(results, folder / f"{rank}.pt")


if __name__ == "__main__":
    main()
