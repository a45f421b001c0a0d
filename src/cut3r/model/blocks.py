"""Transformer blocks: attention, MLP, and the three kinds of block the network is made of.

Precision follows the weights: `Linear` and `Conv2d` cast their input to the type of their weights, while the residual
stream and the norms stay in float32. A network whose matrix weights are bfloat16 therefore needs no autocast.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from cut3r.model.rope import Angles, rotate_pair


class Linear(nn.Linear):
    """A linear layer that takes any floating type and computes in that of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class Conv2d(nn.Conv2d):
    """A convolution that takes any floating type and computes in that of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class ExactConv2d(Conv2d):
    """A convolution in true float32, whatever autocast and the switches for TF32 say: it reads metres."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False), _without_tf32(x.device):
            return super().forward(x)


@contextmanager
def _without_tf32(device: torch.device) -> Iterator[None]:
    """Keep cuDNN to float32: TF32, which PyTorch lets it use by default, knows a camera 35 m away to 2 cm."""
    before = torch.backends.cudnn.allow_tf32
    if device.type != "cuda" or not before:
        yield
        return
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


class ConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution that takes any floating type and computes in that of its weights."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(x.to(self.weight.dtype), output_size)


MATRIX_LAYERS = (Linear, Conv2d, ConvTranspose2d)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation with the network's epsilon."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-6)


def add(x: Float[Tensor, "b n d"], change: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
    """Add to the residual stream, which is float32 whatever the type of the change."""
    if change.dtype is not x.dtype and x.device.type == "cpu":
        return change.to(x.dtype).add_(x)  # a CPU adds numbers of two types one by one, five times slower
    return x + change


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width if out is None else out)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n e"]:
        return self.fc2(F.gelu(self.fc1(x)))


def attend(
    q: Float[Tensor, "b heads n c"],
    k: Float[Tensor, "b heads m c"],
    v: Float[Tensor, "b heads m c"],
    q_angles: Angles | None,
    k_angles: Angles | None,
) -> Float[Tensor, "b n d"]:
    """Softmax attention with scale c^-0.5, the heads concatenated. A side without angles is not rotated."""
    q, k = rotate_pair(q, k, q_angles, k_angles)
    return rearrange(F.scaled_dot_product_attention(q, k, v), "b heads n c -> b n (heads c)")


@runtime_checkable
class QueriesAndKeys(Protocol):
    """Who wants to know what attention compares: of each layer, rotated."""

    def add(self, q: Tensor, k: Tensor) -> None: ...


class SelfAttention(nn.Module):
    """Multi-head self-attention with rotary positions."""

    attend = staticmethod(attend)  # `cut3r.speed` has a faster twin

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, x: Float[Tensor, "b n d"], angles: Angles | None) -> Float[Tensor, "b n d"]:
        q, k, v = rearrange(self.qkv(x), "b n (three heads c) -> three b heads n c", three=3, heads=self.heads)
        return self.proj(self.attend(q, k, v, angles, angles))


class CrossAttention(nn.Module):
    """Multi-head cross-attention: tokens ask, those of the partner stream answer."""

    attend = staticmethod(attend)

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = Linear(width, width)
        self.k = Linear(width, width)
        self.v = Linear(width, width)
        self.proj = Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        partner: Float[Tensor, "b m d"],
        x_angles: Angles | None,
        partner_angles: Angles | None,
        statistics: QueriesAndKeys | None = None,
    ) -> Float[Tensor, "b n d"]:
        q, k, v = (
            rearrange(layer(tokens), "b n (heads c) -> b heads n c", heads=self.heads)
            for layer, tokens in ((self.q, x), (self.k, partner), (self.v, partner))
        )
        if statistics is not None:
            statistics.add(*rotate_pair(q, k, x_angles, partner_angles))
        return self.proj(self.attend(q, k, v, x_angles, partner_angles))


class SelfBlock(nn.Module):
    """Self-attention, then MLP, each on a normalised copy and added back."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.mlp = Mlp(width, mlp_ratio * width)

    def forward(self, x: Float[Tensor, "b n d"], angles: Angles | None) -> Float[Tensor, "b n d"]:
        x = add(x, self.attn(self.norm1(x), angles))
        return add(x, self.mlp(self.norm2(x)))


class CrossBlock(nn.Module):
    """Self-attention, attention to a partner stream, MLP. The partner is read, not changed."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = LayerNorm(width)
        self.norm_partner = LayerNorm(width)
        self.cross = CrossAttention(width, heads)
        self.norm3 = LayerNorm(width)
        self.mlp = Mlp(width, mlp_ratio * width)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        partner: Float[Tensor, "b m d"],
        x_angles: Angles | None = None,
        partner_angles: Angles | None = None,
        statistics: QueriesAndKeys | None = None,
    ) -> Float[Tensor, "b n d"]:
        x = add(x, self.attn(self.norm1(x), x_angles))
        x = add(x, self.cross(self.norm2(x), self.norm_partner(partner), x_angles, partner_angles, statistics))
        return add(x, self.mlp(self.norm3(x)))


class ModulatedNorm(nn.Module):
    """Layer normalisation whose shift and scale come from another token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = LayerNorm(width)
        self.modulation = Linear(width, 2 * width)

    def forward(self, x: Float[Tensor, "b n d"], by: Float[Tensor, "b 1 d"]) -> Float[Tensor, "b n d"]:
        shift, scale = self.modulation(F.silu(by)).float().chunk(2, dim=-1)
        return self.norm(x) * (1 + scale) + shift


class ModulatedBlock(nn.Module):
    """A self-attention block that sees its tokens through norms modulated by the pose token."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = ModulatedNorm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = ModulatedNorm(width)
        self.mlp = Mlp(width, mlp_ratio * width)

    def forward(
        self, x: Float[Tensor, "b n d"], by: Float[Tensor, "b 1 d"], angles: Angles | None
    ) -> Float[Tensor, "b n d"]:
        x = add(x, self.attn(self.norm1(x, by), angles))
        return add(x, self.mlp(self.norm2(x, by)))
