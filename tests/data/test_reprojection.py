from dataclasses import replace

import numpy as np
import pytest

from cut3r.data.reprojection import MOST_PIXELS, inverse_depth_at, reproject, sample
from cut3r.data.view import RawFrame
from tests.data.walk_frames import walk_frames


def wall(shift_m=0.0, depth=2.0, size=(40, 60)):
    """A wall 2 m away with a pattern fixed to it; 1 m is 50 pixels wide."""
    x = np.arange(size[1]) + 25 * shift_m * (2.0 / depth)
    rgb = np.repeat((127 + 100 * np.sin(x / 4))[None, :, None], size[0], axis=0).repeat(3, axis=2)
    pose = np.eye(4)
    pose[0, 3] = shift_m
    return RawFrame(
        rgb.astype(np.uint8),
        np.full(size, depth, np.float32),
        np.array([[50.0, 0, 29.5], [0, 50.0, 19.5], [0, 0, 1]]),
        pose,
    )


def test_a_wall_is_seen_again_as_far_as_the_pictures_overlap():
    check = reproject(wall(), wall(0.4))  # 10 of 60 columns leave the picture
    assert check.seen_again == check.in_view == pytest.approx(50 / 60)
    assert check.pixels == 2400 and check.compared == 2000
    assert check.depth_error < 1e-6 and check.photometric < 0.02


def test_errors_are_relative():
    nearer = replace(wall(0.4), depth=np.full((40, 60), 1.9, np.float32))
    assert reproject(wall(), nearer).depth_error == pytest.approx(2 / 1.9 - 1, rel=1e-5)


def test_what_is_hidden_is_not_wrong():
    b = wall()
    b.depth[:, 30:] = 1.0
    check = reproject(wall(), b)
    assert check.in_view == 1 and check.seen_again == pytest.approx(0.5) and check.depth_error < 1e-6


def test_points_behind_the_camera_are_not_seen():
    pose = np.diag([-1.0, 1.0, -1.0, 1.0])
    check = reproject(wall(), replace(wall(), world_from_cam=pose))
    assert check.in_view == 0 and check.compared == 0 and np.isnan(check.depth_error) and np.isnan(check.photometric)


def test_sky_is_no_point_and_contradicts_one():
    a, b = wall(), wall()
    a.depth[:20] = -1
    b.depth[:] = -1
    check = reproject(a, b)
    assert check.pixels == 1200 and check.depth_error == 1


def test_other_pictures_are_as_good_as_chance():
    rng = np.random.default_rng(0)
    a, b = (replace(wall(), rgb=rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)) for _ in range(2))
    assert reproject(a, b).photometric == pytest.approx(1, abs=0.05)


def test_a_pose_with_scale_is_an_error():
    with pytest.raises(ValueError, match="not a rotation and a translation"):
        reproject(wall(), replace(wall(), world_from_cam=np.diag([2.0, 2.0, 2.0, 1.0])))


@pytest.mark.parametrize("size", [(256, 256), (480, 640), (128, 1024)])
def test_a_subsample_covers_the_picture(size):
    chosen = sample(wall(size=size))
    assert len(chosen.rows) == MOST_PIXELS
    assert len(np.unique(chosen.columns)) > 60 and len(np.unique(chosen.rows)) > 60


def test_planes_are_interpolated_exactly():
    y, x = np.mgrid[:8, :8]
    inverse = 0.3 + 0.004 * x + 0.002 * y
    places = np.array([[2.3, 4.6], [7.0, 7.0], [0.0, 0.0], [6.99, 0.01]])
    expected = 0.3 + 0.004 * places[:, 0] + 0.002 * places[:, 1]
    assert np.allclose(inverse_depth_at(1 / inverse, places), expected, rtol=1e-9)


def test_between_known_and_unknown_the_nearest_known_pixel_counts():
    depth = np.zeros((6, 6))
    depth[2, 3] = 4.0
    places = np.array([[3.0, 2.0], [3.9, 2.9], [2.1, 1.1], [4.0, 2.5], [1.9, 2.0]])
    assert np.array_equal(inverse_depth_at(depth, places)[:3], [0.25] * 3)
    assert np.isnan(inverse_depth_at(depth, places)[3:]).all()


def test_edges_are_not_interpolated():
    depth = np.full((4, 4), 1.0)
    depth[:, 2:] = 3.0
    assert np.allclose(inverse_depth_at(depth, np.array([[1.4, 1.0], [1.6, 1.0]])), [1, 1 / 3])


def test_rendered_rooms_agree_to_rounding():
    frames = walk_frames(3)
    check = reproject(frames[0], frames[6])
    assert check.seen_again > 0.4 and check.depth_error < 1e-6 and check.photometric < 0.6
