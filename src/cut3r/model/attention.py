"""Softmax attention with rotated queries and keys: the definition, and a twin for inference on a CPU.

On a CPU, memory decides. The twin touches queries and keys less often, and in bfloat16 replaces PyTorch's fused kernel,
which reaches a third of the speed of matrix products there, by products of a few heads at a time: their scores stay in
the cache.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from cut3r.model.rope import Angles, rotate_pair

FEWEST_SCORES = 1 << 16  # of a head; for smaller ones the twin's steps cost more than they save
HEADS_TOGETHER = 8

_scratch = threading.local()  # a new buffer for each layer would cost as much time as the softmax
_twin = threading.local()


def attend(
    q: Float[Tensor, "b heads n c"],
    k: Float[Tensor, "b heads m c"],
    v: Float[Tensor, "b heads m c"],
    q_angles: Angles | None,
    k_angles: Angles | None,
) -> Float[Tensor, "b n d"]:
    """Softmax attention with scale c^-0.5, the heads concatenated. A side without angles is not rotated."""
    if q_angles is None or k_angles is None or not _suits_the_twin(q, k):
        return attend_plain(q, k, v, q_angles, k_angles)
    return attend_on_cpu(q, k, v, q_angles, k_angles)


@contextmanager
def plain_attention() -> Iterator[None]:
    """Take the definition everywhere, in this thread: for comparisons."""
    _twin.off = True
    try:
        yield
    finally:
        _twin.off = False


def attend_plain(
    q: Float[Tensor, "b heads n c"],
    k: Float[Tensor, "b heads m c"],
    v: Float[Tensor, "b heads m c"],
    q_angles: Angles | None,
    k_angles: Angles | None,
) -> Float[Tensor, "b n d"]:
    """Do what `attend` does, anywhere: the definition to which the twin is compared."""
    q, k = rotate_pair(q, k, q_angles, k_angles)
    return rearrange(F.scaled_dot_product_attention(q, k, v), "b heads n c -> b n (heads c)")


def attend_on_cpu(
    q: Float[Tensor, "b heads n c"],
    k: Float[Tensor, "b heads m c"],
    v: Float[Tensor, "b heads m c"],
    q_angles: Angles,
    k_angles: Angles,
) -> Float[Tensor, "b n d"]:
    """Do what `attend` does, without gradients."""
    scale = q.shape[-1] ** -0.5
    if q.dtype is torch.bfloat16:
        q, k = turn(q, q_angles, scale), turn(k, k_angles)
        mixed = torch.stack([_mix(*sample) for sample in zip(q, k, v.contiguous(), strict=True)])
    else:
        mixed = F.scaled_dot_product_attention(turn(q, q_angles), turn(k, k_angles), v)
    return rearrange(mixed, "b heads n c -> b n (heads c)")


def turn(x: Float[Tensor, "b heads n c"], angles: Angles, scale: float = 1.0) -> Float[Tensor, "b heads n c"]:
    """Rotate as `rope.rotate`, and scale: in place in one copy, which lies head by head."""
    cos, sin = angles
    signs = sin.new_tensor([-1.0, 1.0, -1.0, 1.0]).repeat_interleave(sin.shape[-1] // 4)
    wide = x.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    a, b, c, d = wide.chunk(4, dim=-1)
    swapped = torch.cat((b, a, d, c), dim=-1)
    return wide.mul_(cos * scale).addcmul_(swapped, sin * (signs * scale)).to(x.dtype)


def _suits_the_twin(q: Tensor, k: Tensor) -> bool:
    in_the_way = torch.is_grad_enabled() or torch.compiler.is_compiling() or getattr(_twin, "off", False)
    return q.device.type == "cpu" and q.shape[2] * k.shape[2] >= FEWEST_SCORES and not in_the_way


def _mix(
    q: Float[Tensor, "heads n c"], k: Float[Tensor, "heads m c"], v: Float[Tensor, "heads m c"]
) -> Float[Tensor, "heads n c"]:
    """Attention of one sample, some heads at a time; the queries are scaled already."""
    together = min(len(q), max(HEADS_TOGETHER, torch.get_num_threads()))
    mixed = torch.empty_like(q)
    buffer = _buffer(together, q.shape[1], k.shape[1])
    parts = (tensor.split(together) for tensor in (q, k, v, mixed))
    for some_q, some_k, some_v, some_mixed in zip(*parts, strict=True):
        scores = torch.bmm(some_q, some_k.mT, out=buffer[: len(some_q)])
        torch.bmm(torch.softmax(scores, dim=-1, out=scores), some_v, out=some_mixed)
    return mixed


def _buffer(heads: int, n: int, m: int) -> Float[Tensor, "heads n m"]:
    """Scratch memory of this thread: the largest block that was ever asked for."""
    numbers = heads * n * m
    kept = getattr(_scratch, "scores", None)
    if kept is None or len(kept) < numbers:
        with torch.inference_mode(False):  # it outlives the call, and no_grad must be able to use it
            kept = _scratch.scores = torch.empty(numbers, dtype=torch.bfloat16)
    scores: Tensor = kept[:numbers].view(heads, n, m)
    return scores
