"""Weights in the order in which a CPU reads them: oneDNN's matrix products then need not sort them at every call.

The operators are those that torch.compile uses and have no public name yet. Where they are missing, nothing is packed.
"""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

USUAL_TOKENS = 768  # the order is best for so many rows, and right for any number


class PackedWeightsError(ValueError):
    """The network's weights are packed: it can run, but not be saved, trained, moved or converted."""


def can_pack() -> bool:
    operators = torch.ops.mkldnn
    return torch.backends.mkldnn.is_available() and all(
        hasattr(operators, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    )


def pack(layer: nn.Linear) -> Tensor:
    """Give a layer's packed weight, and leave the layer without any: a second copy would double the memory."""
    packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), USUAL_TOKENS)
    layer.weight = nn.Parameter(torch.empty_like(layer.weight, device="meta"), requires_grad=False)
    return cast(Tensor, packed)


def packed_linear(
    x: Float[Tensor, "*batch i"], packed: Tensor, bias: Float[Tensor, "o"] | None, *, gelu: bool = False
) -> Float[Tensor, "*batch o"]:
    """Do what `linear`, and after it the exact GELU, would do."""
    after: tuple[str, list[Any], str] = ("gelu", [], "none") if gelu else ("none", [], "")
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(x, packed, bias, *after))
