"""Camera path errors agree with the recorded ones, and say when a path cannot be scored."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from eval.protocols.base import NotScoredError
from eval.protocols.trajectory import Alignment, path_errors, proper, rms
from eval.systems.stamps import associate
from tests.conftest import GOLDEN

RECORDED = sorted(path.stem for path in (GOLDEN / "eval").glob("pose_*.npz") if "ok" in np.load(path).files)
SCORED = [name for name in RECORDED if np.load(GOLDEN / "eval" / f"{name}.npz")["ok"]]
REFUSED = sorted(set(RECORDED) - set(SCORED))


def recorded(name):
    case = dict(np.load(GOLDEN / "eval" / f"{name}.npz"))
    predicted, true = case["pred_c2w"], case["gt_c2w"]
    if len(predicted) != len(true):
        ours, theirs = associate(np.arange(len(predicted), dtype=np.float64), case["gt_timestamps"].ravel())
        predicted, true = predicted[ours], true[theirs]
    return case, predicted, true


def random_path(rng, frames=12):
    cameras = np.tile(np.eye(4), (frames, 1, 1))
    cameras[:, :3, :3] = Rotation.random(frames, rng=rng).as_matrix()
    cameras[:, :3, 3] = rng.normal(size=(frames, 3))
    return cameras


def moved(cameras, rotation, translation, scale=1.0):
    result = cameras.copy()
    result[:, :3, :3] = rotation @ cameras[:, :3, :3]
    result[:, :3, 3] = scale * cameras[:, :3, 3] @ rotation.T + translation
    return result


def test_all_recorded_cases_are_here():
    assert (len(SCORED), len(REFUSED)) == (13, 5)


@pytest.mark.parametrize("name", SCORED)
def test_recorded_errors(name):
    case, predicted, true = recorded(name)
    errors = path_errors(predicted, true, parity=True)
    assert rms(errors.ate_m) == pytest.approx(float(case["ate"]), abs=1e-7)
    assert rms(errors.rpe_m) == pytest.approx(float(case["rpe_trans"]), abs=1e-7)
    assert rms(errors.rpe_deg) == pytest.approx(float(case["rpe_rot"]), abs=1e-5)
    np.testing.assert_allclose(errors.ate_m, case["ape_errors"], atol=1e-7)
    np.testing.assert_allclose(errors.rpe_m, case["rpe_trans_errors"], atol=1e-7)
    np.testing.assert_allclose(errors.rpe_deg, case["rpe_rot_errors"], atol=1e-5)
    np.testing.assert_allclose(errors.world_from_predicted, case["sim3"], atol=1e-7)


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_published_scripts_refuse_is_left_out_in_parity_mode(name):
    def score():
        _, predicted, true = recorded(name)  # where clocks do not match, already this raises
        path_errors(predicted, true, parity=True)

    with pytest.raises(ValueError, match=r"."):  # NotScoredError, or clocks that do not meet
        score()


def test_a_straight_path_is_scored_by_default_and_marked():
    _, predicted, true = recorded("pose_straight_line_gt")
    errors = path_errors(predicted, true)
    assert errors.degenerate
    assert math.isfinite(rms(errors.ate_m))


def test_a_prediction_that_stands_still_is_as_far_as_the_middle_of_the_true_path():
    _, predicted, true = recorded("pose_static_pred")
    errors = path_errors(predicted, true)
    spread = true[:, :3, 3] - true[:, :3, 3].mean(axis=0)
    assert rms(errors.ate_m) == pytest.approx(rms(np.linalg.norm(spread, axis=1)))


def test_a_true_camera_that_stands_still_is_left_out():
    _, predicted, true = recorded("pose_static_gt")
    with pytest.raises(NotScoredError, match="does not move"):
        path_errors(predicted, true)


@pytest.mark.parametrize("seed", range(5))
def test_sim3_forgives_a_similarity_and_se3_only_a_motion(seed):
    rng = np.random.default_rng(seed)
    true = random_path(rng)
    predicted = moved(true, Rotation.random(rng=rng).as_matrix(), rng.normal(size=3), scale=0.5)
    sim3, se3 = path_errors(predicted, true), path_errors(predicted, true, Alignment.se3)
    assert rms(sim3.ate_m) == pytest.approx(0, abs=1e-9)
    assert sim3.scale == pytest.approx(2)
    assert se3.scale == pytest.approx(1)
    spread = true[:, :3, 3] - true[:, :3, 3].mean(axis=0)
    assert rms(se3.ate_m) == pytest.approx(0.5 * rms(np.linalg.norm(spread, axis=1)))


def test_cameras_that_are_not_finite_are_refused():
    cameras = random_path(np.random.default_rng(0))
    broken = cameras.copy()
    broken[3] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        path_errors(broken, cameras)


def test_nearly_orthogonal_matrices_become_rotations():
    rng = np.random.default_rng(0)
    cameras = random_path(rng)
    noisy = cameras.copy()
    noisy[:, :3, :3] += rng.normal(scale=1e-3, size=(len(cameras), 3, 3))
    rotations = proper(noisy)[:, :3, :3]
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (12, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    np.testing.assert_allclose(rotations, cameras[:, :3, :3], atol=5e-3)
