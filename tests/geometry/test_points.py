"""Depth edges and nearest neighbours."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.geometry.cameras import camera_rays, pinhole
from cut3r.geometry.points import depth_edges, nearest_neighbors

seeds = st.integers(0, 2**31)


def random_cloud(seed, count):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, generator=generator), torch.randint(0, 5, (count,), generator=generator).float()


def test_both_sides_of_a_depth_jump_are_marked():
    depth = torch.ones(3, 6)
    depth[:, 3:] = 2.0
    assert depth_edges(depth, 0.05).tolist() == [[False, False, True, True, False, False]] * 3
    assert torch.equal(depth_edges(depth.mT, 0.05), depth_edges(depth, 0.05).mT)


@pytest.mark.parametrize(("step", "is_edge"), [(1.04, False), (1.06, True)])
def test_the_jump_is_relative(step, is_edge):
    assert depth_edges(torch.tensor([[100.0, 100.0 * step]]), 0.05).tolist() == [[is_edge, is_edge]]


def plane(angle_deg: float, size: tuple[int, int]) -> torch.Tensor:
    """The depth of a floor whose normal is this far from the optical axis; 0 above its horizon."""
    angle = math.radians(angle_deg)
    depth = 1.5 / (
        camera_rays(pinhole(size, 0.86 * size[1]), size) @ torch.tensor([0, math.sin(angle), math.cos(angle)])
    )
    return depth.where(depth > 0, 0)


@pytest.mark.parametrize("size", [(384, 512), (96, 128)])
@pytest.mark.parametrize("angle_deg", [0.0, 60.0, 80.0, 88.0])
def test_a_plane_has_no_edges_however_steep(size, angle_deg):
    depth = plane(angle_deg, size)
    generator = torch.Generator().manual_seed(0)
    noisy = depth * (1 + 1e-4 * torch.randn(size, generator=generator))
    assert (depth_edges(depth, 0.03) & (depth > 0)).sum() < 0.05 * (depth > 0).sum()
    assert (depth_edges(noisy, 0.03) & (depth > 0)).sum() < 0.05 * (depth > 0).sum()


@pytest.mark.parametrize("width", [1, 2, 3])
def test_pixels_between_a_near_and_a_far_surface_are_marked(width):
    ramp = torch.linspace(2, 4, width + 2)[1:-1]
    depth = torch.cat((torch.full((10,), 2.0), ramp, torch.full((10,), 4.0))).expand(5, -1)
    assert depth_edges(depth, 0.03)[:, 10 : 10 + width].all()
    assert depth_edges(depth, 0.03).sum() == 5 * (width + 2)


def test_a_jump_beside_missing_depth_is_an_edge():
    assert depth_edges(torch.tensor([[0.0, 1.0, 2.0, 0.0]]), 0.05).tolist() == [[False, True, True, False]]


@pytest.mark.parametrize("missing", [0.0, -1.0, math.nan, math.inf])
def test_a_missing_depth_is_no_edge(missing):
    assert not depth_edges(torch.tensor([[1.0, missing, 1.0]]), 0.05).any()


@given(seed=seeds)
def test_the_nearest_neighbour_is_the_smallest_of_all_distances(seed):
    queries, reference = random_cloud(seed, 20)[0], random_cloud(seed + 1, 30)[0]
    distances, indices = nearest_neighbors(queries, reference)
    expected = torch.cdist(queries, reference).min(dim=-1)
    torch.testing.assert_close(distances, expected.values, atol=1e-5, rtol=0)
    assert torch.equal(indices, expected.indices)


def test_searching_an_empty_cloud_is_refused():
    with pytest.raises(ValueError, match="holds no points"):
        nearest_neighbors(torch.zeros(1, 3), torch.zeros(0, 3))
