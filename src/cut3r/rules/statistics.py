"""What the state's queries make of the image's keys, without keeping maps of attention.

Rules of long streams judge a token by its logits before the softmax. Their mean over the keys is the product with
the mean key, and their mean over the heads is one product over all channels, so the attention itself stays in its fused
kernel.
"""

from enum import Enum

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.rules.entropy import mean_entropy


class Statistic(Enum):
    """Of the state stream's cross-attention: means over the layers and heads. All but the first leave the pose token's
    key out."""

    mean_logit = "mean_logit"  # of the logits, also over all keys: b s
    mean_logits = "mean_logits"  # of the logits of each patch: b s n
    entropy = "entropy"  # of the softmax over the patches, as a share of the largest possible: b s


class LogitStatistics:
    """Adds up, layer by layer, what is asked for.

    Args:
        wanted: Nothing else is computed.
    """

    def __init__(self, wanted: frozenset[Statistic]) -> None:
        self.wanted = wanted
        self._layers = 0
        self._sums: dict[Statistic, Tensor] = {}

    def add(self, q: Float[Tensor, "b heads s c"], k: Float[Tensor, "b heads m c"]) -> None:
        """Take in a layer's queries and keys, rotated; the first key is the pose token's."""
        self._layers += 1
        if Statistic.entropy in self.wanted:
            self._add(Statistic.entropy, mean_entropy(q, k[:, :, 1:]))
        scale = q.shape[-1] ** -0.5 / q.shape[1]
        q, k = (scale * q.float()).transpose(1, 2).flatten(2), k.float().transpose(1, 2).flatten(2)  # [b, s or m, d]
        if Statistic.mean_logit in self.wanted:
            self._add(Statistic.mean_logit, (q @ k.mean(dim=1).unsqueeze(-1)).squeeze(-1))
        if Statistic.mean_logits in self.wanted:
            self._add(Statistic.mean_logits, q @ k[:, 1:].mT)

    def __getitem__(self, statistic: Statistic) -> Tensor:
        return self._sums[statistic] / self._layers

    def _add(self, statistic: Statistic, value: Tensor) -> None:
        before = self._sums.get(statistic)
        self._sums[statistic] = value if before is None else before + value


def explicit_logits(q: Float[Tensor, "b heads s c"], k: Float[Tensor, "b heads m c"]) -> Float[Tensor, "b heads s m"]:
    """The maps themselves: the definition, for comparisons."""
    return torch.einsum("bhsc,bhmc->bhsm", q, k) * q.shape[-1] ** -0.5
