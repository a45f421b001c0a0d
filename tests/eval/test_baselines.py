"""What one gets without looking at the pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.data.synthetic import TRAINING_SEED, synthetic_walk
from cut3r.data.walks import WalkConfig
from cut3r.geometry.poses import invert
from cut3r.metrics.motion import constant_velocity
from eval.__main__ import main
from eval.launch import WRONG_SETTINGS
from eval.protocols.base import NotScoredError
from eval.protocols.relpose import RelativePose
from eval.report.__main__ import main as report
from eval.sequences import open_set
from eval.systems.baselines import ConstantVelocity, MeanDepth, NoMotion
from tests.eval.small_rooms import small_rooms  # noqa: F401

pytestmark = pytest.mark.usefixtures("small_rooms")


@pytest.fixture
def walk(tmp_path):
    return open_set("relpose", "rooms", tmp_path)[0]


def test_the_mean_depth_map_is_that_of_training_walks(walk):
    walks = [synthetic_walk(TRAINING_SEED, index, WalkConfig()) for index in range(2)]
    expected = torch.stack([each.depth[::10] for each in walks]).mean(dim=(0, 1))
    np.testing.assert_allclose(MeanDepth(walk).depth(3), expected.numpy(), rtol=1e-6)


def test_its_points_are_seen_with_the_mean_field_of_view(walk):
    points = MeanDepth(walk, size=(96, 128)).points(0)
    np.testing.assert_allclose(points[..., 2], MeanDepth(walk).depth(0), rtol=1e-5)
    left, right = points[48, 0], points[48, -1]
    angle = np.arctan2(right[0], right[2]) - np.arctan2(left[0], left[2])
    assert np.rad2deg(angle) == pytest.approx(65, abs=1)  # between the centres of the outermost pixels


def test_a_camera_that_stands_still_is_as_far_off_as_the_path_is_wide(walk):
    score, _ = RelativePose().score(walk, NoMotion(walk))
    places = walk.world_from_cam[:, :3, 3]
    spread = np.sqrt(np.square(places - places.mean(axis=0)).sum(axis=1).mean())
    assert score.groups["sim3"][0].metrics["ate"] == pytest.approx(spread, rel=1e-6)
    assert score.groups["se3"][0].metrics["ate"] == pytest.approx(spread, rel=1e-6)


def test_constant_velocity_is_right_where_the_velocity_is_constant(walk):
    first_from_second = invert(torch.from_numpy(walk.world_from_cam[0])) @ torch.from_numpy(walk.world_from_cam[1])
    steady = walk.world_from_cam[0] @ constant_velocity(first_from_second, len(walk)).numpy()
    true = replace(walk, world_from_cam=steady)
    metrics = RelativePose().score(true, ConstantVelocity(true))[0].groups["se3"][0].metrics
    assert metrics["ate"] < 1e-6 and metrics["rpe_rot"] < 1e-4
    assert RelativePose().score(walk, ConstantVelocity(walk))[0].groups["se3"][0].metrics["ate"] > 0.01


def test_without_a_first_step_it_says_nothing(walk):
    lost = walk.world_from_cam.copy()
    lost[1] = np.nan
    with pytest.raises(NotScoredError, match="no first step"):
        ConstantVelocity(replace(walk, world_from_cam=lost)).cameras()


def test_what_a_baseline_is_silent_about_is_refused(tmp_path, capsys):
    assert main(["relpose", "dataset=rooms", f"root={tmp_path}", "weights=mean_depth"]) == WRONG_SETTINGS
    assert "mean_depth says nothing of cameras, which relpose scores" in capsys.readouterr().err
    assert main(["relpose", "dataset=rooms", "weights=no_motion", "stage=predict"]) == WRONG_SETTINGS


def test_each_baseline_has_a_run_of_its_own_that_the_report_shows(tmp_path, capsys):
    words = ["relpose", "dataset=rooms", f"root={tmp_path}"]
    for name in ("no_motion", "constant_velocity"):
        assert main([*words, f"weights={name}", f"out={tmp_path}/runs/{name}"]) == 0
    assert main([*words, "weights=constant_velocity", f"out={tmp_path}/runs/no_motion"]) == WRONG_SETTINGS
    assert report([str(tmp_path / "runs")]) == 0
    capsys.readouterr()
    page = (tmp_path / "runs/report/report.html").read_text()
    assert "weights=no_motion" in page and "weights=constant_velocity" in page
    tables = (tmp_path / "runs/report/tables.md").read_text()
    assert "no_motion" in tables and "constant_velocity" in tables
