"""One step of pairs: the similarities that bring them closest to given points of the world.

Of the points of a pair only moments are needed. Noise makes every least-squares scale too small, of some pairs more
than of others; if all were only enlarged together afterwards, the world would bend a little with each step and the loss
would rise. So the scales with the least sum of squares are found among those whose geometric mean is the one wanted
(one Lagrange multiplier), and a step never makes the sum larger.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cut3r.geometry.registration import Similarity, best_rotation

SMALLEST = 1e-6  # scale of a pair
COINCIDE = 1e-6  # of the square of their distance: points with a smaller spread are one point, rounded
HALVINGS = 60  # of the interval in which the multiplier is


@dataclass(frozen=True)
class Moments:
    """What fits need to know of each pair, in double precision: means, covariance (source times target), spread.

    Covariance and spread are sums over the points, not means; `weight` is the sum of their weights.
    """

    weight: Float[Tensor, "e"]
    source: Float[Tensor, "e 3"]
    target: Float[Tensor, "e 3"]
    covariance: Float[Tensor, "e 3 3"]
    spread: Float[Tensor, "e"]

    @classmethod
    def of(
        cls,
        points: Float[Tensor, "c 2 3 p"],
        error: Float[Tensor, "c 2 3 p"],
        pull: Float[Tensor, "c 2 p"],
        place: Similarity,
    ) -> "Moments":
        """Of some pairs; errors are small beside their targets, so that single precision is enough for the sums.

        Args:
            error: The targets minus the points where `place` has them.
            pull: Weights of squares.
        """
        total = pull.sum(dim=(1, 2)).double().clamp_min(torch.finfo(torch.float64).tiny)[:, None]
        weighted = points * pull[:, :, None]
        source = weighted.sum(dim=(1, 3)).double() / total
        off = (error * pull[:, :, None]).sum(dim=(1, 3)).double() / total
        second = (weighted @ points.mT).sum(dim=1).double() - total[..., None] * _outer(source, source)
        mixed = (weighted @ error.mT).sum(dim=1).double() - total[..., None] * _outer(source, off)
        turn = place.scale[:, None, None] * place.rotation
        target = (turn @ source[..., None])[..., 0] + place.translation + off
        spread = second.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
        return cls(total[:, 0], source, target, second @ turn.mT + mixed, spread)

    @classmethod
    def joined(cls, parts: "list[Moments]") -> "Moments":
        """One after the other."""
        return cls(*(torch.cat(each) for each in zip(*(vars(part).values() for part in parts), strict=True)))


def step_pairs(
    moments: Moments, before: Similarity, *, with_scale: bool, gauges: list[tuple[Int[Tensor, "_"], float]]
) -> Similarity:
    """Fit each pair. One whose points all coincide, or whose targets do, fixes no similarity, and stays where it was.

    Args:
        with_scale: Otherwise all keep scale 1.
        gauges: Rows of pairs whose scales have a geometric mean to keep, and which.
    """
    rotation, reach = best_rotation(moments.covariance)
    least = reach / moments.spread.clamp_min(torch.finfo(torch.float64).tiny)
    apart = moments.spread > COINCIDE * moments.weight * moments.source.square().sum(dim=-1)
    good = apart & least.isfinite() & (least > SMALLEST)
    scale = least.clone() if with_scale else torch.ones_like(least)
    for rows, mean in gauges if with_scale else ():
        sound = rows[good[rows]]
        if len(sound):
            scale[sound] = _scales(moments.spread[sound], reach[sound], mean)
    translation = moments.target - scale[:, None] * (rotation @ moments.source[..., None])[..., 0]
    return Similarity(
        rotation.where(good[:, None, None], before.rotation),
        translation.where(good[:, None], before.translation),
        scale.where(good, before.scale),
    )


def _scales(spread: Float[Tensor, "k"], reach: Float[Tensor, "k"], mean: float) -> Float[Tensor, "k"]:
    """Minimise the sum of spread s^2 - 2 reach s over scales s whose geometric mean is at least the given one.

    With the multiplier m each is the positive root of spread s^2 - reach s - m; the mean grows with m.
    """

    def roots(multiplier: Tensor | float) -> Tensor:
        return (reach + (reach.square() + 4 * spread * multiplier).sqrt()) / (2 * spread)

    target = torch.tensor(mean, dtype=torch.float64).log()
    low, high = torch.zeros(()).double(), (mean * (spread * mean - reach)).max()  # there, all are that large
    if float(roots(0.0).log().mean()) >= float(target):
        return roots(0.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = roots(middle).log().mean() >= target
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return roots(high)


def _outer(first: Float[Tensor, "e 3"], second: Float[Tensor, "e 3"]) -> Float[Tensor, "e 3 3"]:
    return first[:, :, None] * second[:, None, :]
