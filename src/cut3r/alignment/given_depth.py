"""Depth that is known of frames, as of a sensor, takes the place of what a network says: its scale and its shape."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.alignment.pairs import unit_ratio

Maps = Mapping[int, Float[Tensor, "h w"]]  # metres along the optical axis by the frame's number, 0 where unknown


class GivenDepth:
    """Puts known depth onto points as a network says them, frame by frame.

    What a stream says of other frames is in the unit of its first one, so it has to grow with it: by `ratios`.
    """

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self.ratios: dict[int, float] = {}  # of the frames so far: metres per unit of the network

    def put(self, number: int, points: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 3"]:
        """Give the points of a frame in its own camera, in metres if its depth is known."""
        if number not in self._maps:
            return points
        given = self._maps[number].to(points.device)
        self.ratios[number] = ratio = unit_ratio(given, points[..., 2])
        return with_depth(points * ratio, given)

    def grown(self, anchor: int, points: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 3"]:
        """Give points that a stream says, which began with a frame that was `put`."""
        return points * self.ratios.get(anchor, 1.0)


def with_depth(points: Float[Tensor, "*some 3"], depth: Float[Tensor, "*some"]) -> Float[Tensor, "*some 3"]:
    """The same points, moved along their rays to where a known depth has them; where it is 0, they stay."""
    z = points[..., 2]
    known = (depth > 0) & (z > 0)
    return points * torch.where(known, depth / z.where(known, 1.0), 1.0)[..., None]


def metres_per_unit(maps: Maps, depths: Mapping[int, Float[Tensor, "h w"]]) -> float:
    """How much larger known depth is than that of the same frames, as a rule; 1 where nobody knows."""
    ratios = [unit_ratio(given, depths[number]) for number, given in maps.items() if number in depths]
    return float(torch.tensor(ratios).median()) if ratios else 1.0
