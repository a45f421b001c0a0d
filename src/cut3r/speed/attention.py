"""A twin of softmax attention with rotated queries and keys, for inference on a CPU.

On a CPU, memory decides. The twin touches queries and keys less often. Where the processor multiplies bfloat16, it also
replaces PyTorch's fused kernel, which reaches a third of the speed of matrix products there, by products of a few heads
at a time: their scores stay in the cache.
"""

import threading

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from cut3r.model.blocks import Conv2d, CrossAttention, SelfAttention, attend
from cut3r.model.dpt import DptHead
from cut3r.model.rope import Angles
from cut3r.speed.processor import multiplies_bfloat16

FEWEST_SCORES = 1 << 16  # of a head; for smaller ones the twin's steps cost more than they save
HEADS_TOGETHER = 8
ROWS_TOGETHER = 32  # of a dense map: 8 MB in float32 at 512 pixels
ONE_KEY_IN = 3  # shows how large the scores of a query are

_scratch = threading.local()  # a new buffer for each layer would cost as much time as the softmax


def use_twins(model: nn.Module) -> None:
    """Let the attention layers of a network take the twin where it pays, and the last layers of dense heads some rows
    at a time. They stay the same objects, with the same weights, and do as before where gradients are wanted, in a
    compiled network and on a GPU."""
    for module in model.modules():
        if type(module) in TWINS:
            module.__class__ = TWINS[type(module)]
        if isinstance(module, DptHead):
            module.last.__class__ = LayerByRows


def attend_where_it_pays(
    q: Float[Tensor, "b heads n c"],
    k: Float[Tensor, "b heads m c"],
    v: Float[Tensor, "b heads m c"],
    q_angles: Angles | None,
    k_angles: Angles | None,
) -> Float[Tensor, "b n d"]:
    """Do what `attend` does, by the twin or by itself."""
    if q_angles is None or k_angles is None or not _suits_the_twin(q, k):
        return attend(q, k, v, q_angles, k_angles)
    return attend_on_cpu(q, k, v, q_angles, k_angles)


class LayerByRows(Conv2d):
    """A 1x1 convolution; where it must convert its input on a CPU, some rows at a time, which stay in the cache."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        in_the_way = torch.is_grad_enabled() or torch.compiler.is_compiling()
        if x.device.type != "cpu" or x.dtype is self.weight.dtype or in_the_way:
            return super().forward(x)
        return torch.cat([super(LayerByRows, self).forward(rows) for rows in x.split(ROWS_TOGETHER, dim=2)], dim=2)


class FastSelfAttention(SelfAttention):
    attend = staticmethod(attend_where_it_pays)


class FastCrossAttention(CrossAttention):
    attend = staticmethod(attend_where_it_pays)


TWINS: dict[type[nn.Module], type[nn.Module]] = {
    SelfAttention: FastSelfAttention,
    CrossAttention: FastCrossAttention,
}


def attend_on_cpu(
    q: Float[Tensor, "b heads n c"],
    k: Float[Tensor, "b heads m c"],
    v: Float[Tensor, "b heads m c"],
    q_angles: Angles,
    k_angles: Angles,
) -> Float[Tensor, "b n d"]:
    """Do what `attend` does, without gradients."""
    scale = q.shape[-1] ** -0.5
    if q.dtype is torch.bfloat16 and multiplies_bfloat16():
        q, k = turn(q, q_angles, scale), turn(k, k_angles)
        mixed = torch.stack([_mix(*sample) for sample in zip(q, k, v.contiguous(), strict=True)])
    else:
        mixed = F.scaled_dot_product_attention(turn(q, q_angles), turn(k, k_angles), v)
    return rearrange(mixed, "b heads n c -> b n (heads c)")


def turn(x: Float[Tensor, "b heads n c"], angles: Angles, scale: float = 1.0) -> Float[Tensor, "b heads n c"]:
    """Rotate as `rope.rotate`, and scale: without a copy of the swapped pairs. The result lies head by head."""
    cos, sin = angles
    wide = x.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    turned = wide * (cos * scale)
    pairs, sines = (tensor.unflatten(-1, (2, 2, -1)) for tensor in (wide, sin * scale))  # [..., half, of a pair, c / 4]
    first, second = turned.unflatten(-1, (2, 2, -1)).unbind(-2)
    first.addcmul_(pairs[..., 1, :], sines[..., 0, :], value=-1)
    second.addcmul_(pairs[..., 0, :], sines[..., 1, :])
    return turned.to(x.dtype)


def _suits_the_twin(q: Tensor, k: Tensor) -> bool:
    in_the_way = torch.is_grad_enabled() or torch.compiler.is_compiling()
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
        scores = _scores(some_q, some_k, buffer[: len(some_q)])
        torch.bmm(torch.softmax(scores, dim=-1, out=scores), some_v, out=some_mixed)
    return mixed


def _scores(
    q: Float[Tensor, "heads n c"], k: Float[Tensor, "heads m c"], out: Float[Tensor, "heads n m"]
) -> Float[Tensor, "heads n m"]:
    """Scores in bfloat16, of each query less about its largest one, which softmax does not notice.

    The product adds in float32 and rounds once. Scores that count are then close to 0, with steps of 0.01 or less,
    instead of 16 and more, with steps of 0.12. The largest among some of the keys is close enough.
    """
    largest = torch.bmm(q, k[:, ::ONE_KEY_IN].mT).amax(dim=-1, keepdim=True)
    return torch.baddbmm(-largest, q, k.mT, out=out)


def _buffer(heads: int, n: int, m: int) -> Float[Tensor, "heads n m"]:
    """Scratch memory of this thread: the largest block that was ever asked for."""
    numbers = heads * n * m
    kept = getattr(_scratch, "scores", None)
    if kept is None or len(kept) < numbers:
        with torch.inference_mode(False):  # it outlives the call, and no_grad must be able to use it
            kept = _scratch.scores = torch.empty(numbers, dtype=torch.bfloat16)
    scores: Tensor = kept[:numbers].view(heads, n, m)
    return scores
