import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import grid_sample, interpolate

from cut3r.geometry.cameras import pinhole, pixel_grid, pixel_rays, project
from cut3r.geometry.plane_sweep import Grey, box, median, smoothest, steady, sweep
from cut3r.geometry.poses import invert, transform

SIZE = (48, 64)
K = pinhole(SIZE, 60.0).double()


def painted(seed: int) -> torch.Tensor:
    """A smooth random picture on the plane z = 0 of the world, [-4, 4] metres to each side."""
    noise = torch.rand(1, 1, 60, 60, generator=torch.Generator().manual_seed(seed))
    return interpolate(noise, scale_factor=4, mode="bicubic", align_corners=False).clamp(0, 1)


def see(paint: torch.Tensor, world_from_cam: torch.Tensor) -> tuple[Grey, torch.Tensor]:
    """The picture and depth of the plane z = 0, seen by a camera."""
    rays = pixel_rays(pixel_grid(*SIZE, dtype=torch.float64)[..., :2], K) @ world_from_cam[:3, :3].mT
    depth = -world_from_cam[2, 3] / rays[..., 2]
    points = world_from_cam[:3, 3] + depth[..., None] * rays
    image = grid_sample(paint, points[None, ..., :2].float() / 4, align_corners=False)[0, 0]
    return Grey(image, K, world_from_cam), depth


def pose(x: float, yaw: float = 0.0) -> torch.Tensor:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[0, 0] = matrix[2, 2] = math.cos(yaw)
    matrix[0, 2], matrix[2, 0] = math.sin(yaw), -math.sin(yaw)
    matrix[:3, 3] = torch.tensor([x, 0.0, -3.0])
    return matrix


@settings(max_examples=4)
@given(seed=st.integers(0, 1000), yaw=st.floats(-0.5, 0.5))
def test_a_plane_is_found_however_it_is_inclined(seed, yaw):
    paint = painted(seed)
    view, depth = see(paint, pose(0.0, yaw))
    others = [see(paint, pose(x, yaw))[0] for x in (-0.4, 0.4)]
    found, score = sweep(view, others, 1.5, 8.0)
    error = ((found - depth).abs() / depth)[6:-6, 12:-12]
    assert error.median() < 0.01 and (error > 0.05).float().mean() < 0.05
    assert score[6:-6, 12:-12].median() > 0.8


def test_brightness_and_contrast_do_not_matter_and_what_hides_a_part_of_one_picture_does_not_either():
    paint = painted(1)
    view, depth = see(paint, pose(0.0))
    left, right = (see(paint, pose(x))[0] for x in (-0.4, 0.4))
    dimmed = Grey(0.4 * left.image + 0.3, K, left.world_from_cam)
    hidden = right.image.clone()
    hidden[:, 30:] = torch.rand(48, 34, generator=torch.Generator().manual_seed(2))
    found, _ = sweep(view, [dimmed, Grey(hidden, K, right.world_from_cam)], 1.5, 8.0)
    error = ((found - depth).abs() / depth)[6:-6, 12:-12]
    assert error.median() < 0.01 and (error > 0.05).float().mean() < 0.08


def test_other_pictures_may_have_other_sizes():
    paint = painted(3)
    view, depth = see(paint, pose(0.0))
    other = see(paint, pose(0.4))[0]
    found, _ = sweep(view, [other.reduced(2)], 1.5, 8.0)
    assert ((found - depth).abs() / depth)[6:-6, 16:-6].median() < 0.03


def test_without_other_pictures_or_range_there_is_no_sweep():
    view, _ = see(painted(0), pose(0.0))
    with pytest.raises(ValueError, match="needs other pictures"):
        sweep(view, [], 1.0, 2.0)
    with pytest.raises(ValueError, match="range of depths"):
        sweep(view, [view], 2.0, 1.0)


def test_a_reduced_picture_is_that_of_its_camera():
    # the centre of a pixel of the small picture is where four pixels of the large one meet
    view, _ = see(painted(4), pose(0.0))
    small = view.reduced(2)
    assert small.image[3, 5] == pytest.approx(float(view.image[6:8, 10:12].mean()), abs=1e-6)
    point = torch.tensor([[0.3, -0.2, 0.0]], dtype=torch.float64)
    seen = [project(transform(invert(each.world_from_cam), point), each.intrinsics)[0] for each in (view, small)]
    torch.testing.assert_close(seen[1], (seen[0] + 0.5) / 2 - 0.5)


def test_windows():
    image = torch.rand(9, 11, generator=torch.Generator().manual_seed(0))
    assert box(image, 1)[4, 5] == pytest.approx(float(image[3:6, 4:7].mean()), abs=1e-6)
    assert box(image, 1)[0, 0] == pytest.approx(
        float((4 * image[0, 0] + 2 * (image[0, 1] + image[1, 0]) + image[1, 1]) / 9)
    )
    assert median(image, 1)[4, 5] == image[3:6, 4:7].median()


def test_planes_are_chosen_that_neighbours_share_unless_scores_say_otherwise():
    scores = torch.full((6, 8, 10), 0.5)
    scores[2, :, :5], scores[4, :, 5:] = 0.9, 0.9  # an edge
    scores[0, 3, 2] = 0.95  # a pixel that is a little better elsewhere
    chosen = smoothest(scores)
    assert (chosen[:, :5] == 2).all() and (chosen[:, 5:] == 4).all()


def test_what_is_uncertain_or_at_an_edge_is_unknown():
    depth, score = torch.full((20, 30), 2.0), torch.full((20, 30), 0.9)
    depth[:, 15:], score[5, 3] = 4.0, 0.1
    known = steady(depth, score, 0.5, radius=2) > 0
    assert not known[5, 3] and not known[:, 12:18].any() and known[:, :12].sum() == 20 * 12 - 1 and known[:, 18:].all()
