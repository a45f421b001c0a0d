"""Thinning, depth edges, normals and nearest neighbours."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.geometry.cameras import pinhole, unproject
from cut3r.geometry.points import depth_edges, nearest_neighbors, normals_from_points, voxel_thin
from cut3r.geometry.poses import pose_from_encoding, rotate, transform

seeds = st.integers(0, 2**31)


def random_cloud(seed, count):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, generator=generator), torch.randint(0, 5, (count,), generator=generator).float()


@given(seed=seeds, count=st.integers(0, 200), voxel_size=st.sampled_from([0.1, 1.0, 5.0]))
def test_thinning_keeps_the_best_point_of_each_voxel(seed, count, voxel_size):
    points, confidence = random_cloud(seed, count)
    best = {}
    for index, (cell, value) in enumerate(
        zip((points / voxel_size).floor().tolist(), confidence.tolist(), strict=True)
    ):
        if value > best.get(tuple(cell), (-1, -math.inf))[1]:
            best[tuple(cell)] = (index, value)
    assert voxel_thin(points, confidence, voxel_size).tolist() == sorted(index for index, _ in best.values())


@given(seed=seeds)
def test_thinning_twice_is_thinning_once(seed):
    points, confidence = random_cloud(seed, 100)
    kept = voxel_thin(points, confidence, 0.5)
    assert voxel_thin(points[kept], confidence[kept], 0.5).tolist() == list(range(len(kept)))


def test_a_stray_point_far_away_does_not_merge_voxels():
    points = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1e15, -1e15, 1e15], [0.0, 1.0, 0.0]])
    assert voxel_thin(points, torch.ones(4), 0.001).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("voxel_size", [0.0, -1.0, math.nan])
def test_a_voxel_without_size_is_refused(voxel_size):
    with pytest.raises(ValueError, match="positive edge length"):
        voxel_thin(torch.zeros(1, 3), torch.ones(1), voxel_size)


def test_both_sides_of_a_depth_jump_are_marked():
    depth = torch.ones(3, 6)
    depth[:, 3:] = 2.0
    assert depth_edges(depth).tolist() == [[False, False, True, True, False, False]] * 3
    assert torch.equal(depth_edges(depth.mT), depth_edges(depth).mT)


@pytest.mark.parametrize(("step", "is_edge"), [(1.04, False), (1.06, True)])
def test_the_jump_is_relative(step, is_edge):
    assert depth_edges(torch.tensor([[100.0, 100.0 * step]])).tolist() == [[is_edge, is_edge]]


@pytest.mark.parametrize("missing", [0.0, -1.0, math.nan, math.inf])
def test_a_missing_depth_is_no_edge(missing):
    assert not depth_edges(torch.tensor([[1.0, missing, 1.0]])).any()


@given(seed=seeds)
def test_the_normals_of_a_plane_face_the_camera_and_turn_with_the_points(seed):
    generator = torch.Generator().manual_seed(seed)
    normal = torch.nn.functional.normalize(torch.randn(3, generator=generator).double() * 0.3 - torch.eye(3)[2], dim=0)
    rays = unproject(torch.ones(5, 7, dtype=torch.float64), pinhole((5, 7), torch.tensor(50.0, dtype=torch.float64)))
    points = rays * (-2.0 / (rays @ normal)).unsqueeze(-1)  # the plane normal . x = -2
    torch.testing.assert_close(normals_from_points(points), normal.expand(5, 7, 3))
    a_from_b = pose_from_encoding(torch.randn(7, generator=generator).double())
    turned = normals_from_points(transform(a_from_b, points))
    torch.testing.assert_close(turned, rotate(a_from_b, normals_from_points(points)))


def test_points_that_span_no_plane_have_no_normal():
    assert not normals_from_points(torch.zeros(2, 3, 4, 3)).any()


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
