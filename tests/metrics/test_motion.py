"""Shares of explained motion: 0 for a camera that stands still, 1 for the truth, and sums that add up."""

import math

import pytest
import torch

from cut3r.geometry.poses import pose_from_encoding, transform
from cut3r.metrics.motion import (
    ate,
    ate_sim3,
    explained,
    path_length,
    relative_poses,
    rotation_error,
)
from cut3r.metrics.pooling import pooled
from tests.metrics.walks import paths, similar, still


def test_relative_poses_lead_from_the_later_camera_to_the_earlier_one():
    path = paths(0).double()
    chained = transform(path[0, 1], transform(relative_poses(path, 2)[0, 1], torch.ones(3).double()))
    torch.testing.assert_close(chained, transform(path[0, 3], torch.ones(3).double()))
    assert relative_poses(path, 2).shape == (2, 3, 4, 4)


def test_the_truth_explains_all_and_no_motion_nothing():
    true = relative_poses(paths(0), 1)
    assert pooled([explained(true, true)]) == pytest.approx({"yaw": 1, "sideways": 1, "forward": 1})
    assert pooled([explained(still(true), true)]) == pytest.approx({"yaw": 0, "sideways": 0, "forward": 0}, abs=1e-12)


def test_a_motion_to_the_wrong_side_is_worse_than_none():
    true = relative_poses(paths(0), 1)
    assert pooled([explained(similar(true, -1), true)])["forward"] == pytest.approx(-3)


def test_shares_of_parts_are_those_of_the_whole():
    true, said = relative_poses(paths(0, count=6), 1), relative_poses(paths(1, count=6), 1)
    together = explained(said, true)
    parts = [explained(said[:1], true[:1]), explained(said[1:], true[1:])]
    assert pooled(parts) == pytest.approx(pooled([together]))


def test_pooling_weighs_by_the_denominators_and_knows_nothing_of_nothing():
    found = pooled([{"loss": (6.0, 3.0)}, {"loss": (2.0, 1.0), "pose": (5.0, 1.0)}, {"none": (0.0, 0.0)}])
    assert (found["loss"], found["pose"]) == (2, 5)
    assert math.isnan(found["none"])


def test_only_the_aligned_error_forgives_another_scale():
    true = paths(0)
    assert (ate(similar(true, 2.0), true) > 0.1).all()
    torch.testing.assert_close(ate_sim3(similar(true, 2.0), true), torch.zeros(2).double(), atol=1e-6, rtol=0)


def test_a_camera_that_stands_still_is_put_into_the_middle():
    true = paths(0)
    middle = true[..., :3, 3].double().mean(dim=1, keepdim=True)
    expected = (true[..., :3, 3] - middle).square().sum(dim=-1).mean(dim=-1).sqrt()
    torch.testing.assert_close(ate_sim3(still(true), true), expected)


def test_a_prediction_that_is_not_finite_has_no_error():
    said = paths(0)
    said[0, 2, 0, 3] = torch.nan
    found = ate_sim3(said, paths(0))
    assert found.isnan().tolist() == [True, False]


def test_rotations_and_lengths_are_measured():
    quarter = torch.tensor([[0.0, 0, 0, 1, 0, 0, 0], [0, 0, 2, 1, 0, 1, 0]])
    path = pose_from_encoding(quarter)
    assert float(path_length(path)) == 2
    assert float(rotation_error(still(path), path)) == pytest.approx(math.pi / 4)
