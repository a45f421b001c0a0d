"""The heart: the view's tokens and the state look at each other, layer by layer.

The image stream carries the pose token in front of the patch tokens. In each layer both streams read the other's
output of the layer before, so their order does not matter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cut3r.model.blocks import CrossBlock, LayerNorm, Linear, QueriesAndKeys
from cut3r.model.config import ModelConfig
from cut3r.model.encoder import Tokens
from cut3r.model.rope import grid_angles, state_angles


@dataclass(frozen=True)
class Decoded:
    """What the heads read (`pose` and `stages`) and what the state becomes if the view writes (`candidate`).

    `stages`: encoder features, two layers on the way without the pose token, and the last layer's normalised patch
    tokens. `embedded`: the patch tokens before the first layer.
    """

    pose: Float[Tensor, "b 1 d"]
    stages: tuple[Tensor, Tensor, Tensor, Tensor]
    candidate: Float[Tensor, "b s d"]
    embedded: Float[Tensor, "b n d"]
    grid: tuple[int, int]


def one_after_the_other(first: Callable[[], Tensor], second: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    return first(), second()


class Decoder(nn.Module):
    both = staticmethod(one_after_the_other)  # `cut3r.speed` has a way to do both at the same time

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        decoder, width = config.decoder, config.decoder.width
        self.base = config.rope_base
        self.image_head_dim = width // decoder.heads
        self.state_head_dim = width // decoder.state_heads
        self.state_layout = config.state.positions.value
        self.embed = Linear(config.encoder.width, width)
        self.embed_state = Linear(config.encoder.width, width)
        self.pose_token = nn.Parameter(torch.empty(1, 1, width))
        self.initial_tokens = nn.Parameter(torch.empty(config.state.tokens, config.encoder.width))
        self.image_blocks = nn.ModuleList(
            CrossBlock(width, decoder.heads, config.mlp_ratio) for _ in range(decoder.depth)
        )
        self.state_blocks = nn.ModuleList(
            CrossBlock(width, decoder.state_heads, config.mlp_ratio) for _ in range(decoder.depth)
        )
        self.norm = LayerNorm(width)
        self.norm_state = LayerNorm(width)

    def initial(self, batch_size: int) -> Float[Tensor, "b s d"]:
        return self.embed_state(self.initial_tokens).float().expand(batch_size, -1, -1)

    def forward(
        self,
        tokens: Tokens,
        pose_query: Float[Tensor, "b 1 d"],
        state: Float[Tensor, "b s d"],
        statistics: QueriesAndKeys | None = None,
    ) -> Decoded:
        """Decode a view; `statistics` is told what the state's queries make of the view's keys."""
        embedded = self.embed(tokens.features).float()
        image = torch.cat((pose_query, embedded), dim=1)  # [b, 1 + n, d]
        depth = len(self.image_blocks)
        kept = {depth // 2: image, depth * 3 // 4: image}
        dims, device = (self.image_head_dim, self.state_head_dim), image.device
        image_angles = [grid_angles(tokens.grid, dim, self.base, device, pose_token=True) for dim in dims]
        state_side = [state_angles(state.shape[1], self.state_layout, dim, self.base, device) for dim in dims]
        layers = zip(self.image_blocks, self.state_blocks, strict=True)
        for layer, (image_block, state_block) in enumerate(layers, start=1):
            image, state = self.both(
                partial(image_block, image, state, image_angles[0], state_side[0]),
                partial(state_block, state, image, state_side[1], image_angles[1], statistics),
            )
            if layer in kept:
                kept[layer] = image
        image, candidate = self.norm(image), self.norm_state(state)
        early, late = (kept[layer][:, 1:] for layer in (depth // 2, depth * 3 // 4))
        return Decoded(image[:, :1], (tokens.features, early, late, image[:, 1:]), candidate, embedded, tokens.grid)
