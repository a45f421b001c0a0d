"""Starting values for training from nothing: the published recipe, and a start that finds cameras sooner."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from cut3r.model.blocks import CrossAttention, Linear
from cut3r.model.config import StatePositions

if TYPE_CHECKING:
    from cut3r.model.network import Cut3r


@torch.no_grad()
def initialize(network: "Cut3r") -> None:
    """Set the parameters of a new network in place; what is not named here keeps PyTorch's defaults.

    The image encoder, the image stream and its embedding get Xavier-uniform matrices and zero biases.
    """
    if next(network.parameters()).is_meta:  # about to be filled from a file
        return
    encoder, decoder, memory = network.encoder, network.decoder, network.memory
    for part in (encoder.image.blocks, decoder.image_blocks, nn.ModuleList([decoder.embed])):
        for layer in part.modules():
            if isinstance(layer, Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
    patch = encoder.image.patch
    nn.init.xavier_uniform_(patch.weight.view(patch.weight.shape[0], -1))  # as one matrix per patch
    for token in (decoder.pose_token, encoder.no_image, encoder.no_rays):
        nn.init.normal_(token, std=0.02)
    for token in (memory.slots, memory.blank):
        nn.init.normal_(token, std=0.2)
    nn.init.normal_(decoder.initial_tokens, std=1.0)


LOOKING, COPYING = 2.0, 4.0  # gain of tied queries and keys; bias with which rotation alone finds the own place


@torch.no_grad()
def start_at_own_place(network: "Cut3r") -> None:
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
