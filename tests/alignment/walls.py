"""Predictions of a network that knows the truth: cameras in a round hall, whose every pixel shows a point of its own.

No pictures, no network, and errors only where they are asked for.
"""

import math

import torch
from torch import Tensor

from cut3r.alignment.graphs import pairs_of, window
from cut3r.alignment.pairs import Predictions
from cut3r.geometry.cameras import camera_rays, pinhole
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import invert, pose_from_parts, rotate, transform
from cut3r.geometry.registration import Similarity

RADIUS = 4.0  # metres


class Hall:
    """Cameras on a circle of 2.2 m, looking outwards at a wall, and at things on the way to it.

    Args:
        noise: Of points, as a share of their distance.
        turn: Of each pair's pose, radians; it is also shifted by so many metres and scaled by so much.
    """

    def __init__(
        self,
        frames: int,
        size: tuple[int, int] = (12, 16),
        *,
        focal: float = 14.0,
        noise: float = 0.0,
        turn: float = 0.0,
        arc: float = math.pi,
        seed: int = 0,
    ) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.size, self.noise, self.turn = size, noise, turn
        angle = torch.arange(frames).double() * arc / frames
        turns = torch.stack((0.1 * (2 * angle).sin(), angle, torch.zeros_like(angle)), dim=-1)
        place = 2.2 * torch.stack((angle.sin(), 0.1 * (3 * angle).sin(), angle.cos()), dim=-1)
        self.world_from_cam = pose_from_parts(rotation_from_vector(turns), place)
        self.intrinsics = pinhole(size, torch.full((frames,), focal)).double()
        self.depth = self._depth()

    def __len__(self) -> int:
        return len(self.depth)

    def predictions(self, pairs: list[tuple[int, int]] | None = None) -> Predictions:
        """What a network might say of neighbours, in single precision."""
        ends = torch.tensor(pairs_of(window(len(self), 2)) if pairs is None else pairs).long().reshape(-1, 2)
        own = camera_rays(self.intrinsics, self.size) * self.depth[..., None]
        i, j = ends.unbind(dim=1)
        pair = transform(invert(self.world_from_cam[i]) @ self.world_from_cam[j], own[j])
        wrong = Similarity(
            rotation_from_vector(self.turn * self._normal(len(ends), 3)),
            self.turn * self._normal(len(ends), 3),
            (self.turn * self._normal(len(ends))).exp(),
        )
        h, w = self.size
        images = torch.zeros(len(self), h, w, 3, dtype=torch.uint8)
        own, pair = self._noisy(own).float(), self._noisy(wrong.apply(pair)).float()
        sure = torch.full((len(self), h, w), 5.0)
        return Predictions(images, own, sure, ends, pair, sure[:1].repeat(len(ends), 1, 1))

    def _depth(self) -> Tensor:
        """Where rays meet the wall, a cylinder, or anything in the last 60 % of the way to it."""
        rays = rotate(self.world_from_cam, camera_rays(self.intrinsics, self.size))
        x, z = rays[..., 0], rays[..., 2]
        from_x, _, from_z = self.world_from_cam[:, :3, 3, None, None].unbind(dim=1)
        a, b = x**2 + z**2, x * from_x + z * from_z
        along = ((b**2 - a * (from_x**2 + from_z**2 - RADIUS**2)).sqrt() - b) / a
        return along * (1 - 0.6 * torch.rand(along.shape, generator=self.generator, dtype=torch.float64))

    def _noisy(self, points: Tensor) -> Tensor:
        return points + self.noise * points.norm(dim=-1, keepdim=True) * self._normal(*points.shape)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)
