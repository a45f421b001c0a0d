"""A plain view: what a result yields, and what others make to fill a reconstruction or a page."""

import numpy as np
import pytest
import torch

from cut3r.geometry.cameras import pinhole
from cut3r.geometry.registration import Similarity
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.result import PointSource
from cut3r.inference.view import View
from cut3r.viewer.view import view_from_frame
from tests.inference.results import make_result

FINE = 1e-4


def wall(depth_m: float = 2.0) -> View:
    depth = torch.full((6, 8), depth_m)
    depth[0, 0] = 0
    pose = torch.eye(4)
    pose[0, 3] = 1.0
    image = np.full((6, 8, 3), 7, np.uint8)
    return View.from_depth("wall.png", 3, image, depth, pinhole((6, 8), 10.0), pose)


@pytest.mark.parametrize("source", PointSource)
def test_a_result_and_its_view_fill_a_reconstruction_alike(source):
    ours, theirs = (Reconstruction(voxel_size=FINE, confidence=1.0) for _ in range(2))
    result = make_result(0, source=source)
    ours.add(result)
    theirs.add(result.view)
    first, second = ours.state_arrays(), theirs.state_arrays()
    assert all(np.array_equal(value, second[name]) for name, value in first.items())


def test_a_view_of_a_depth_map_stands_where_its_camera_is():
    scene = Reconstruction(voxel_size=FINE, edges=None)
    scene.add(wall())
    assert len(scene) == 6 * 8 - 1 and scene.cameras.names == ("wall.png",)
    assert scene.points[:, 2] == pytest.approx(2.0) and scene.points[:, 0].mean() == pytest.approx(1.0, abs=0.05)
    assert (scene.frame_numbers == 3).all() and (scene.colors == 7).all()
    np.testing.assert_allclose(scene.cameras.intrinsics_original[0], pinhole((6, 8), 10.0))


def test_a_view_can_be_put_elsewhere():
    twice = Similarity(torch.eye(3), torch.tensor([0.0, 0, 5]), torch.tensor(2.0))
    placed = wall().placed(twice)
    assert placed.depth[3, 3] == 4 and placed.points_world[3, 3, 2] == 9
    torch.testing.assert_close(placed.world_from_cam[:3, 3], torch.tensor([2.0, 0, 5]))


def test_a_page_shows_views_too():
    shown = view_from_frame(wall(), 0, max_points=100, thumbnail_side=8, edges=None)
    assert len(shown.points_cam) == 6 * 8 - 1 and shown.median_depth == pytest.approx(2.0)
