"""The check of conventions passes for what is right and fails for the usual mistakes."""

from dataclasses import replace

import pytest
import torch

from cut3r.data.consistency import seen_again
from cut3r.data.synthetic import SyntheticRooms
from cut3r.data.walks import WalkConfig
from cut3r.geometry.cameras import camera_rays, unproject
from cut3r.geometry.poses import invert, transform


@pytest.fixture(scope="module")
def sample():
    rooms = SyntheticRooms(scenes=1, walk=WalkConfig(frames=6, moving=0), sizes=[(48, 64)], num_views=6, seed=2)
    views = rooms[0]
    return views[0], views[4]


def changed(view, world_from_cam, depth):
    """The view as a reader with other conventions would give it."""
    return replace(
        view, world_from_cam=world_from_cam, points=transform(world_from_cam, unproject(depth, view.intrinsics))
    )


def test_what_fits_together_is_seen_again(sample):
    share, error = seen_again(*sample)
    assert share > 0.5 and error < 0.02


@pytest.mark.parametrize("mistake", ["inverted", "OpenGL", "other unit"])
def test_the_usual_mistakes_show(sample, mistake):
    first, second = sample
    axes = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    poses = {"inverted": invert(second.world_from_cam), "OpenGL": second.world_from_cam @ axes}
    depth = 1000 * second.depth if mistake == "other unit" else second.depth
    share, error = seen_again(first, changed(second, poses.get(mistake, second.world_from_cam), depth))
    assert not (share > 0.5 and error < 0.02)


def test_depth_along_the_ray_shows(sample):
    first, second = sample
    longer = [view.depth * camera_rays(view.intrinsics, view.size).norm(dim=-1) for view in sample]
    wrong = replace(first, depth=longer[0])
    assert seen_again(wrong, changed(second, second.world_from_cam, longer[1]))[1] > 2 * seen_again(first, second)[1]
