"""Mixed precision and recomputation, put around parts of a network that knows nothing of them.

Weights, gradients and optimizer are float32. In `bf16` and `fp16` the trunk (encoders, decoders, memory, modulated
blocks) runs under autocast; the output heads, the patches of ray maps (`ExactConv2d`) and the losses are computed in
float32.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from cut3r.model.blocks import CrossBlock, SelfBlock
from cut3r.model.dpt import DptHead
from cut3r.model.network import Cut3r


class Precision(Enum):
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"  # with loss scaling; for GPUs without bfloat16


ATTENTION_KERNELS = (
    "flash_attention",
    "efficient_attention",
    "cudnn_attention",
    "flash_attention_for_cpu",
)
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


def recompute_blocks(model: Cut3r, *, keep_products: bool = False) -> None:
    """Let blocks and dense heads forget their activations and compute them again in the backward pass, in place.

    Args:
        keep_products: Keep what matrix products, convolutions and attention give, which takes nearly all of the time
            and less than half of the memory.
    """
    options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}  # nothing in the network is random
    if keep_products:
        options["context_fn"] = partial(create_selective_checkpoint_contexts, _products())
    for module in model.modules():
        if isinstance(module, SelfBlock | CrossBlock | DptHead):
            module.forward = _recomputed(module.forward, options)  # type: ignore[method-assign]


def _products() -> list[Any]:
    """The operators that are expensive to compute again, as far as this PyTorch has them."""
    names = ("mm", "addmm", "bmm", "convolution", *(f"_scaled_dot_product_{kind}" for kind in ATTENTION_KERNELS))
    return [getattr(torch.ops.aten, name).default for name in names if hasattr(torch.ops.aten, name)]


def _recomputed(forward: Callable[..., Tensor], options: dict[str, Any]) -> Callable[..., Tensor]:
    def run(*inputs: Any) -> Tensor:
        if not torch.is_grad_enabled():
            return forward(*inputs)
        return checkpoint(forward, *inputs, **options)

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
