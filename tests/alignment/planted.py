"""Walks whose truth is known, and links between their frames with planted errors. No pictures, no network."""

import math

import torch
from torch import Tensor

from cut3r.alignment.links import Links
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import pose_from_parts
from cut3r.geometry.registration import Similarity
from cut3r.metrics.motion import ate_sim3


class Walk:
    """Cameras on a closed circle of 2.2 m, looking outwards.

    Args:
        noise: Of points, as a share of their distance.
        turn: Of each pair's pose, radians; it is also shifted by so many metres and scaled by so much.
        outliers: Share of points that are anywhere.
    """

    def __init__(
        self,
        frames: int,
        *,
        noise: float = 0.0,
        turn: float = 0.0,
        outliers: float = 0.0,
        points: int = 64,
        seed: int = 0,
    ) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.noise, self.turn, self.outliers = noise, turn, outliers
        angle = torch.arange(frames).double() * 2 * math.pi / frames
        turns = torch.stack((torch.zeros_like(angle), angle, torch.zeros_like(angle)), dim=-1)
        place = 2.2 * torch.stack((angle.sin(), 0.1 * (3 * angle).sin(), angle.cos()), dim=-1)
        self.world_from_cam = pose_from_parts(rotation_from_vector(turns), place)
        box = torch.tensor((3.0, 2.0, 3.0)).double()
        self.points = self._uniform(frames, points, 3) * box + torch.tensor((-1.5, -1.0, 1.0)).double()

    def links(self, pairs: list[tuple[int, int]], wrong: int = 0) -> Links:
        """What a network might say of pairs. The last `wrong` of them are nonsense, all points of one pair alike."""
        ends = torch.tensor(pairs)
        i, j = ends.unbind(dim=1)
        true = torch.linalg.inv(self.world_from_cam[i]) @ self.world_from_cam[j]
        disturbance = Similarity(
            rotation_from_vector(self.turn * self._normal(len(pairs), 3)),
            self.turn * self._normal(len(pairs), 3),
            (self.turn * self._normal(len(pairs))).exp(),
        ).matrix()
        if wrong:
            disturbance[-wrong:, :3, 3] += 3 + self._uniform(wrong, 3)
        source = self.points[j]
        target = Similarity.from_matrix(disturbance @ true).apply(source)
        source, target = self._noisy(source), self._noisy(target)
        anywhere = self._uniform(*target.shape[:2]) < self.outliers
        target = torch.where(anywhere[..., None], 10 * self._uniform(*target.shape) - 5, target)
        return Links(ends, source, target, torch.ones(target.shape[:2], dtype=torch.float64))

    def ate(self, place: Similarity) -> float:
        """Metres, after the best similarity."""
        return float(ate_sim3(poses(place), self.world_from_cam))

    def _noisy(self, points: Tensor) -> Tensor:
        return points + self.noise * points.norm(dim=-1, keepdim=True) * self._normal(*points.shape)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, dtype=torch.float64)


def poses(place: Similarity) -> Tensor:
    return pose_from_parts(place.rotation, place.translation)
