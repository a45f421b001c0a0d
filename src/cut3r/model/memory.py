"""The pose memory: slots that associate what a view looks like with where it was seen from.

A slot holds [key | value], each as wide as the decoder. The key is the view's mean encoder token, projected; the
value is the pose token that the decoder ended with.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cut3r.model.blocks import CrossBlock, Linear
from cut3r.model.config import ModelConfig


class PoseMemory(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, depth = config.decoder.width, config.state.memory_depth
        self.slots = nn.Parameter(torch.empty(1, config.state.memory_slots, 2 * width))
        self.blank = nn.Parameter(torch.empty(1, 1, width))
        self.key = Linear(config.encoder.width, width)
        self.read_blocks = nn.ModuleList(self._block(config) for _ in range(depth))
        self.write_blocks = nn.ModuleList(self._block(config) for _ in range(depth))

    @staticmethod
    def _block(config: ModelConfig) -> CrossBlock:
        return CrossBlock(2 * config.decoder.width, config.decoder.heads, config.mlp_ratio)

    def initial(self, batch_size: int) -> Float[Tensor, "b m dd"]:
        return self.slots.expand(batch_size, -1, -1)

    def read(self, memory: Float[Tensor, "b m dd"], view_feature: Float[Tensor, "b 1 c"]) -> Float[Tensor, "b 1 d"]:
        """Guess the pose token of a view from the mean of its encoder tokens."""
        question = torch.cat((self.key(view_feature).float(), self.blank.expand(len(memory), -1, -1)), dim=-1)
        for block in self.read_blocks:
            question = block(question, memory)
        return question.chunk(2, dim=-1)[1]

    def write(
        self,
        memory: Float[Tensor, "b m dd"],
        view_feature: Float[Tensor, "b 1 c"],
        pose_token: Float[Tensor, "b 1 d"],
    ) -> Float[Tensor, "b m dd"]:
        """Return the memory after it has seen this view and the pose token it got."""
        note = torch.cat((self.key(view_feature).float(), pose_token), dim=-1)
        for block in self.write_blocks:
            memory = block(memory, note)
        return memory
