"""What a validation says of cameras: 1 or 0 for the truth, 0 or 1 for no motion, and the same for any division."""

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from cut3r.geometry.poses import invert
from cut3r.metrics.pooling import pooled
from cut3r.model.prediction import Prediction
from cut3r.training.losses import ValidationLoss
from cut3r.training.motion_scores import control_parts, motion_parts, with_another_first_view
from cut3r.training.precision import Precision
from cut3r.training.rollout import Batch, TrainingStep
from cut3r.training.validation import validate
from tests.training.fake_feed import random_views, small_network, some_samples

R2 = [f"r2_{name}_{gap}" for gap in (1, 3) for name in ("sideways", "forward")]  # the cameras of the fake do not turn


def true_paths(views):
    first_from_world = invert(views[0].world_from_cam)
    return [Prediction(world_from_cam=first_from_world @ view.world_from_cam) for view in views]


def standing_still(views):
    return [Prediction(world_from_cam=torch.eye(4).expand(len(view.label), 4, 4)) for view in views]


def validated(*batches):
    step = TrainingStep(small_network(), Precision.fp32)
    return validate(step, list(batches), ValidationLoss(), Accelerator(cpu=True))[0]


def test_the_truth_explains_all_of_the_motion():
    views = random_views(0, views=5)
    found = pooled([motion_parts(views, true_paths(views))])
    assert [found[name] for name in R2] == pytest.approx([1] * 4)
    assert [found["ate_share"], found["ate_sim3_share"]] == pytest.approx([0, 0], abs=1e-5)
    assert found["auc_30"] == pytest.approx(1, abs=1e-3)


def test_no_motion_explains_none_of_it():
    views = random_views(0, views=5)
    found = pooled([motion_parts(views, standing_still(views))])
    assert [found[name] for name in R2] == pytest.approx([0] * 4, abs=1e-6)
    assert (found["ate_share"], found["ate_sim3_share"], found["auc_30"]) == pytest.approx((1, 1, 0))


def test_two_views_are_judged_by_what_they_have():
    views = random_views(0, views=2)
    names = motion_parts(views, true_paths(views)).keys()
    assert "r2_yaw_1" in names
    assert not names & {"r2_yaw_3", "ate_sim3_share"}


def test_metres_are_asked_of_metric_samples_only():
    views = random_views(0, views=3)
    unscaled = [replace(view, metric=torch.zeros(2, dtype=torch.bool)) for view in views]
    parts = motion_parts(unscaled, true_paths(unscaled))
    assert parts["r2_forward_1"] == parts["ate_share"] == (0, 0)
    assert parts["ate_sim3_share"][1] > 0


def test_unrelated_pictures_have_no_path():
    views = random_views(0, views=3)
    unrelated = [replace(view, single_view=torch.ones(2, dtype=torch.bool)) for view in views]
    assert set(motion_parts(unrelated, true_paths(unrelated)).values()) == {(0, 0)}


def test_the_control_shows_the_first_view_of_the_sample_before():
    batch = Batch.make(random_views(0), torch.device("cpu"))
    control = with_another_first_view(batch)
    assert len(control.views) == len(control.inputs) == 2
    torch.testing.assert_close(control.inputs[0].image[1], batch.inputs[0].image[0])
    torch.testing.assert_close(control.inputs[1].image, batch.inputs[1].image)
    torch.testing.assert_close(control.views[0].world_from_cam, batch.views[0].world_from_cam)
    assert control_parts(control.views, standing_still(control.views))["control_forward"][0] == pytest.approx(0)


def test_validation_reports_motion_and_the_control():
    found = validated(random_views(1))
    assert {"r2_forward_1", "ate_share", "ate_sim3_share", "auc_30", "control_forward"} <= found.keys()
    assert not found.keys() & {"r2_yaw_1", "control_yaw"}  # nothing turns, so there is nothing to divide by


def test_ratios_are_of_sums_over_the_batches():
    batches = [random_views(seed, samples=4) for seed in (1, 2)]
    halves = [some_samples(views, part) for views in batches for part in (slice(0, 2), slice(2, 4))]
    whole, divided = validated(*batches), validated(*halves)
    for name in ("r2_sideways_1", "r2_forward_1", "ate_share", "ate_sim3_share", "auc_30"):
        assert whole[name] == pytest.approx(divided[name], abs=1e-4)


def test_single_samples_have_no_control():
    assert "control_forward" not in validated(random_views(1, samples=1))
