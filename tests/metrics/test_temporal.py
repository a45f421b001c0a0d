"""Flicker of depth under a known motion."""

import math

import pytest
import torch

from cut3r.geometry.cameras import pinhole, pixel_rays
from cut3r.geometry.poses import pose_from_encoding, transform
from cut3r.metrics.temporal import flicker

NEXT_FROM_CAM = pose_from_encoding(torch.tensor([0.1, -0.05, -0.4, 1.0, 0.02, 0.1, -0.03], dtype=torch.float64))
COUNT = 20_000


def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rays, depth, and the depth of the same points in the next frame."""
    draw = torch.Generator().manual_seed(0)
    pixels = torch.rand(COUNT, 2, dtype=torch.float64, generator=draw) * 100
    rays = pixel_rays(pixels, pinhole((100, 100), 90.0).double())
    depth = 2 + 5 * torch.rand(COUNT, dtype=torch.float64, generator=draw)
    return rays, depth, transform(NEXT_FROM_CAM, rays * depth.unsqueeze(-1))[:, 2]


def test_the_truth_does_not_flicker():
    rays, depth, after = scene()
    assert float(flicker(depth, after, rays, NEXT_FROM_CAM, after).max()) < 1e-12


def test_one_frame_that_is_too_far_by_a_tenth_flickers_by_a_tenth():
    rays, depth, after = scene()
    assert float((flicker(depth, 1.1 * after, rays, NEXT_FROM_CAM, after) - 0.1).abs().max()) < 1e-12


def test_independent_noise_of_two_frames_adds_up_as_gaussians_do():
    """The mean of |N(0, 2 s^2)| is 2 s / sqrt(pi)."""
    rays, depth, _ = scene()
    draw = torch.Generator().manual_seed(1)
    noise = 1 + 0.02 * torch.randn(2, COUNT, dtype=torch.float64, generator=draw)
    still = torch.eye(4, dtype=torch.float64)
    found = flicker(depth * noise[0], depth * noise[1], rays, still, depth).mean()
    assert float(found) == pytest.approx(2 * 0.02 / math.sqrt(math.pi), rel=0.02)


def test_a_steady_error_of_scale_flickers_only_by_the_motion_along_the_axis():
    rays, depth, after = scene()
    still = torch.eye(4, dtype=torch.float64)
    assert float(flicker(2 * depth, 2 * depth, rays, still, depth).max()) < 1e-12
    found = flicker(2 * depth, 2 * after, rays, NEXT_FROM_CAM, after)
    torch.testing.assert_close(found, NEXT_FROM_CAM[2, 3].abs() / after)
