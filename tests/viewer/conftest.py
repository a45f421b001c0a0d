"""A synthetic coloured room, seen by a camera that turns: results as a session would give them, without a network."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from cut3r.geometry.cameras import camera_rays, pinhole
from cut3r.geometry.poses import invert, rotate, transform
from cut3r.inference.preprocess import PixelMap
from cut3r.inference.result import FrameResult, QueryResult
from cut3r.io.frames import Frame
from cut3r.model.prediction import Prediction

WALLS = torch.tensor([[2.0, 1.25, 4.0], [-2.0, -1.25, -1.0]])  # metres: right, floor, front; left, ceiling, back
COLORS = torch.tensor(
    [[[214, 69, 65], [168, 132, 88], [70, 130, 190]], [[60, 160, 90], [235, 235, 225], [150, 90, 170]]]
)


@dataclass(frozen=True)
class Room:
    """Walls of six colours with a chequered pattern; the confidence falls with depth from 10 to 1."""

    size: tuple[int, int] = (96, 128)
    focal: float = 110.0

    @staticmethod
    def pose(number: int, of: int = 10) -> torch.Tensor:
        """The camera turns to the left and moves to the right; the first pose is the identity."""
        angle = -0.9 * number / max(of - 1, 1)
        pose = torch.eye(4)
        pose[0, 0] = pose[2, 2] = math.cos(angle)
        pose[0, 2], pose[2, 0] = math.sin(angle), -math.sin(angle)
        pose[:3, 3] = torch.tensor([-0.8 * angle, 0.05 * math.sin(6 * angle), -0.2 * angle])
        return pose

    def prediction(self, world_from_cam: torch.Tensor, intrinsics: torch.Tensor, size: tuple[int, int]) -> Prediction:
        rays = camera_rays(intrinsics, size)
        directions, center = rotate(world_from_cam, rays), world_from_cam[:3, 3]
        to_walls = torch.where(directions > 0, WALLS[0] - center, WALLS[1] - center) / directions
        depth, axis = to_walls.min(dim=-1)
        points_world = center + depth[..., None] * directions
        side = (directions.gather(-1, axis[..., None])[..., 0] < 0).long()
        tiles = torch.floor(2 * points_world + 1e-3).long().sum(dim=-1) % 2
        rgb = COLORS[side, axis] * (1 - 0.25 * tiles[..., None])
        return Prediction(
            points_cam=transform(invert(world_from_cam), points_world)[None],
            conf_cam=(1 + 9 * (1 - depth / 5.5).clamp(0, 1))[None],
            rgb=(rgb / 127.5 - 1)[None].float(),
            world_from_cam=world_from_cam[None],
        )

    def result(self, number: int, of: int = 10, chunk: int = 0) -> FrameResult:
        intrinsics = pinhole(self.size, self.focal)
        prediction = self.prediction(self.pose(number, of), intrinsics, self.size)
        assert prediction.rgb is not None
        image = ((prediction.rgb[0] + 1) * 127.5).round().to(torch.uint8).numpy()
        return FrameResult(
            frame=Frame(rgb=image, index=number, time_s=None, name=f"room#{number:06d}"),
            number=number,
            image=image,
            prediction=prediction,
            intrinsics=intrinsics,
            pixel_map=PixelMap(self.size, self.size, (1.0, 1.0), (0.0, 0.0)),
            valid=torch.ones(self.size, dtype=torch.bool),
            chunk=chunk,
        )

    def query(self, world_from_cam: torch.Tensor, intrinsics: torch.Tensor, size: tuple[int, int]) -> QueryResult:
        """Answer like `Session.query`, with the truth."""
        return QueryResult(self.prediction(world_from_cam, intrinsics, size), world_from_cam, intrinsics)


@pytest.fixture(scope="session")
def room() -> Room:
    return Room()


@pytest.fixture(scope="session")
def small_room() -> Room:
    """For tests that need many frames."""
    return Room((24, 32), 27.5)


@pytest.fixture
def wait_until() -> Callable[..., None]:
    def wait(condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
        """Other threads draw: give them time, and fail when the condition stays false."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"still false after {seconds} s"
            time.sleep(0.02)

    return wait
