"""Where patches lie in the first view: walls and cameras whose answer is known by hand."""

from dataclasses import replace

import pytest
import torch

from cut3r.data.view import View
from cut3r.geometry.cameras import pinhole, unproject
from cut3r.geometry.poses import transform
from cut3r.training.correspondence import correspond, soft_labels
from tests.training.fake_feed import random_views

PATCH, SIZE, FOCAL = 4, (12, 16), 8.0


def wall(x: float = 0.0, z: float = 0.0, depth: float | torch.Tensor = 2.0, **changes: object) -> View:
    """A camera at (x, 0, z) that looks along z at a wall so far away."""
    template = random_views(0, samples=1, views=1, size=SIZE)[0]
    pose, intrinsics = torch.eye(4)[None].clone(), pinhole(SIZE, FOCAL)[None]
    pose[0, 0, 3], pose[0, 2, 3] = x, z
    shown = torch.as_tensor(depth).expand(1, *SIZE).clone()
    points = transform(pose, unproject(shown.clamp_min(0), intrinsics))
    view = replace(template, depth=shown, valid=shown > 0, sky=shown < 0, points=points, intrinsics=intrinsics)
    return replace(view, world_from_cam=pose, **changes)


def test_without_motion_each_patch_lies_at_its_own_place():
    found = correspond(wall(), wall(), PATCH)
    x = (torch.arange(16)[PATCH // 2 :: PATCH] + 0.5) / 8 - 1
    assert found.visible.all()
    torch.testing.assert_close(found.place.view(3, 4, 2)[0, :, 0], x)


def test_a_step_to_the_side_moves_every_place_by_the_parallax():
    found, still = (correspond(wall(x=step), wall(), PATCH) for step in (1.0, 0.0))
    pixels = FOCAL * 1.0 / 2.0  # one patch
    torch.testing.assert_close(found.place - still.place, torch.tensor([2 * pixels / 16, 0.0]).expand(1, 12, 2))
    assert found.visible.view(3, 4).tolist() == [[True, True, True, False]] * 3
    assert found.known.all()


def test_what_stands_before_a_point_hides_it():
    depth = torch.full(SIZE, 2.0)
    depth[:, 8:] = 1.0  # the first view sees something nearer on its right half
    found = correspond(wall(), wall(depth=depth), PATCH)
    assert found.visible.view(3, 4).tolist() == [[True, True, False, False]] * 3
    assert found.known.all()


def test_a_slanted_floor_hides_nothing():
    depth = torch.linspace(1, 4, 12).unsqueeze(1).expand(SIZE)
    shifted = correspond(wall(depth=depth), wall(x=0.02, depth=depth), PATCH)
    assert shifted.visible.all()


@pytest.mark.parametrize("depth", [0.0, -1.0])
def test_nothing_is_known_without_depth(depth):
    assert not correspond(wall(depth=depth), wall(), PATCH).known.any()
    assert not correspond(wall(), wall(depth=depth), PATCH).visible.any()


def test_nothing_is_known_behind_the_first_camera():
    found = correspond(wall(z=-3.0), wall(), PATCH)
    assert not found.known.any()
    assert found.place.isfinite().all()


@pytest.mark.parametrize("fact", ["camera_only", "depth_only", "single_view"])
def test_nothing_is_known_of_views_that_depth_and_pose_do_not_relate(fact):
    assert not correspond(wall(**{fact: torch.tensor([True])}), wall(), PATCH).known.any()


def test_nothing_is_known_of_a_view_without_image():
    unseen = {"has_image": torch.tensor([False])}
    assert not correspond(wall(**unseen), wall(), PATCH).known.any()
    assert not correspond(wall(), wall(**unseen), PATCH).known.any()


def test_labels_share_a_place_among_the_four_tokens_around_it():
    place = torch.tensor([[[0.0, 0.0], [-0.25, 1 / 3], [-1.0, -1.0]]])  # of 3 x 4 patches, in a grid of 6 columns
    labels = soft_labels(place, (3, 4), columns=6, tokens=36)[0]
    assert labels[0].nonzero().flatten().tolist() == [7, 8]  # row 1, between columns 1 and 2
    assert labels[1, [7, 13]].tolist() == pytest.approx([0.5, 0.5])
    assert labels[2, 0] == 1  # the corner belongs to the first token
    torch.testing.assert_close(labels.sum(-1), torch.ones(3))


def test_labels_of_one_row_of_patches():
    labels = soft_labels(torch.tensor([[[0.5, 0.9]]]), (1, 2), columns=2, tokens=4)
    assert labels.tolist() == [[[0.0, 1.0, 0.0, 0.0]]]
