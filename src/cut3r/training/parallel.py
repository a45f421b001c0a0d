"""Several processes, one model: who holds the weights, and how gradients meet.

DDP: each process holds everything. Gradients are gathered in the parameters during all backward passes of an
optimizer step (all chunks, all accumulated iterations), then averaged once. So processes may have different numbers of
views and chunks, and a whole step and a chunked step meet in the same way. PyTorch's wrapper of that name is not used:
it would hold a second set of gradients, to average them in each backward pass.

FSDP: gradients, optimizer and weights at rest are sharded. The weights come together for a chunk: each block of the
decoders when it is first needed, while the block before it is at work, and it stays for the other views of the chunk;
the rest (encoders, of which not every batch needs all; memory; heads) in one piece. All in float32: a block holds norms
beside its matrices, and not every device takes norms in bfloat16. Every forward pass is a meeting of all processes, so
all need the same number of chunks.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

T = TypeVar("T")

COLLECTIVE_TIMEOUT = timedelta(seconds=6000)  # the first process may write a large file while the others wait
BUCKET = 25_000_000  # numbers that are averaged in one message


class Sharding(Enum):
    ddp = "ddp"
    fsdp = "fsdp"


def start_processes(device: str) -> Accelerator:
    """Join the other processes, if torchrun or accelerate have started any. Precision and wrapping are our own."""
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if device == "cuda" and on_cpu:
        raise ValueError("run.device is cuda, but PyTorch finds no CUDA device; set run.device=auto or cpu")
    return Accelerator(
        cpu=on_cpu, mixed_precision="no", kwargs_handlers=[InitProcessGroupKwargs(timeout=COLLECTIVE_TIMEOUT)]
    )


def distribute(
    step: nn.Module,
    accelerator: Accelerator,
    sharding: Sharding,
    *,
    blocks: Sequence[nn.Module] = (),
) -> nn.Module:
    """Put the module on the device; all processes continue with the weights of the first.

    Args:
        blocks: Parts that every forward pass runs, on every process; sharded one by one.
    """
    step = step.to(accelerator.device)
    if accelerator.num_processes == 1:
        return step
    for tensor in step.state_dict().values():
        dist.broadcast(tensor, src=0)
    if sharding is Sharding.fsdp:
        mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        for block in blocks:  # in place
            sharded = fully_shard(block, mesh=mesh, reshard_after_forward=False)
            sharded.set_reshard_after_backward(False)  # its backward pass runs once per view: see `let_go`
        fully_shard(step, mesh=mesh, reshard_after_forward=True)
    return step


def let_go(step: nn.Module) -> None:
    """Drop the whole weights of sharded blocks: they must not survive the next optimizer step."""
    if isinstance(step, FSDPModule):
        for module in step.modules():
            if isinstance(module, FSDPModule):
                module.reshard()


def average_gradients(step: nn.Module, accelerator: Accelerator) -> None:
    """Replace the gradients by their average over the processes; a process that has none counts with zero.

    FSDP has done so in the backward passes.
    """
    if accelerator.num_processes == 1 or isinstance(step, FSDPModule):
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
    return [bool(flag) for flag in largest([float(flag) for flag in flags], accelerator)]


def largest(numbers: list[float], accelerator: Accelerator) -> list[float]:
    """Return the largest value of each number over the processes, in one message."""
    if accelerator.num_processes == 1:
        return numbers
    together = torch.tensor(numbers, dtype=torch.float64, device=accelerator.device)
    dist.all_reduce(together, op=dist.ReduceOp.MAX)
    return [float(number) for number in together.tolist()]


def everyone(value: T, accelerator: Accelerator) -> list[T]:
    """Return the values of all processes, in their order. They travel by pickle, so they should be small."""
    if accelerator.num_processes == 1:
        return [value]
    values = [value] * accelerator.num_processes
    dist.all_gather_object(values, value)
    return values


def whole(tensor: Tensor) -> Tensor:
    """Return a copy on the host, put together if it is sharded (then all processes must call this)."""
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu().clone()


@torch.no_grad()
def collect(entries: Mapping[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    """Copy tensors to the host of the first process, one after the other; the other processes keep nothing.

    Sharded ones are put together, for which all processes must call this.
    """
    kept = {}
    for name, entry in entries.items():
        if isinstance(entry, DTensor) or accelerator.is_main_process:
            together = entry.full_tensor() if isinstance(entry, DTensor) else entry
            if accelerator.is_main_process:
                kept[name] = together.detach().to("cpu", copy=True)
    return kept


@torch.no_grad()
def fill(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into one that may be sharded, in place."""
    value = value.to(target.device, target.dtype)
    if isinstance(target, DTensor):
        value = distribute_tensor(value, target.device_mesh, target.placements)
    target.copy_(value)
