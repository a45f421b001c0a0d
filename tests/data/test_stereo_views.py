import numpy as np

from cut3r.data.stereo_views import Sparse, choose_helpers, nearby


def poses_at(*x: float) -> np.ndarray:
    poses = np.tile(np.eye(4), (len(x), 1, 1))
    poses[:, 0, 3] = x
    return poses


def test_pictures_help_that_see_the_same_from_a_few_degrees_beside():
    # at 5 m, 5 degrees are 0.44 m
    poses = poses_at(0.0, 0.01, 0.44, 0.9, 4.0, 0.44)
    points = np.random.default_rng(0).uniform((-1, -1, 4.9), (1, 1, 5.1), (50, 3))
    everything, nothing = np.arange(50), np.empty(0, np.int64)
    helpers = choose_helpers(poses, Sparse(points, [everything] * 5 + [nothing]))
    assert helpers[0].others[:2] == (2, 3) and not {0, 1, 5} & set(helpers[0].others)
    assert helpers[5] is None


def test_depth_is_looked_for_around_the_points_that_a_picture_sees():
    poses, rng = poses_at(0.0, 0.5), np.random.default_rng(1)
    points = rng.uniform((-1, -1, 4), (1, 1, 8), (200, 3))
    points[0] = (0, 0, 300)  # a wrong one
    helpers = choose_helpers(poses, Sparse(points, [np.arange(200), np.arange(200)]))
    assert 2.5 < helpers[0].nearest < 4 and 8 < helpers[0].farthest < 30


def test_nearby_cameras_look_the_same_way_and_stand_elsewhere():
    poses = poses_at(0.0, 0.0, 0.1, 0.2, 0.3)
    poses[2, :3, :3] = np.diag([-1.0, 1, -1])  # looks back
    assert nearby(poses, (0, 1))[0].tolist() == [3, 4] and nearby(poses, (0, 9))[0].tolist() == [3]
