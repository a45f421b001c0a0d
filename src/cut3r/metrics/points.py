"""How far two point clouds are from each other: the numbers of the reconstruction literature.

Clouds are in the same frame and unit (metres), aligned before; normals are unit vectors, and their sign means nothing.
Source: Azinović et al. 2022 (Neural RGB-D), Wang et al. 2024 (Spann3R); spec/eval_metrics.md 3.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from cut3r.geometry.points import nearest_neighbors


@dataclass(frozen=True)
class OneWay:
    """From each point of one cloud to the nearest of the other.

    `distance`: metres. `normal`: |cosine| between the two points' normals, 1 is parallel.
    """

    distance: Float[Tensor, "p"]
    normal: Float[Tensor, "p"]

    def within(self, threshold_m: float) -> float:
        """Share of the points that have a partner closer than the threshold."""
        return float((self.distance < threshold_m).double().mean())


def one_way(
    points: Float[Tensor, "p 3"],
    normals: Float[Tensor, "p 3"],
    others: Float[Tensor, "m 3"],
    other_normals: Float[Tensor, "m 3"],
) -> OneWay:
    """Measure from the points to the others: accuracy from the prediction to the truth, completion the other way.

    Raises:
        ValueError: One of the clouds is empty.
    """
    if not len(points):
        raise ValueError("the cloud to measure from holds no points, so it has no mean distance; check its mask")
    distance, nearest = nearest_neighbors(points, others)
    return OneWay(distance, (normals * other_normals[nearest]).sum(dim=-1).abs())


def middle(values: Float[Tensor, "p"]) -> float:
    """The ordinary median: of an even number of values, the mean of the two in the middle."""
    low = values.kthvalue((len(values) - 1) // 2 + 1).values
    high = values.kthvalue(len(values) // 2 + 1).values
    return float((low + high) / 2)


def f_score(accuracy: OneWay, completion: OneWay, threshold_m: float) -> float:
    """Harmonic mean of the shares of points within the threshold, in both directions."""
    precision, recall = accuracy.within(threshold_m), completion.within(threshold_m)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
