"""Every so many pixels of each picture: enough of them to refine cameras, and few enough for a thousand frames.

The pixels left form small pictures, with intrinsics of their own.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cut3r.alignment.pairs import LEAST, Predictions, weights_of
from cut3r.geometry.cameras import crop_intrinsics, resize_intrinsics

PIXELS = 3000  # per picture, about
CHUNK = 256  # pairs that are read at a time


@dataclass(frozen=True)
class Grid:
    """One pixel in `stride` in each direction, of pictures of `full` (h, w) pixels."""

    full: tuple[int, int]
    stride: int = 1

    @classmethod
    def about(cls, full: tuple[int, int], pixels: int = PIXELS) -> "Grid":
        """The grid that leaves about so many pixels, all if there are fewer: stride 8 at 512x384."""
        return cls(full, max(1, round(math.sqrt(full[0] * full[1] / pixels))))

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the small pictures."""
        h, w = (len(range(self._first, side, self.stride)) for side in self.full)
        return h, w

    def take(self, maps: Float[Tensor, "k h w *c"]) -> Float[Tensor, "k h2 w2 *c"]:
        return maps[:, self._first :: self.stride, self._first :: self.stride]

    def intrinsics(self, full: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
        """The intrinsics of the small pictures, from those of the large ones."""
        corner = self._first - (self.stride - 1) / 2  # resizing means areas, whose centre this pixel need not be
        return resize_intrinsics(crop_intrinsics(full, (corner, corner)), (1 / self.stride, 1 / self.stride))

    @property
    def _first(self) -> int:
        return self.stride // 2


@dataclass(frozen=True)
class Samples:
    """The points of pairs at the pixels of a grid, metres in the camera of the pair's first frame.

    `points_self` are of each frame alone: the first half of each pair. `points_pair` are the second half. Weights are
    not negative. Half precision is enough for points; p is the number of the grid's pixels. Each coordinate of all
    points lies in a plane of its own, which a CPU adds up several times faster than rows of three.
    """

    grid: Grid
    ends: Int[Tensor, "e 2"]
    points_self: Float[Tensor, "n 3 p"]
    weights_self: Float[Tensor, "n p"]
    points_pair: Float[Tensor, "e 3 p"]
    weights_pair: Float[Tensor, "e p"]

    @classmethod
    def of(cls, predictions: Predictions, grid: Grid, pairs: Int[Tensor, "e"], *, least: float = LEAST) -> "Samples":
        """Take them from predictions.

        Args:
            pairs: The rows of the predictions to use.
            least: Added to each weight. Parity: 0.
        """
        frames = torch.arange(predictions.frames)
        alone = _taken(grid, predictions.points_self, predictions.conf_self, frames, least)
        paired = _taken(grid, predictions.points_pair, predictions.conf_pair, pairs, least)
        return cls(grid, predictions.ends[pairs], *alone, *paired)

    @property
    def frames(self) -> int:
        return len(self.points_self)

    def __len__(self) -> int:
        return len(self.ends)

    def pairs(self, rows: Int[Tensor, "c"]) -> tuple[Float[Tensor, "c 2 3 p"], Float[Tensor, "c 2 p"]]:
        """Points and weights of both frames of some pairs, in single precision."""
        first = self.ends[rows, 0]
        points = torch.stack((self.points_self[first].float(), self.points_pair[rows].float()), dim=1)
        return points, torch.stack((self.weights_self[first], self.weights_pair[rows]), dim=1)

    def with_weight(self) -> Bool[Tensor, "e"]:
        """The pairs whose place can be found: three points have weight."""
        count = (self.weights_self > 0).sum(dim=1)[self.ends[:, 0]] + (self.weights_pair > 0).sum(dim=1)
        return count >= 3


def _taken(
    grid: Grid, points: Float[Tensor, "k h w 3"], conf: Float[Tensor, "k h w"], rows: Int[Tensor, "r"], least: float
) -> tuple[Float[Tensor, "r 3 p"], Float[Tensor, "r p"]]:
    """Points and weights of some rows, a few at a time: weights are computed in double precision."""
    count = grid.size[0] * grid.size[1]
    planes, weights = points.new_empty(len(rows), 3, count), torch.empty(len(rows), count)
    some_points, some_conf = grid.take(points), grid.take(conf)
    for part, planes_of, weights_to in zip(rows.split(CHUNK), planes.split(CHUNK), weights.split(CHUNK), strict=True):
        planes_of.copy_(some_points[part].flatten(1, 2).mT)
        weights_to.copy_(weights_of(some_conf[part].flatten(1), least))
    return planes, weights
