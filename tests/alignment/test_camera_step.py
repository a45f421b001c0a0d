"""One step of cameras: its slope is that of the errors, and it leads to the cameras that see the targets."""

import pytest
import torch

from cut3r.alignment.camera_step import (
    Cameras,
    Held,
    Targets,
    _moved,
    _normal_equations,
    planes_of_rays,
    step_cameras,
)
from cut3r.geometry.cameras import camera_rays, pinhole
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import invert, pose_from_parts, transform

SIZE = (6, 8)


def cameras(n: int = 3, *, off: float = 0.0) -> Cameras:
    generator = torch.Generator().manual_seed(0)
    turn, shift, noise = (torch.randn(n, 3, generator=generator).double() for _ in range(3))
    pose = pose_from_parts(rotation_from_vector(turn + off * noise), shift + off * noise.flip(0))
    return Cameras(pose, pinhole(SIZE, torch.full((n,), 7.0 * (1 + off))).double())


def targets(seen: Cameras) -> torch.Tensor:
    n = len(seen.intrinsics)
    depth = 1 + torch.rand(n, *SIZE, 1, generator=torch.Generator().manual_seed(1)).double()
    points = transform(seen.world_from_cam, camera_rays(seen.intrinsics, SIZE) * depth)
    return points.flatten(1, 2).mT.float()


def of(points: torch.Tensor, weights: torch.Tensor, alone: torch.Tensor | None = None) -> Targets:
    """By default nothing was seen alone."""
    own = torch.zeros_like(points) if alone is None else alone
    return Targets(points, weights, own, torch.full_like(weights, 0.0 if alone is None else 1.0))


def nobody(n: int = 3, **shared: bool) -> Held:
    return Held(torch.zeros(n, dtype=torch.bool), torch.zeros(n, dtype=torch.bool), **shared)


def cost(at: Cameras, points: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    rays = camera_rays(at.intrinsics, SIZE).flatten(1, 2)
    seen = transform(invert(at.world_from_cam), points.mT.double())
    error = seen - ((rays * seen).sum(dim=-1) / rays.square().sum(dim=-1))[..., None] * rays
    return (weights * error.square().sum(dim=-1)).sum(dim=1) / 2


def test_the_normal_equations_are_the_slope_of_the_errors():
    points, at = targets(cameras()), cameras(off=0.05)
    weights = torch.rand(3, 48, generator=torch.Generator().manual_seed(2))
    _, slope = _normal_equations(at.world_from_cam, planes_of_rays(at, SIZE), points, weights)
    for k in range(7):
        step = torch.zeros(3, 7).double()
        step[:, k] = 1e-5
        numeric = (cost(_moved(at, step), points, weights) - cost(_moved(at, -step), points, weights)) / 2e-5
        torch.testing.assert_close(slope[:, k].double(), numeric, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("shared", [False, True])
def test_a_few_steps_find_the_cameras(shared):
    truth = cameras()
    points, found = targets(truth), cameras(off=0.05)
    for _ in range(12):
        found = step_cameras(found, SIZE, of(points, torch.ones(3, 48)), nobody(shared=shared))
    torch.testing.assert_close(found.world_from_cam, truth.world_from_cam, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.intrinsics, truth.intrinsics, atol=1e-2, rtol=0)


def test_what_is_held_and_what_sees_nothing_stays():
    at, weights = cameras(off=0.05), torch.ones(3, 48)
    weights[2] = 0
    held = Held(torch.tensor((True, False, False)), torch.tensor((False, True, False)))
    moved = step_cameras(at, SIZE, of(targets(cameras()), weights), held)
    same_pose = (moved.world_from_cam == at.world_from_cam).flatten(1).all(dim=1)
    same_focal = (moved.intrinsics == at.intrinsics).flatten(1).all(dim=1)
    assert same_pose.tolist() == [True, False, True] and same_focal.tolist() == [False, True, True]


def test_what_is_seen_alone_says_how_long_the_lens_is():
    """A flat wall ahead: any focal length sees it, from somewhere."""
    truth = cameras()
    rays = planes_of_rays(truth, SIZE)
    wall = transform(truth.world_from_cam, 2 * rays.mT.double()).mT.float()
    off = Cameras(truth.world_from_cam.clone(), truth.intrinsics.clone())
    off.intrinsics[:, :2, :2] *= 1.1
    alone = (3 * rays) * torch.linspace(0.5, 1.0, rays.shape[2])
    with_own, without = off, off
    for _ in range(15):
        with_own = step_cameras(with_own, SIZE, of(wall, torch.ones(3, 48), alone), nobody())
        without = step_cameras(without, SIZE, of(wall, torch.ones(3, 48)), nobody())
    torch.testing.assert_close(with_own.intrinsics, truth.intrinsics, atol=1e-3, rtol=0)
    torch.testing.assert_close(with_own.world_from_cam, truth.world_from_cam, atol=1e-3, rtol=0)
    assert ((without.intrinsics - truth.intrinsics)[:, 0, 0] > 0.3).all(), "the scene alone does not say it"
