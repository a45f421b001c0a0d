"""LoRA: large matrices stay as they are, and a small correction of each is learned and added to it at the end.

A layer W x becomes W x + (alpha / rank) B A x, with A of `rank` rows and B of `rank` columns. B begins with zeros, so
that the network begins as it was. Only the factors need gradients and moments: 1 % of the published networks. Weight
files hold the sums and nothing of the factors; training states keep both.

Source: LoRA (arXiv 2106.09685), eq. 3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cut3r.model.blocks import Linear

ATTENTION = ("decoder.*_blocks.*.attn.*.weight", "decoder.*_blocks.*.cross.*.weight")  # q, k, v (or all in one), proj
DOWN, UP = ".lora.down.weight", ".lora.up.weight"  # end the names of factors; what stands before is the layer's name


@dataclass
class LoraConfig:
    """Learn corrections of rank `rank` (0: none) to the matrices that `targets` name, and nothing else.

    What `run.train_only` names learns beside them, as far as `run.freeze` lets it. `targets` are patterns of parameter
    names; among what they match, matrices of linear layers are corrected. A layer that makes queries, keys and values
    at once is one matrix.
    """

    rank: int = 0
    alpha: float = 16.0
    targets: list[str] = field(default_factory=lambda: list(ATTENTION))

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise ValueError(f"run.lora.rank is {self.rank}; give a small number such as 16, or 0 for no LoRA")
        if not self.alpha > 0:
            raise ValueError(f"run.lora.alpha is {self.alpha} and must be above 0, such as the rank")

    @property
    def is_on(self) -> bool:
        return self.rank > 0

    @property
    def scale(self) -> float:
        """Of the corrections."""
        return self.alpha / self.rank if self.is_on else 0.0


class Factors(nn.Module):
    """The correction of one layer."""

    def __init__(self, layer: nn.Linear, config: LoraConfig) -> None:
        super().__init__()
        self.scale = config.scale
        self.down = Linear(layer.in_features, config.rank, bias=False)
        self.up = Linear(config.rank, layer.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        return self.scale * self.up(self.down(x))


def add_factors(model: nn.Module, config: LoraConfig) -> None:
    """Give each layer that `config` names its factors, in place, under the name `lora`; they learn.

    Raises:
        ValueError: A pattern that matches no matrix of a linear layer, or a rank that is no saving.
    """
    if not config.is_on:
        return
    for name, layer in _targets(model, config.targets).items():
        if config.rank >= min(layer.weight.shape):
            raise ValueError(
                f"run.lora.rank {config.rank} is no saving for {name} of {tuple(layer.weight.shape)}; choose one below "
                f"{min(layer.weight.shape)}, or leave the layer out of run.lora.targets"
            )
        layer.lora = Factors(layer, config)
        layer.forward = _corrected(layer.forward, layer.lora)  # type: ignore[method-assign, assignment]


@torch.no_grad()
def merge_factors(entries: Mapping[str, Tensor], config: LoraConfig) -> dict[str, Tensor]:
    """Add the corrections among the entries of a network to its matrices; give the entries of a plain network."""
    merged = {name: entry for name, entry in entries.items() if not name.endswith((DOWN, UP))}
    for name, down in entries.items():
        if name.endswith(DOWN):
            layer = name.removesuffix(DOWN)
            up, weight = entries[layer + UP], f"{layer}.weight"
            merged[weight] = merged[weight] + config.scale * (up @ down)
    return merged


def _targets(model: nn.Module, patterns: list[str]) -> dict[str, nn.Linear]:
    matrices = {f"{name}.weight": module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in matrices):
            raise ValueError(
                f"run.lora.targets: {pattern!r} matches no matrix of a linear layer; names look like "
                f"{next(iter(matrices))!r}, and * stands for any text"
            )
    return {name: layer for name, layer in matrices.items() if any(fnmatchcase(name, p) for p in patterns)}


def _corrected(forward: Callable[[Tensor], Tensor], factors: Factors) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        change = factors(x)
        return forward(x) + change

    return run
