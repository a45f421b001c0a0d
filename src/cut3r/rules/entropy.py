"""The entropy of attention, without keeping its maps.

With logits a and p = softmax(a), the entropy is logsumexp(a) - sum p a; and as a = q k, sum p a = q (sum p k), which is
attention with the keys for values. A fused kernel that also tells the logsumexp therefore makes no map at all.
Elsewhere the maps of a few heads at a time are made and reduced at once.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

KERNEL = "_scaled_dot_product_flash_attention_for_cpu"
LARGEST_MAP = 1 << 22  # numbers in the maps of heads that are reduced together: 16 MiB


@torch.no_grad()  # rules only look at its ranks, which have no gradient
def mean_entropy(q: Float[Tensor, "b heads s c"], k: Float[Tensor, "b heads n c"]) -> Float[Tensor, "b s"]:
    """Give the entropy of each query's attention as a share of the largest possible, ln n; the mean over the heads."""
    q, k = q.float() * q.shape[-1] ** -0.5, k.float()
    fused = q.device.type == "cpu" and hasattr(torch.ops.aten, KERNEL)  # it has no public name yet
    entropy = fused_entropy(q, k) if fused else entropy_in_parts(q, k)
    return (entropy / math.log(max(k.shape[2], 2))).clamp(0, 1).mean(dim=1)


def fused_entropy(q: Float[Tensor, "b heads s c"], k: Float[Tensor, "b heads n c"]) -> Float[Tensor, "b heads s"]:
    """The entropy of softmax(q k), in nats, by the attention kernel of the CPU."""
    kernel = getattr(torch.ops.aten, KERNEL)
    mean_key, log_sum = kernel(q, k, k, scale=1.0)  # b heads s c, b heads s
    return log_sum - (q * mean_key).sum(dim=-1)


def entropy_in_parts(
    q: Float[Tensor, "b heads s c"], k: Float[Tensor, "b heads n c"], largest_map: int = LARGEST_MAP
) -> Float[Tensor, "b heads s"]:
    """The same on any device: the maps of as many heads at a time as have `largest_map` numbers, or of one."""
    b, _, s, _ = q.shape
    together = max(1, largest_map // (b * s * k.shape[2]))
    parts = zip(q.split(together, dim=1), k.split(together, dim=1), strict=True)
    return torch.cat([_entropy(some_q, some_k) for some_q, some_k in parts], dim=1)


def _entropy(q: Float[Tensor, "b heads s c"], k: Float[Tensor, "b heads n c"]) -> Float[Tensor, "b heads s"]:
    logits = q @ k.mT
    logits -= logits.amax(dim=-1, keepdim=True)
    weights = logits.exp()
    total = weights.sum(dim=-1)
    return total.log() - weights.mul_(logits).sum(dim=-1) / total
