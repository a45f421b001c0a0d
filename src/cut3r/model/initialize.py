"""Starting values for training from nothing: the published recipe."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from cut3r.model.blocks import Linear

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
