"""Mixed precision and recomputation, put around parts of a network that knows nothing of them.

Weights, gradients and optimizer are float32. In `bf16` and `fp16` the trunk (encoders, decoders, memory, modulated
blocks) runs under autocast; the output heads and the losses are computed in float32.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cut3r.model.blocks import CrossBlock, SelfBlock
from cut3r.model.dpt import DptHead
from cut3r.model.network import Cut3r


class Precision(Enum):
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"  # with loss scaling; for GPUs without bfloat16


AUTOCAST = {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Return a new autocast region. Leaving the outermost region drops the cached casts, so open one per chunk."""
    dtype = AUTOCAST.get(precision)
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def keep_outputs_float32(model: Cut3r) -> None:
    """Make the output heads ignore a surrounding autocast, in place: bfloat16 cannot tell 4.00 m from 4.01 m."""
    heads = model.heads
    for head in (heads.points_cam, heads.points_world, heads.rgb, heads.pose):
        head.forward = _in_float32(head.forward)  # type: ignore[method-assign]


def recompute_blocks(model: Cut3r) -> None:
    """Let blocks and dense heads forget their activations and compute them again in the backward pass, in place."""
    for module in model.modules():
        if isinstance(module, SelfBlock | CrossBlock | DptHead):
            module.forward = _recomputed(module.forward)  # type: ignore[method-assign]


def _recomputed(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(*inputs: Any) -> Tensor:
        if not torch.is_grad_enabled():
            return forward(*inputs)
        # nothing in the network is random, so there is no random state to keep
        return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False)

    return run


def _in_float32(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(first: Tensor | tuple[Tensor, ...], *rest: Any) -> Tensor:
        some = first if isinstance(first, Tensor) else first[0]
        with torch.autocast(some.device.type, enabled=False):
            return forward(first, *rest)

    return run


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Return how many numbers the network has, and how many of them learn."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, learns in sizes if learns)
