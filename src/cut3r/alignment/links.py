"""Some points of each pair, twice: as the second frame alone sees them, and as the pair does."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cut3r.alignment.pairs import Predictions, weights_of
from cut3r.geometry.registration import Similarity, register_robust

POINTS = 128  # per pair are enough (spec/global_alignment.md 6.2)
CANDIDATES = 4  # as many pixels are drawn, of which those with weight come first
CHUNK = 256  # pairs at a time


@dataclass(frozen=True)
class Links:
    """What a pose graph is made of: for each pair (i, j) points of j, in the camera of j and in that of i.

    Metres; a weight is not negative, and positive for at least three points of each pair.
    """

    ends: Int[Tensor, "e 2"]
    source: Float[Tensor, "e p 3"]
    target: Float[Tensor, "e p 3"]
    weights: Float[Tensor, "e p"]

    def __len__(self) -> int:
        return len(self.ends)

    def only(self, kept: Bool[Tensor, "e"]) -> "Links":
        return Links(self.ends[kept], self.source[kept], self.target[kept], self.weights[kept])

    def pairs(self) -> list[tuple[int, int]]:
        return [(i, j) for i, j in self.ends.tolist()]

    @property
    def distance(self) -> float:
        """The usual distance of points, metres."""
        return float(self.target.norm(dim=-1).median())

    def fit(self, *, with_scale: bool = True) -> Similarity:
        """first_from_second of each pair, from its points alone; outliers have no say."""
        width = 0.05 * self.distance
        parts = [
            register_robust(*some, with_scale=with_scale, huber_width=width)[0]
            for some in zip(self.source.split(CHUNK), self.target.split(CHUNK), self.weights.split(CHUNK), strict=True)
        ]  # a few at a time: they stay in the processor's cache
        return Similarity(*(torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def links_of(predictions: Predictions, *, points: int = POINTS, seed: int = 0) -> tuple[Links, list[tuple[int, int]]]:
    """Draw points of each pair, the same for the same seed.

    The weight is the geometric mean of those of the two views.

    Returns:
        The links, and the pairs that have none, because fewer than three of their points have weight.
    """
    generator = torch.Generator().manual_seed(seed)
    parts, without = [], []
    for ends, pair_points, pair_conf in predictions.in_chunks(CHUNK):
        e, h, w = pair_conf.shape
        drawn = torch.randint(h * w, (e, CANDIDATES * points), generator=generator)
        second = ends[:, 1]
        conf_self = predictions.conf_self.flatten(1)[second[:, None], drawn]
        conf_pair = pair_conf.flatten(1).gather(1, drawn)
        weights = (weights_of(conf_self) * weights_of(conf_pair)).sqrt()
        first = weights.gt(0).to(torch.uint8).sort(dim=1, descending=True, stable=True).indices[:, :points]
        at, weights = drawn.gather(1, first), weights.gather(1, first)
        rows = torch.arange(e)[:, None]
        source = predictions.points_self.flatten(1, 2)[second[:, None], at].double()
        target = pair_points.flatten(1, 2)[rows, at].double()
        enough = (weights > 0).sum(dim=1) >= 3
        without += _as_pairs(ends[~enough].tolist())
        parts.append(Links(ends, source, target, weights).only(enough))
    return _joined(parts, points), without


def _joined(parts: Sequence[Links], points: int) -> Links:
    if not parts:
        none = torch.zeros(0, points, 3).double()
        return Links(torch.zeros(0, 2).long(), none, none, none[..., 0])
    return Links(*(torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def _as_pairs(ends: list[list[int]]) -> list[tuple[int, int]]:
    return [(i, j) for i, j in ends]
