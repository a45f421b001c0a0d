"""What a chunk has seen already: a bounded set of points, by the side that they were seen from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from cut3r.inference.joints import Sight

MOST = 4000  # points
VOXEL = 0.03  # of the first frame's usual depth: the edge of a voxel that keeps one point; doubles when there are more
NEW = 0.15  # of the depth: a point farther than this from all that was seen is new
TRUSTED = 1.5  # confidence from which a point counts
SUPPORT = 3  # points make an area, of a frame and of all that was seen: points that are anywhere stand alone
ASKED = 700  # points of a frame that are looked up


@dataclass(frozen=True)
class SeenArea:
    """A value: `grown` gives the next one. `sides` are the directions that points were seen from, 0 to 5.

    Source: spec/long_sequences.md 6, selector `overlap`.
    """

    points: Float[Tensor, "p 3"]
    sides: Int[Tensor, "p"]
    voxel: float = 0.0

    @classmethod
    def nothing(cls) -> "SeenArea":
        return cls(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))

    def gaps(self, sight: Sight) -> Float[np.ndarray, "q"]:
        """For some trusted points of a frame the distance to the third nearest seen one, as a share of their depth."""
        points, sides, depth = _trusted(sight)
        gaps = np.full(len(points), np.inf)
        for side, tree in self._trees.items():
            mine = sides == side
            if mine.any():
                gaps[mine] = tree.query(points[mine], k=[SUPPORT])[0][:, 0] / depth[mine]
        return gaps

    def grown(self, sight: Sight) -> "SeenArea":
        """With the points of a frame; those that stand alone make no area."""
        points, sides, depth = _trusted(sight)
        near = cKDTree(points).query(points, k=[SUPPORT + 1])[0][:, 0] if len(points) else depth  # itself is the first
        points, sides, depth = (each[near <= NEW * depth] for each in (points, sides, depth))
        if not len(points):
            return self
        voxel = self.voxel or VOXEL * float(np.median(depth))
        every = np.concatenate((self.points.numpy(), points)), np.concatenate((self.sides.numpy(), sides))
        kept = _one_per_voxel(*every, voxel)
        while len(kept) > MOST:
            voxel *= 2
            kept = _one_per_voxel(*every, voxel)
        return SeenArea(torch.from_numpy(every[0][kept]), torch.from_numpy(every[1][kept]), voxel)

    @cached_property
    def _trees(self) -> dict[int, cKDTree]:
        sides = self.sides.numpy()
        return {int(side): cKDTree(self.points.numpy()[sides == side]) for side in np.unique(sides)}


def _trusted(sight: Sight) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, the side that each is seen from, and its distance from the camera."""
    at = np.flatnonzero((sight.confidence > TRUSTED).numpy())
    at = at[:: max(1, len(at) // ASKED)]
    points = sight.points.numpy()[at]
    rays = points - sight.chunk_from_cam[:3, 3].numpy()
    axis = np.abs(rays).argmax(axis=1) if len(rays) else np.zeros(0, np.int64)
    sides = 2 * axis + (rays[np.arange(len(rays)), axis] > 0)
    return points, sides.astype(np.int64), np.linalg.norm(rays, axis=1).clip(1e-9)


def _one_per_voxel(points: np.ndarray, sides: np.ndarray, voxel: float) -> np.ndarray:
    cells = np.concatenate((np.floor(points / voxel), sides[:, None]), axis=1)
    return np.sort(np.unique(cells, axis=0, return_index=True)[1])
