"""How much memory does a training step of a recipe take?

At rest: weights, and the optimizer's moments of what learns. In a step: all tensors that are alive at its peak beside
those (activations, gradients, copies in bfloat16, the loss), for batches of some samples and views, and a straight line
through them: what a step takes once, and what it takes for each view of each sample. With `rollout.chunked`, views are
those of one chunk.

On a CPU each tensor is counted from the operator that makes it until nobody holds it; what kernels use inside does not
show. On a GPU (run.device=cuda) PyTorch's allocator is asked, which rounds up; the CUDA context comes on top of both.
Random weights and pictures: neither changes the sizes. No data and no weight file are needed.

    python benchmarks/memory.py finetune_24gb --batches 1x1 1x2
    python benchmarks/memory.py finetune_24gb run.device=cuda --batches 1x4 2x4 4x4 --out
"""

import argparse
import sys
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from recipes import recipe
from report import add_out_flag, environment, finish, table
from torch import Tensor

from cut3r.data.view import View
from cut3r.geometry.cameras import pinhole, ray_map, unproject
from cut3r.model.network import Cut3r
from cut3r.speed.live_bytes import LiveBytes
from cut3r.training.checkpoint import Progress, Trained
from cut3r.training.config import TrainConfig
from cut3r.training.learner import Learner, fill_missing_gradients
from cut3r.training.losses import ReconstructionLoss
from cut3r.training.optim import make_optimizer
from cut3r.training.precision import Precision, count_parameters
from cut3r.training.rollout import Batch
from cut3r.training.start import start_processes
from cut3r.training.trainer import training_step

GB = 1e9


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("recipe", help="of configs/, such as finetune_24gb")
    add("changes", nargs="*", help="as for train.py, such as run.device=cuda")
    add("--batches", nargs="+", default=["1x1", "1x2"], help="SAMPLESxVIEWS, at least two (default: 1x1 1x2)")
    add("--threads", type=int, help="of a CPU (default: as torch chooses)")
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    try:
        args.batches = [(int(samples), int(views)) for samples, _, views in (b.partition("x") for b in args.batches)]
    except ValueError:
        parser.error("--batches are such as 1x2: samples x views")
    if len({samples * views for samples, views in args.batches}) < 2:
        parser.error("--batches must have at least two different numbers of views in all, for a straight line")
    return args


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    record = measure(recipe(args.recipe, args.changes), args.batches)
    print(f"{args.recipe}: {record['parameters_m']:.1f} M parameters, {record['learning_m']:.1f} M of them learn")
    print(f"at rest {record['rest_gb']:.3f} GB\n")
    print(table(record["rows"]))
    print(f"\nonce {record['once_gb']:.3f} GB, for each view of a sample {record['view_gb']:.4f} GB\n")
    machine = environment(torch.device(record["device"]))
    head = {"benchmark": "memory", "recipe": args.recipe, "changes": args.changes}
    finish(f"memory-{args.recipe}", head | record | {"environment": machine}, args.out)


def measure(config: TrainConfig, batches: list[tuple[int, int]]) -> dict[str, Any]:
    """Make a step of each batch, and fit a straight line."""
    torch.manual_seed(0)
    accelerator = start_processes(config.run.device)
    learner = make_learner(config, accelerator)
    rest = at_rest(learner.state)
    rows = []
    for samples, views in batches:
        print(f"measuring {samples} x {views} views", file=sys.stderr)
        h, w = config.data.sizes[0]
        batch = Batch.make([some_view((h, w), samples) for _ in range(views)], accelerator.device)
        rows.append({"samples": samples, "views": views, "step_gb": step_bytes(learner, batch, rest) / GB})
        print(f"{rows[-1]['step_gb']:.3f} GB beside what is at rest", file=sys.stderr)  # one batch may take minutes
    view, once = np.polyfit([r["samples"] * r["views"] for r in rows], [r["step_gb"] for r in rows], 1)
    total, learning = count_parameters(learner.state.model)
    return {
        "parameters_m": total / 1e6,
        "learning_m": learning / 1e6,
        "rest_gb": sum(tensor.untyped_storage().nbytes() for tensor in rest) / GB,
        "rows": rows,
        "once_gb": float(once),
        "view_gb": float(view),
        "device": accelerator.device.type,
    }


def make_learner(config: TrainConfig, accelerator: Accelerator) -> Learner:
    """Build what trains, with the moments that it has after its first step."""
    model = Cut3r(config.model)
    step = training_step(model, config.rollout, config.run, accelerator, outputs=config.loss.outputs())
    optimizer = make_optimizer(model, config.optim)
    scaler = torch.amp.GradScaler(accelerator.device.type, enabled=config.run.precision is Precision.fp16)
    state = Trained(model, optimizer, scaler, None, Progress())
    fill_missing_gradients(state.parameters())
    optimizer.step()  # of rate 0
    optimizer.zero_grad(set_to_none=True)
    loss = ReconstructionLoss(config.loss)
    return Learner(step, state, loss, accelerator, optim=config.optim, rollout=config.rollout, seed=0)


def at_rest(state: Trained) -> list[Tensor]:
    moments = [value for places in state.optimizer.state.values() for value in places.values()]
    return [*state.model.parameters(), *state.model.buffers(), *(value for value in moments if value.ndim)]


def step_bytes(learner: Learner, batch: Batch, rest: list[Tensor]) -> int:
    """Make one step; give the most bytes that it needed at a time, beside what is at rest and the batch."""
    device = batch.inputs[0].device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        learner.learn(batch, updates=True, keep_predictions=False)
        return torch.cuda.max_memory_allocated(device) - before
    views = [tensor for view in batch.views for tensor in view.tensors().values()]
    with LiveBytes([*rest, *views]) as alive:
        learner.learn(batch, updates=True, keep_predictions=False)
    return alive.peak


def some_view(size: tuple[int, int], samples: int) -> View:
    """A wall of noise, as pictures alone."""
    depth, poses = 1 + torch.rand(samples, *size), torch.eye(4).repeat(samples, 1, 1)
    intrinsics = pinhole(size, focal=float(max(size))).repeat(samples, 1, 1)
    on, off = torch.ones(samples, dtype=torch.bool), torch.zeros(samples, dtype=torch.bool)
    return View(
        image=2 * torch.rand(samples, 3, *size) - 1,
        depth=depth,
        points=unproject(depth, intrinsics),
        valid=depth > 0,
        sky=depth < 0,
        intrinsics=intrinsics,
        world_from_cam=poses,
        ray_map=ray_map(poses, intrinsics, size, include_translation=True),
        label=["noise"] * samples,
        **dict.fromkeys(("has_image", "update", "metric"), on),
        **dict.fromkeys(("has_rays", "reset", "camera_only", "depth_only", "single_view"), off),
    )


if __name__ == "__main__":
    main()
