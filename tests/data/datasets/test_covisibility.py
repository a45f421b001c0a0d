import numpy as np
import pytest

from datasets_preprocess import covisibility

INTRINSICS = np.array([[40.0, 0, 19.5], [0, 40.0, 19.5], [0, 0, 1]])


def test_covisibility_is_the_smaller_share_of_what_both_see():
    poses = [np.eye(4) for _ in range(3)]
    poses[1][0, 3] = 2.0  # half of the wall's width of 4 m, at a depth of 4 m
    poses[2][:3, :3] = np.diag([-1.0, 1, -1])  # looks the other way
    sights = [covisibility.Sight.thinned(np.full((40, 40), 4.0), INTRINSICS, pose) for pose in poses]
    scores = covisibility.scores(sights)
    assert scores[0, 1] == scores[1, 0] == pytest.approx(0.5, abs=0.03)
    assert not scores[2].any() and not np.diag(scores).any()
    assert covisibility.pairs(scores, 0.1)[:, :2].tolist() == [[0, 1], [1, 0]]


def test_what_is_hidden_does_not_count():
    near = np.full((40, 40), 4.0)
    near[:, :20] = 2.0  # a plate in front of the other half
    sights = [covisibility.Sight.thinned(depth, INTRINSICS, np.eye(4)) for depth in (np.full((40, 40), 4.0), near)]
    assert covisibility.scores(sights)[0, 1] == pytest.approx(0.5, abs=0.03)


def test_a_picture_without_depth_sees_nothing():
    sights = [covisibility.Sight.thinned(np.full((40, 40), depth), INTRINSICS, np.eye(4)) for depth in (4.0, 0.0)]
    assert not covisibility.scores(sights).any()


def test_thinning_keeps_the_rays():
    depth = np.arange(512 * 384, dtype=np.float64).reshape(384, 512)
    sight = covisibility.Sight.thinned(depth, INTRINSICS, np.eye(4))
    assert sight.depth.shape == (96, 128) and sight.depth[5, 7] == depth[20, 28]
    ray = np.linalg.inv(sight.intrinsics) @ [7, 5, 1]
    np.testing.assert_allclose(ray, np.linalg.inv(INTRINSICS) @ [28, 20, 1])
