"""Which frames are exported."""

import numpy as np
import pytest

from cut3r.export.choose import choose
from cut3r.export.upright import upright_from_world


def walk(places):
    poses = np.tile(np.eye(4), (len(places), 1, 1))
    poses[:, 0, 3] = places
    return poses


def test_all_are_taken_if_they_are_few():
    assert choose(walk([0, 1, 2]), np.ones(3), np.ones(3), 3) == [0, 1, 2]


def test_the_sharpest_of_each_stretch_of_the_way_is_taken():
    sharp = np.ones(100)
    sharp[[7, 33, 58, 94]] = 5
    assert choose(walk(np.arange(100.0)), sharp, np.ones(100), 4) == [7, 33, 58, 94]


def test_where_the_camera_hardly_moves_there_are_few():
    places = np.concatenate((np.linspace(0, 0.01, 80), np.linspace(1, 20, 20)))
    chosen = np.array(choose(walk(places), np.ones(100), np.ones(100), 10))
    assert (chosen < 80).sum() <= 2 and len(chosen) >= 8


def test_turning_counts_and_so_does_time_where_nothing_moves():
    poses = np.tile(np.eye(4), (50, 1, 1))
    assert choose(poses, np.ones(50), np.ones(50), 5) == [0, 10, 20, 30, 40]
    angles = np.linspace(0, 1.5, 50)
    poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angles)
    poses[:, 0, 2], poses[:, 2, 0] = np.sin(angles), -np.sin(angles)
    assert len(choose(poses, np.ones(50), np.ones(50), 5)) == 5


@pytest.mark.parametrize("seed", range(3))
def test_upright_turns_and_nothing_else(seed):
    random = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, :3, :3] = np.linalg.qr(random.standard_normal((3, 3)))[0]
    if np.linalg.det(poses[0, :3, :3]) < 0:
        poses[:, :3, 0] *= -1
    turned = upright_from_world(poses)
    np.testing.assert_allclose(turned[:3, :3] @ turned[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turned[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(turned[:3, :3] @ -poses[0, :3, 1], (0, 0, 1), atol=1e-12)
    assert (turned[:3, :3] @ poses[0, :3, 2])[1] > 0.99, "the first camera looks along y"


def test_a_camera_that_looks_straight_down_is_no_problem():
    down = np.eye(4)[None]
    assert np.isfinite(upright_from_world(down)).all()
