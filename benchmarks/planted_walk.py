"""A walk whose truth is known, as a network might see it: predictions with planted errors, and tokens of places.

The camera goes around a room of 6 x 3 x 6 metres lap after lap, never twice on the same path, and looks
outwards. What is planted follows spec/global_alignment.md 6.4: noise of points, points that are anywhere, and an error
of each pair's pose, scale included. A pair of views that share nothing is a guess, and the network says so. The poses
that a stream would give are the pairs of neighbours, one after the other: they drift.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cut3r.alignment.graphs import Star, pairs_of
from cut3r.alignment.pairs import Predictions, compact
from cut3r.geometry.cameras import pinhole, pixel_grid
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import invert, pose_from_parts, rotation_angle, transform
from cut3r.geometry.registration import Similarity

LAP = 180  # frames; distances of the wide graph, powers of two, are far from its multiples
RADIUS = 2.2  # metres
ROOM = (3.0, 1.5, 3.0)  # metres from the middle to the walls
SHARED_DEG, SHARED_M = 40.0, 1.5  # views farther apart than this share nothing
CONFIDENCE = 8.0  # of a pair that shares something
CHUNK, CHUNK_PIXELS = 256, 2**20  # at most so many pairs, and about so many of their pixels, at a time


@dataclass(frozen=True)
class Errors:
    """What is planted."""

    noise: float = 0.02  # of points, share of their distance
    outliers: float = 0.05  # share of points that are anywhere
    pose: float = 0.01  # of each pair: radians, metres, logarithm of the scale


class PlantedWalk:
    """Predictions of a walk in any number of laps.

    Args:
        laps: By default one for 180 frames, and at least one.
        size: (h, w) of the pictures.
        false: Pairs of different places that the network takes for one: it is sure, and its error is the same from
            both ends.
    """

    def __init__(
        self,
        frames: int,
        *,
        laps: float | None = None,
        size: tuple[int, int] = (24, 32),
        errors: Errors | None = None,
        false: Collection[tuple[int, int]] = (),
        seed: int = 0,
    ) -> None:
        self.frames, self.size, self.errors = frames, size, errors or Errors()
        self.false = {(min(pair), max(pair)) for pair in false}
        self._chunk = max(1, min(CHUNK, CHUNK_PIXELS // (size[0] * size[1])))
        self._generator = torch.Generator().manual_seed(seed)
        laps = laps or max(1.0, frames / LAP)
        self.angle = torch.arange(frames).double() * 2 * math.pi * laps / frames
        radius = RADIUS + 0.1 * (self.angle / laps * 5).sin()
        place = torch.stack((self.angle.sin(), 0.1 * (3 * self.angle).sin(), self.angle.cos()), dim=-1)
        turns = torch.stack((0.05 * (5 * self.angle).sin(), self.angle, torch.zeros_like(self.angle)), dim=-1)
        self.world_from_cam = pose_from_parts(_yaw_then_pitch(turns), radius[:, None] * place)
        self.intrinsics = pinhole(size, 0.9 * max(size)).double()
        self._rays = pixel_grid(*size).double() @ self.intrinsics.inverse().mT
        self.depth = torch.stack([self._depth(camera) for camera in self.world_from_cam])
        points_self, conf_self = self._seen(self.depth)
        self.alone = Predictions(
            torch.zeros(frames, *size, 3, dtype=torch.uint8),
            points_self,
            conf_self,
            torch.zeros(0, 2, dtype=torch.long),
            points_self[:0],
            conf_self[:0],
        )

    def look(self, stars: Sequence[Star]) -> Predictions:
        """What the network says of the pairs of some stars."""
        ends = torch.tensor(pairs_of(stars), dtype=torch.long).reshape(-1, 2)
        parts = [self._paired(some) for some in ends.split(self._chunk)]
        points, conf = (torch.cat(each) for each in zip(*parts, strict=True))
        alone = self.alone
        return Predictions(alone.images, alone.points_self, alone.conf_self, ends, points, conf)

    def shares(self, first: int, second: int) -> bool:
        """Whether two views show the same, so that a pair of them says something."""
        return bool(self._share(torch.tensor([[first, second]])))

    def chained(self) -> Float[Tensor, "n 4 4"]:
        """The cameras that one stream might give: each from the one before, with a pair's error."""
        steps = (self._disturbance(self.frames - 1) @ self._relative(_neighbours(self.frames))).unbind()
        cameras = [torch.eye(4).double()]
        for step in steps:
            cameras.append(cameras[-1] @ step)
        place = Similarity.from_matrix(torch.stack(cameras))
        return pose_from_parts(place.rotation, place.translation)

    def tokens(self, noise: float = 0.1) -> Float[Tensor, "n 96"]:
        """Pooled tokens: smooth functions of where the camera is and looks, and much that all frames share."""
        place = torch.cat((self.world_from_cam[:, :3, 3], 2 * self.world_from_cam[:, :3, 2]), dim=1)
        waves = self._normal(6, 96) / 2
        said = (place @ waves + 2 * math.pi * self._uniform(96)).sin()
        return (5 * self._normal(96) + said + noise * self._normal(self.frames, 96)).float()

    def _seen(self, depth: Float[Tensor, "n h w"]) -> tuple[Tensor, Tensor]:
        """Each frame alone, in its own camera."""
        parts = [self._noisy(self._rays * some[..., None]) for some in depth.split(self._chunk)]
        return compact(torch.cat(parts), torch.full(depth.shape, CONFIDENCE))

    def _paired(self, ends: Tensor) -> tuple[Tensor, Tensor]:
        first_from_second = self._disturbance(len(ends)) @ self._relative(ends)
        shares = self._share(ends)
        for row, (i, j) in enumerate(ends.tolist()):
            if (min(i, j), max(i, j)) in self.false:
                same = self._taken_for_one(min(i, j))
                first_from_second[row] = same if i < j else invert(same)
                shares[row] = True
        guess = pose_from_parts(rotation_from_vector(0.5 * self._normal(len(ends), 3)), self._normal(len(ends), 3))
        first_from_second = torch.where(shares[:, None, None], first_from_second, guess)
        depth = self.depth[ends[:, 1]]
        placed = Similarity.from_matrix(first_from_second).apply((self._rays * depth[..., None]).flatten(1, 2))
        points = self._noisy(placed.unflatten(1, self.size))
        conf = torch.where(shares, CONFIDENCE, 1.05)[:, None, None].expand(points.shape[:-1])
        return compact(points, conf)

    def _relative(self, ends: Tensor) -> Float[Tensor, "e 4 4"]:
        """first_from_second, as it is."""
        return invert(self.world_from_cam[ends[:, 0]]) @ self.world_from_cam[ends[:, 1]]

    def _share(self, ends: Tensor) -> Bool[Tensor, "e"]:
        relative = self._relative(ends)
        turned = torch.rad2deg(rotation_angle(relative[:, :3, :3], torch.eye(3).double().expand(len(ends), 3, 3)))
        return (turned < SHARED_DEG) & (relative[:, :3, 3].norm(dim=-1) < SHARED_M)

    def _taken_for_one(self, first: int) -> Float[Tensor, "4 4"]:
        """A step to some side, the same whenever one asks."""
        side = torch.randn(3, generator=torch.Generator().manual_seed(first), dtype=torch.float64)
        return pose_from_parts(torch.eye(3).double(), 0.2 * side / side.norm())

    def _depth(self, world_from_cam: Float[Tensor, "4 4"]) -> Float[Tensor, "h w"]:
        """The distance along the optical axis to the nearest wall, with waves instead of furniture."""
        directions, origin = self._rays @ world_from_cam[:3, :3].T, world_from_cam[:3, 3]
        limits = torch.tensor(ROOM).double() * directions.sign() - origin
        nearest = (limits / directions.where(directions != 0, 1e-9)).abs().amin(dim=-1)
        hit = transform(world_from_cam, self._rays * nearest[..., None])
        return nearest * (1 - 0.15 * (3 * hit[..., 0]).sin().square() * (2 * hit[..., 1] + 3 * hit[..., 2]).cos().abs())

    def _disturbance(self, count: int) -> Float[Tensor, "e 4 4"]:
        size = self.errors.pose
        return Similarity(
            rotation_from_vector(size * self._normal(count, 3)),
            size * self._normal(count, 3),
            (size * self._normal(count)).exp(),
        ).matrix()

    def _noisy(self, points: Tensor) -> Tensor:
        distance = points.norm(dim=-1, keepdim=True)
        noisy = points + self.errors.noise * distance * self._normal(*points.shape)
        anywhere = self._uniform(*points.shape[:-1], 1) < self.errors.outliers
        return torch.where(anywhere, 10 * self._uniform(*points.shape) - 5, noisy)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator, dtype=torch.float64)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator, dtype=torch.float64)


def _neighbours(frames: int) -> Tensor:
    return torch.stack((torch.arange(frames - 1), torch.arange(1, frames)), dim=1)


def _yaw_then_pitch(turns: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    pitch, yaw, _ = turns.unbind(dim=-1)
    zero = torch.zeros_like(yaw)
    about_y, about_x = torch.stack((zero, yaw, zero), dim=-1), torch.stack((pitch, zero, zero), dim=-1)
    return rotation_from_vector(about_y) @ rotation_from_vector(about_x)
