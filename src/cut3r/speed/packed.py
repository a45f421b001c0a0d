"""Weights in the order in which a CPU reads them: oneDNN's matrix products then need not sort them at every call.

The operators are those that torch.compile uses and have no public name yet. Where they are missing, do not work on this
processor or give something else, nothing is packed.
"""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from cut3r.model.blocks import Linear, Mlp
from cut3r.model.network import Cut3r

logger = logging.getLogger(__name__)

USUAL_TOKENS = 768  # the order is best for so many rows, and right for any number


class PackedWeightsError(ValueError):
    """The network's weights are packed: it can run, but not be saved, trained, moved or converted."""


@cache
def can_pack() -> bool:
    """Whether packed bfloat16 products work here: tried once, on a small one."""
    try:
        right = _packed_products_are_right()
    except (AttributeError, RuntimeError, TypeError) as error:  # missing, not for this processor, other arguments
        logger.debug("weights are not packed: %s", error)
        return False
    if not right:
        logger.debug("weights are not packed: PyTorch's operators for it give other numbers than its linear layer")
    return right


class PackedLinear(nn.Module):
    """A linear layer whose weight is packed. `weight` tells its type and shape, and holds no numbers: a second copy
    would double the memory."""

    def __init__(self, layer: Linear) -> None:
        super().__init__()
        self.packed = _reorder(layer.weight)
        self.weight = nn.Parameter(torch.empty_like(layer.weight, device="meta"), requires_grad=False)
        self.bias = layer.bias

    def forward(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        return packed_linear(x.to(self.weight.dtype), self.packed, self.bias, gelu=gelu)

    def _apply(self, *_: Any, **__: Any) -> "PackedLinear":
        raise PackedWeightsError("packed weights cannot be moved or converted: load the network again as it shall be")


class PackedMlp(nn.Module):
    """An MLP whose first layer and GELU are one product."""

    def __init__(self, mlp: Mlp) -> None:
        super().__init__()
        self.fc1, self.fc2 = PackedLinear(mlp.fc1), mlp.fc2

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n e"]:
        return cast(Tensor, self.fc2(self.fc1(x, gelu=True)))


def pack(model: Cut3r) -> None:
    """Put layers with sorted weights in the place of those that compute in bfloat16 on a CPU: a tenth more speed.

    The network can then run, but not be saved, trained, moved or converted. Of another type, on another device, or
    where PyTorch cannot do it, nothing happens.
    """
    if can_pack() and model.device.type == "cpu":
        _replace(model, Mlp, PackedMlp, lambda mlp: mlp.fc1)
        _replace(model, Linear, PackedLinear, lambda layer: layer)


def is_packed(model: Cut3r) -> bool:
    return isinstance(model.memory.key, PackedLinear)


def _replace(model: nn.Module, kind: type, packed: type[nn.Module], first: Callable[[Any], Linear]) -> None:
    """Replace modules of a kind whose first layer computes in bfloat16."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, kind) and first(child).weight.dtype is torch.bfloat16:
                setattr(parent, name, packed(child))


def packed_linear(
    x: Float[Tensor, "*batch i"], packed: Tensor, bias: Float[Tensor, "o"] | None, *, gelu: bool = False
) -> Float[Tensor, "*batch o"]:
    """Do what `linear`, and after it the exact GELU, would do."""
    after: tuple[str, list[Any], str] = ("gelu", [], "none") if gelu else ("none", [], "")
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(x, packed, bias, *after))


def _reorder(weight: Float[Tensor, "o i"]) -> Tensor:
    return cast(Tensor, torch.ops.mkldnn._reorder_linear_weight(weight.detach(), USUAL_TOKENS))


@torch.no_grad()
def _packed_products_are_right() -> bool:
    """Compare a product of known numbers, without and with GELU, to what PyTorch's linear layer gives in float32."""
    x, weight, bias = (torch.linspace(-1, 1, o * i).sin().view(o, i) for o, i in ((3, 32), (16, 32), (1, 16)))
    expected = F.linear(x, weight, bias[0])
    packed = _reorder(weight.bfloat16())
    for gelu, wanted in ((False, expected), (True, F.gelu(expected))):
        found = packed_linear(x.bfloat16(), packed, bias[0].bfloat16(), gelu=gelu)
        if not torch.allclose(found.float(), wanted, rtol=0.02, atol=0.02 * float(wanted.abs().max())):
            return False
    return True
