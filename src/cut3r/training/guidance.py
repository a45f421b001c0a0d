"""Guidance: losses on where the network looks, for training it from nothing.

To use the first view, the network must write it down in the state, make tokens of two views comparable, look by
content, and read off where it found what. Each step is useless without the others, so from random weights the pose
loss alone leaves "no motion" alone. Three losses name the steps: `matching` makes the encoder's tokens comparable,
`attention` says where the first layers must look and where the state must write, `flow` reads off the place.

They have weights of their own (`Guidance`), which are trained with the network and are no part of it.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cut3r.data.view import View
from cut3r.model.config import ModelConfig, StatePositions
from cut3r.model.decoder import Decoded, Decoder
from cut3r.model.network import Cut3r
from cut3r.model.rope import Angles, grid_angles, rotate_pair, state_angles
from cut3r.training.correspondence import Correspondence, correspond, soft_labels
from cut3r.training.loss_config import GuidanceConfig

LAYERS, HEADS = 2, 2  # the first ones of the image stream are guided; the others may look wherever they like
MATCHING_WIDTH = 48
FARTHEST = 1.5  # flow is learned a little beyond the edges of the first image, which are at 1


class Guidance(nn.Module):
    """The three losses of a network, with their heads. Hooks on its decoder keep what they read.

    Raises:
        ValueError: Attention is to be guided and the state tokens do not lie on a grid.
    """

    def __init__(self, model: Cut3r, config: GuidanceConfig) -> None:
        super().__init__()
        self.config, self.model_config = config, model.config
        width, patch = model.config.decoder.width, model.config.patch_size
        self.patch = patch
        if config.matching:
            self.matching = Matching(model.config.encoder.width, max(model.config.image_size) // patch)
        if config.flow:
            self.flow = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))
        self.state_columns = state_columns(model.config) if config.attention else 0
        self.layers = min(LAYERS, model.config.decoder.depth) if config.attention else 0
        self._recorder = Recorder(model.decoder, self.layers)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep what the network computes inside, in place of what was kept before."""
        with self._recorder.recording():
            yield

    def forward(self, views: Sequence[View], first: View, *, begins: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Judge the recorded views of a sequence, or of a chunk of it.

        Args:
            first: The first view of the sequence.
            begins: `views` begins with it. Matching needs its tokens, so later chunks go without.

        Returns:
            The weighted sum, and the plain means by name: `matching`, `attention` and `write` are cross-entropies in
            nats (attention by content is below that of the position alone), `flow` is in half image sides.
        """
        decoded, products = self._recorder.take()
        later = range(1 if begins else 0, len(views))
        places = {number: correspond(views[number], first, self.patch) for number in later}
        terms: dict[str, list[Tensor]] = {}
        for number, place in places.items():
            if self.config.matching and begins:
                terms.setdefault("matching", []).append(self.matching(decoded[number], decoded[0], place))
            if self.config.attention:
                scores = [self._reading(products, layer, number, decoded[number].grid) for layer in range(self.layers)]
                terms.setdefault("attention", []).append(self._attention(torch.cat(scores, 1), decoded[number], place))
            if self.config.flow:
                terms.setdefault("flow", []).append(self._flow(decoded[number], place))
        if self.config.attention and begins:
            terms["write"] = [self._write(products, first.has_image, decoded[0].grid)]
        means = {name: torch.stack(values).mean() for name, values in terms.items()}
        weights = {"write": self.config.attention, **vars(self.config)}
        total = sum((weights[name] * mean for name, mean in means.items()), first.depth.new_zeros(()))
        return total, {name: mean.detach() for name, mean in means.items()}

    def _attention(
        self, scores: Float[Tensor, "b k n s"], decoded: Decoded, place: Correspondence
    ) -> Float[Tensor, ""]:
        """Cross-entropy of where the patches of a later view look in the state."""
        labels = soft_labels(place.place, decoded.grid, columns=self.state_columns, tokens=scores.shape[-1])
        errors = -(labels.unsqueeze(1) * scores.log_softmax(dim=-1)).sum(dim=-1)  # b k n
        return mean_where(errors.mean(dim=1), place.visible)

    def _reading(
        self, products: dict[str, list[Tensor]], layer: int, number: int, grid: tuple[int, int]
    ) -> Float[Tensor, "b k n s"]:
        """Scores of the image's patches on the state; the pose token looks wherever it likes."""
        q, k = (products[name][number] for name in cross_attention("image", layer))
        heads = self.model_config.decoder.heads
        of_state, of_image = self._angles(heads, grid, k)
        return _scores(q, k, of_image, of_state, heads)[:, :, 1:]

    def _write(
        self, products: dict[str, list[Tensor]], seen: Bool[Tensor, "b"], grid: tuple[int, int]
    ) -> Float[Tensor, ""]:
        """Cross-entropy of where the state looks in the first image: each token at its own place."""
        q, k = (products[name][0] for name in cross_attention("state", 0))
        heads = self.model_config.decoder.state_heads
        scores = _scores(q, k, *self._angles(heads, grid, q), heads)  # b k s 1+n
        rows, columns = (torch.arange(side, device=q.device) for side in grid)
        own = (rows.unsqueeze(1) * self.state_columns + columns).flatten()
        image = 1 + torch.arange(len(own), device=q.device)
        errors = -scores.log_softmax(dim=-1)[:, :, own, image]  # b k n
        return mean_where(errors.mean(dim=(1, 2)), seen)

    def _flow(self, decoded: Decoded, place: Correspondence) -> Float[Tensor, ""]:
        errors = (self.flow(decoded.stages[3].float()) - place.place).abs().sum(dim=-1)
        return mean_where(errors, place.known & (place.place.abs() < FARTHEST).all(dim=-1))

    def _angles(self, heads: int, grid: tuple[int, int], state: Tensor) -> tuple[Angles | None, Angles]:
        """Angles of the state's tokens and of the image's, with the pose token, as in the decoder."""
        config = self.model_config
        dim, base = config.decoder.width // heads, config.rope_base
        of_state = state_angles(state.shape[1], config.state.positions.value, dim, base, state.device)
        return of_state, grid_angles(grid, dim, base, state.device, pose_token=True)


class Matching(nn.Module):
    """Which token of the first view a patch shows: by the encoder's tokens, both projected alike, and by the offset."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, MATCHING_WIDTH))
        self.scale = nn.Parameter(torch.tensor([2.0]))  # log; with an axis, which FSDP wants
        self.by_offset = nn.Parameter(torch.zeros(2 * reach + 1, 2 * reach + 1))
        self.reach = reach

    def forward(self, later: Decoded, first: Decoded, place: Correspondence) -> Float[Tensor, ""]:
        rows, columns = later.grid
        q, k = (F.normalize(self.project(decoded.stages[0].float()), dim=-1) for decoded in (later, first))
        scores = self._bias(later.grid) + self.scale.exp() * q @ k.mT  # b n n
        labels = soft_labels(place.place, later.grid, columns=columns, tokens=rows * columns)
        return mean_where(-(labels * scores.log_softmax(dim=-1)).sum(dim=-1), place.visible)

    def _bias(self, grid: tuple[int, int]) -> Float[Tensor, "n n"]:
        at = torch.cartesian_prod(*(torch.arange(side, device=self.by_offset.device) for side in grid))
        offset = (at.unsqueeze(0) - at.unsqueeze(1)).clamp(-self.reach, self.reach) + self.reach
        return self.by_offset[offset[..., 0], offset[..., 1]]


class Recorder:
    """Keeps what a decoder computes, view by view, while it is told to: a recomputation in a backward pass is not."""

    def __init__(self, decoder: Decoder, layers: int) -> None:
        self._on = False
        self._decoded: list[Decoded] = []
        self._products: dict[str, list[Tensor]] = {}
        decoder.register_forward_hook(self._keep_decoded)
        names = [name for layer in range(layers) for name in cross_attention("image", layer)]
        for name in names + (list(cross_attention("state", 0)) if layers else []):
            decoder.get_submodule(name).register_forward_hook(partial(self._keep_product, name))

    @contextmanager
    def recording(self) -> Iterator[None]:
        self.take()
        self._on = True
        try:
            yield
        finally:
            self._on = False

    def take(self) -> tuple[list[Decoded], dict[str, list[Tensor]]]:
        """Give what was kept and let go of it; queries and keys by the names of their layers."""
        taken = self._decoded, self._products
        self._decoded, self._products = [], {}
        return taken

    def _keep_decoded(self, module: nn.Module, inputs: Any, decoded: Decoded) -> None:
        if self._on:
            self._decoded.append(decoded)

    def _keep_product(self, name: str, module: nn.Module, inputs: Any, product: Tensor) -> None:
        if self._on:
            self._products.setdefault(name, []).append(product)


def require_state_grid(model: ModelConfig, sizes: Sequence[Sequence[int]]) -> None:
    """Refuse sizes (h, w) of images with patches at whose place no state token lies.

    Raises:
        ValueError: There is such a size, or the state tokens do not lie on a grid.
    """
    columns = state_columns(model)
    for h, w in sizes:
        rows, across = h // model.patch_size, w // model.patch_size
        if across > columns or (rows - 1) * columns + across > model.state.tokens:
            side = max(rows, across) + max(rows, across) % 2
            raise ValueError(
                f"loss.guidance.attention needs a state token at the place of each patch, but {h}x{w} pixels are "
                f"{rows}x{across} patches and the {model.state.tokens} state tokens lie in {columns} columns; set "
                f"model.state.tokens to {side * side}, or loss.guidance.attention to 0"
            )


def state_columns(model: ModelConfig) -> int:
    """Count the columns of the state's grid.

    Raises:
        ValueError: The state tokens do not lie on a grid.
    """
    if model.state.positions is not StatePositions.grid:
        raise ValueError(
            f"loss.guidance.attention needs state tokens on a grid, and model.state.positions is "
            f"{model.state.positions.name}; set it to grid, or loss.guidance.attention to 0"
        )
    columns = math.isqrt(model.state.tokens)
    return columns + columns % 2


def cross_attention(stream: str, layer: int) -> tuple[str, str]:
    """Name the layers that make queries and keys, for the "image" stream or the "state"."""
    return f"{stream}_blocks.{layer}.cross.q", f"{stream}_blocks.{layer}.cross.k"


def position_alone(labels: Float[Tensor, "b n t"], visible: Bool[Tensor, "b n"]) -> Float[Tensor, ""]:
    """Give the cross-entropy of a guess that knows where a patch is and not what it shows, nats.

    Attention below it looks by content; above it, cameras cannot be learned. The guess is the mean label at each
    patch, so take some hundred samples: with few of them it knows too much.
    """
    seen = visible.unsqueeze(-1)
    guess = (labels * seen).sum(dim=0) / seen.sum(dim=0).clamp_min(1)
    return mean_where(-(labels * guess.clamp_min(1e-9).log()).sum(dim=-1), visible)


def mean_where(values: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Average over a mask; 0 if it is empty."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp_min(1)


def _scores(
    q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], q_angles: Angles | None, k_angles: Angles | None, heads: int
) -> Float[Tensor, "b k n m"]:
    """Attention scores of the guided heads, in float32."""
    q, k = (rearrange(x.float(), "b n (h c) -> b h n c", h=heads)[:, :HEADS] for x in (q, k))
    q, k = rotate_pair(q, k, q_angles, k_angles)
    return q @ k.mT * q.shape[-1] ** -0.5
