"""Resection finds the camera that sees the points."""

import pytest
import torch

from cut3r.alignment.resection import resect
from cut3r.geometry.cameras import pinhole, project
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import invert, pose_from_parts, rotation_angle, transform

TRUE = pose_from_parts(rotation_from_vector(torch.tensor((0.3, -0.5, 0.1))), torch.tensor((1.0, 0.2, -0.5)))
START = torch.eye(4)


def seen(noise: float = 0.0, outliers: int = 0):
    generator = torch.Generator().manual_seed(0)
    points_cam = torch.rand(400, 3, generator=generator) * torch.tensor((3.0, 2.0, 4.0)) + torch.tensor((-1.5, -1, 2))
    pixels, _ = project(points_cam, pinhole((96, 128), 110.0, (64.0, 48.0)))
    pixels = pixels + noise * torch.randn(pixels.shape, generator=generator)
    pixels[:outliers] = 128 * torch.rand(outliers, 2, generator=generator)
    return transform(TRUE, points_cam), pixels


@pytest.mark.parametrize(("noise", "outliers", "tolerance"), [(0.0, 0, 1e-3), (0.5, 0, 0.02), (0.5, 80, 0.03)])
def test_the_camera_is_found_from_a_poor_start(noise, outliers, tolerance):
    points, pixels = seen(noise, outliers)
    world_from_cam, focal = resect(points, pixels, torch.ones(400), (64.0, 48.0), start=START, focal=80.0)
    assert float(rotation_angle(world_from_cam[:3, :3], TRUE[:3, :3])) < tolerance
    assert float((world_from_cam - TRUE)[:3, 3].norm()) < 3 * tolerance
    assert focal == pytest.approx(110.0, rel=tolerance)


def test_points_without_weight_do_not_count():
    points, pixels = seen(outliers=200)
    weights = torch.ones(400)
    weights[:200] = 0
    world_from_cam, focal = resect(points, pixels, weights, (64.0, 48.0), start=START, focal=80.0)
    assert focal == pytest.approx(110.0, rel=1e-3)
    assert torch.isfinite(invert(world_from_cam)).all()
