"""Several processes, one model: who holds the weights, and how gradients meet.

DDP: each process holds everything. Gradients are gathered in the parameters during all backward passes of an
optimizer step (all chunks, all accumulated iterations), then averaged once. So processes may have different numbers of
views and chunks, and a whole step and a chunked step meet in the same way.

FSDP: gradients, optimizer and weights at rest are sharded; the weights (3 GB for the published networks, far less than
the activations) come together for a forward and its backward pass. Every forward pass is a meeting of all processes,
so all need the same number of chunks.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

BUCKET = 25_000_000  # numbers that are averaged in one message


class Sharding(Enum):
    ddp = "ddp"
    fsdp = "fsdp"


def distribute(step: nn.Module, accelerator: Accelerator, sharding: Sharding) -> nn.Module:
    """Put the module on the device and wrap it; all processes continue with the weights of the first."""
    step = step.to(accelerator.device)
    if accelerator.num_processes == 1:
        return step
    if sharding is Sharding.ddp:
        devices = None if accelerator.device.type == "cpu" else [accelerator.device]
        return DistributedDataParallel(step, device_ids=devices)
    for tensor in step.state_dict().values():
        dist.broadcast(tensor, src=0)
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    # True: weights gathered by a pass without gradient must not survive the next optimizer step
    fully_shard(step, mesh=mesh, reshard_after_forward=True)  # changes it in place
    return step


def gather_gradients_locally(step: nn.Module) -> AbstractContextManager[Any]:
    """Keep DDP from averaging in each backward pass; FSDP and a single process need no such care."""
    return step.no_sync() if isinstance(step, DistributedDataParallel) else nullcontext()


def average_gradients(step: nn.Module) -> None:
    """Replace the gradients of DDP by their average over the processes; a process that has none counts with zero."""
    if not isinstance(step, DistributedDataParallel):
        return
    for bucket in _buckets(p for p in step.parameters() if p.requires_grad):
        for parameter in bucket:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in bucket if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        bucket.append(parameter)
        size += parameter.numel()
        if size >= BUCKET:
            yield bucket
            bucket, size = [], 0
    if bucket:
        yield bucket


def any_process(flags: list[bool], accelerator: Accelerator) -> list[bool]:
    """Return which flags are set on at least one process: what all must agree on, in one message."""
    if accelerator.num_processes == 1:
        return flags
    together = torch.tensor(flags, dtype=torch.float32, device=accelerator.device)
    dist.all_reduce(together, op=dist.ReduceOp.MAX)
    return [bool(flag) for flag in together.tolist()]


def mean_over_processes(values: dict[str, float], accelerator: Accelerator) -> dict[str, float]:
    """Average each named number over the processes that have it."""
    if accelerator.num_processes == 1:
        return values
    everyone: list[dict[str, float]] = [{} for _ in range(accelerator.num_processes)]
    dist.all_gather_object(everyone, values)
    names = dict.fromkeys(name for one in everyone for name in one)
    found = {name: [one[name] for one in everyone if name in one] for name in names}
    return {name: sum(numbers) / len(numbers) for name, numbers in found.items()}


def whole(tensor: Tensor) -> Tensor:
    """Return a copy on the host, put together if it is sharded (then all processes must call this)."""
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu().clone()


def collect(entries: Mapping[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    """Copy tensors to the host of the first process, one after the other; the other processes keep nothing.

    Sharded ones are put together, for which all processes must call this.
    """
    kept = {}
    for name, entry in entries.items():
        if isinstance(entry, DTensor) or accelerator.is_main_process:
            entry = entry.detach().full_tensor() if isinstance(entry, DTensor) else entry.detach()
            if accelerator.is_main_process:
                kept[name] = entry.to("cpu", copy=True)
    return kept


@torch.no_grad()
def fill(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into one that may be sharded, in place."""
    value = value.to(target.device, target.dtype)
    if isinstance(target, DTensor):
        value = distribute_tensor(value, target.device_mesh, target.placements)
    target.copy_(value)
