"""A start from nothing that finds cameras sooner than the published one."""

import torch
from torch import nn

from cut3r.model.blocks import CrossAttention
from cut3r.model.config import StatePositions
from cut3r.model.network import Cut3r

LOOKING, COPYING = 2.0, 4.0  # gain of tied queries and keys; bias with which rotation alone finds the own place


@torch.no_grad()
def start_at_own_place(network: Cut3r) -> None:
    """Let the decoder begin with a state that copies the first view, and a view that looks for what is like it.

    All cross-attention compares content (queries and keys are one orthogonal matrix) and passes on what it finds
    (the output undoes the values). The first state block looks at its own place on the image's grid instead, and the
    later ones hardly change what it wrote. In place, after `initialize`, before training.

    Raises:
        ValueError: The state tokens do not lie on a grid, so they have no own place.
    """
    decoder = network.decoder
    if network.config.state.positions is not StatePositions.grid:
        raise ValueError(
            f"a start at the own place needs state tokens on a grid, and state.positions is "
            f"{network.config.state.positions.name}; set it to grid, or run.start to published"
        )
    for cross in (*_cross_attention(decoder.image_blocks), *_cross_attention(decoder.state_blocks)):
        _compare_and_pass_on(cross)
    first, *later = _cross_attention(decoder.state_blocks)
    for layer in (first.q, first.k):
        layer.weight.mul_(0.1)
        layer.bias.fill_(COPYING)
    for cross in later:
        cross.proj.weight.mul_(0.1)


def _cross_attention(blocks: nn.ModuleList) -> list[CrossAttention]:
    return [module for module in blocks.modules() if isinstance(module, CrossAttention)]


def _compare_and_pass_on(cross: CrossAttention) -> None:
    nn.init.orthogonal_(cross.q.weight, gain=LOOKING)
    cross.k.weight.copy_(cross.q.weight)
    nn.init.orthogonal_(cross.v.weight)
    cross.proj.weight.copy_(cross.v.weight.T)
    for layer in (cross.q, cross.k, cross.v, cross.proj):
        nn.init.zeros_(layer.bias)
