"""The rotary embedding as a CUDA kernel: queries and keys in one launch. Optional; how to build it: docs/curope.md.

`rope_2d` is None where the kernel is not built, and `problem` says why. The definition is the plain path in
`cut3r.model.rope`; the kernel rounds in the same places, so that both give the same numbers.
"""

import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

KERNEL_TYPES = (torch.float32, torch.float16, torch.bfloat16)
Angles = tuple[Tensor, Tensor]  # cos and sin, each [b or 1, 1, n, c], float32; equal for the two channels of a pair
Rope2d = Callable[[Tensor, Tensor, Angles, Angles], tuple[Tensor, Tensor]]


def _load() -> str | None:
    """Make `torch.ops.curope.rope_2d` known to PyTorch; return what is in the way, or None."""
    # beside this file after `setup.py build_ext --inplace`, elsewhere on the path after `pip install`
    spec = PathFinder.find_spec("curope_kernels", [str(Path(__file__).parent), *sys.path])
    if spec is None or spec.origin is None:
        return "croco.curope is not built; see docs/curope.md"
    try:
        torch.ops.load_library(spec.origin)
    except OSError as error:  # as a rule built for another version of PyTorch
        return f"{spec.origin} does not load into PyTorch {torch.__version__}, build it again: {error}"
    torch.library.register_fake("curope::rope_2d", _shapes)
    torch.library.register_autograd("curope::rope_2d", _backward, setup_context=_remember)
    return None


def _rope_2d(
    q: Float[Tensor, "b heads n c"], k: Float[Tensor, "b heads m c"], q_angles: Angles, k_angles: Angles
) -> tuple[Float[Tensor, "b heads n c"], Float[Tensor, "b heads m c"]]:
    """Turn queries and keys on the current stream into new tensors with their strides, packed.

    Raises:
        RuntimeError: Shapes, types or devices that do not fit each other, or a type other than float32, float16 and
            bfloat16.
    """
    return torch.ops.curope.rope_2d(q, k, *q_angles, *k_angles, False)


def _shapes(q: Tensor, k: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: object) -> None:
    _, _, *tables, ctx.inverse = inputs
    ctx.save_for_backward(*tables)


def _backward(ctx: Any, q_gradient: Tensor, k_gradient: Tensor) -> tuple[Tensor | None, ...]:
    """A rotation is undone by the opposite rotation, and so is its gradient; the angles are constants."""
    turned = torch.ops.curope.rope_2d(q_gradient, k_gradient, *ctx.saved_tensors, not ctx.inverse)
    return (*turned, None, None, None, None, None)


def kernel_for(q: Float[Tensor, "b heads n c"]) -> Rope2d | None:
    """The kernel, if it is built and can turn such queries and their keys: on a GPU, in a type that it knows."""
    return rope_2d if q.is_cuda and q.dtype in KERNEL_TYPES else None


problem = _load()
rope_2d: Rope2d | None = None if problem else _rope_2d
