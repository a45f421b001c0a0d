"""Weights in the order in which a CPU reads them: oneDNN's matrix products then need not sort them at every call.

The operators are those that torch.compile uses and have no public name yet. Where they are missing, do not work on this
processor or give something else, nothing is packed.
"""

import logging
from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

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


def pack(layer: nn.Linear) -> Tensor:
    """Give a layer's packed weight, and leave the layer without any: a second copy would double the memory."""
    packed = _reorder(layer.weight)
    layer.weight = nn.Parameter(torch.empty_like(layer.weight, device="meta"), requires_grad=False)
    return packed


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
