"""Softmax attention: the plain definition, and a twin for bfloat16 on a CPU.

PyTorch's fused kernel keeps the scores of a block of queries in the cache. On a CPU in bfloat16 it reaches a third of
the speed of matrix products; plain products of a few heads at a time, whose scores fit into the cache as well, reach
more than half (benchmarks/README.md).
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from cut3r.model.rope import Angles, rotate_pair

FEWEST_SCORES = 1 << 16  # per head; below, the fused kernel is as good


def attend(
    q: Float[Tensor, "b heads n c"],
    k: Float[Tensor, "b heads m c"],
    v: Float[Tensor, "b heads m c"],
    q_angles: Angles | None,
    k_angles: Angles | None,
) -> Float[Tensor, "b n d"]:
    """Softmax attention with scale c^-0.5, the heads concatenated. A side without angles is not rotated."""
    q, k = rotate_pair(q, k, q_angles, k_angles)
    mix = mix_by_heads if _is_faster_by_heads(q, k) else F.scaled_dot_product_attention
    return rearrange(mix(q, k, v), "b heads n c -> b n (heads c)")


@torch.compiler.disable  # a loop over fixed buffers: nothing to fuse
def mix_by_heads(
    q: Float[Tensor, "b heads n c"], k: Float[Tensor, "b heads m c"], v: Float[Tensor, "b heads m c"]
) -> Float[Tensor, "b heads n c"]:
    """Do what `scaled_dot_product_attention` does, a few heads at a time: one per thread. Without gradients."""
    b, heads, n, c = q.shape
    step = min(heads, max(2, torch.get_num_threads()))
    mixed = torch.empty(b, n, heads, c, dtype=q.dtype, device=q.device).transpose(1, 2)  # as it is read afterwards
    buffer = torch.empty(step, n, k.shape[2], dtype=q.dtype, device=q.device)
    q = q * c**-0.5
    for sample in range(b):
        for first in range(0, heads, step):
            some = slice(first, min(first + step, heads))
            scores = torch.bmm(q[sample, some], k[sample, some].mT, out=buffer[: some.stop - first])
            torch.softmax(scores, dim=-1, out=scores)
            mixed[sample, some] = scores @ v[sample, some]
    return mixed


def _is_faster_by_heads(q: Tensor, k: Tensor) -> bool:
    large = q.shape[2] * k.shape[2] >= FEWEST_SCORES
    return large and q.device.type == "cpu" and q.dtype is torch.bfloat16 and not torch.is_grad_enabled()
