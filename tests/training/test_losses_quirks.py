"""Each quirk of the original (training_losses, section 12): what parity keeps, and what the default does instead."""

from dataclasses import replace

import pytest
import torch

from cut3r.training.loss_config import LossConfig, PointLoss
from cut3r.training.losses import ReconstructionLoss, ValidationLoss
from tests.training.loss_cases import change, gradients, random_batch, recorded

PLAIN = LossConfig()
BY_KIND = LossConfig(inner=PointLoss.by_kind)


def parity(config):
    return replace(config, parity=True)


def run(config, views, predictions):
    return ReconstructionLoss(config)(views, predictions)


def without_pixels(view):
    """A view whose samples show nothing: its points stand at the camera, as a dataset leaves them."""
    centre = view.world_from_cam[:, None, None, :3, 3].expand_as(view.points)
    return replace(view, valid=torch.zeros_like(view.valid), points=centre)


def test_l1_poses_are_learned_whatever_the_last_view_was_given():
    views, predictions = recorded("last_view_ray_only")
    assert run(parity(BY_KIND), views, predictions).details["pose"] == 0
    pose = run(BY_KIND, views, predictions).details["pose"]
    assert pose == run(PLAIN, views, predictions).details["pose"] > 0


def test_l1_other_views_without_an_image_never_lost_their_poses():
    views, predictions = random_batch()
    views[1] = replace(views[1], has_image=torch.zeros(2, dtype=torch.bool))
    assert run(parity(BY_KIND), views, predictions).details["pose"] == run(BY_KIND, views, predictions).details["pose"]


@pytest.mark.parametrize("config", [PLAIN, parity(PLAIN)])
def test_l2_a_batch_of_one_works(config):
    views, predictions = recorded("batch_one")
    expected = run(replace(config, inner=PointLoss.by_kind), views, predictions).total
    torch.testing.assert_close(run(config, views, predictions).total, expected)
    assert ValidationLoss()(views, predictions).total > 0


@pytest.mark.parametrize("config", [BY_KIND, parity(BY_KIND)])
def test_l3_a_batch_without_any_depth_works(config):
    views, predictions = recorded("all_camera_only")
    result = run(config, views, predictions)
    torch.testing.assert_close(result.total, run(PLAIN, views, predictions).total)
    assert result.details["weighted_world/1"] == 0
    assert result.details["pixels_world/1"] == 0


def test_l3_validation_takes_samples_without_depth():
    views, predictions = random_batch(camera_only=torch.tensor([True, False]))
    details = ValidationLoss()(views, predictions).details
    assert details["pixels_cam/1"] == 2 * details["pixels_world/1"]
    alone, guess = random_batch(camera_only=torch.tensor([True, True]))
    assert ValidationLoss()(alone, guess).details["points_world/1"] == 0


@pytest.mark.parametrize("config", [BY_KIND, parity(BY_KIND)])
def test_l4_the_list_criterion_can_ignore_the_sky(config):
    views, predictions = recorded("mixed")
    config = replace(config, sky_value=0.0)
    details, plain = (run(c, views, predictions).details for c in (config, replace(config, inner=PointLoss.plain)))
    torch.testing.assert_close(details["weighted_cam/1"], plain["weighted_cam/1"])


@pytest.mark.parametrize("config", [BY_KIND, parity(BY_KIND)])
def test_l5_an_empty_view_of_a_depth_only_sample_leaves_gradients_finite(config):
    views, predictions = random_batch(depth_only=torch.tensor([True, False]))
    views[1] = without_pixels(views[1])
    found = gradients(run(config, views, predictions), predictions)
    assert all(gradient.isfinite().all() for gradient in found.values())
    assert found["points_cam"][0].ne(0).any() and found["points_cam"][1].eq(0).all()


def test_l6_validation_skips_a_sample_without_points():
    views, predictions = random_batch()
    mask = torch.tensor([True, False]).view(2, 1, 1)
    views = [replace(view, valid=view.valid & mask) for view in views]
    result = ValidationLoss()(views, predictions)
    found = gradients(result, predictions)
    assert result.total.isfinite() and all(gradient.isfinite().all() for gradient in found.values())
    assert found["points_cam"][:, 1].eq(0).all()


def test_l7_an_empty_view_reports_zero_of_zero_pixels():
    views, predictions = recorded("empty_view")
    details = run(PLAIN, views, predictions).details
    assert details["points_cam/2"] == 0 and details["pixels_cam/2"] == 0
    assert details["pixels_cam/1"] > 0
    assert run(parity(PLAIN), views, predictions).details["points_cam/2"].isnan()


def test_l8_the_unit_of_the_ground_truth_can_be_freed_from_the_confidences():
    views, predictions = random_batch(metric=torch.tensor([True, True]))
    doubtful = torch.ones(2, 6, 8)
    doubtful[:, :3] = 50.0
    other = change(predictions, conf_cam=doubtful)

    def pose(config, predictions):
        return run(config, views, predictions).details["pose"]

    assert abs(pose(PLAIN, predictions) - pose(PLAIN, other)) > 1e-3
    unweighted = replace(PLAIN, weighted_scale=False)
    assert pose(unweighted, predictions) == pose(unweighted, other)


def test_l9_samples_can_count_alike_however_few_pixels_they_have():
    views, predictions = random_batch(b=2, metric=torch.tensor([True, True]))
    few = views[0].valid.clone()
    few[0, 1:] = False
    views = change(views, valid=few)
    alone = [
        run(PLAIN, [view.map(lambda x, b=b: x[b : b + 1]) for view in views], one).details["points_cam/1"]
        for b, one in enumerate([part(predictions, 0), part(predictions, 1)])
    ]
    pooled = run(PLAIN, views, predictions).details["points_cam/1"]
    alike = run(replace(PLAIN, mean_per_sample=True), views, predictions).details["points_cam/1"]
    torch.testing.assert_close(alike, (alone[0] + alone[1]) / 2)
    torch.testing.assert_close(pooled, (8 * alone[0] + 48 * alone[1]) / 56)


def part(predictions, b):
    """One sample of each prediction."""
    return [
        replace(p, **{name: value[b : b + 1] for name, value in vars(p).items() if value is not None})
        for p in predictions
    ]


def test_l11_details_stay_tensors_without_a_graph():
    views, predictions = random_batch()
    for loss in (ReconstructionLoss(PLAIN), ValidationLoss()):
        result = loss(views, predictions)
        assert all(value.ndim == 0 and not value.requires_grad for value in result.details.values())
        assert result.total.shape == () and result.total.dtype == torch.float32


def test_l12_with_no_pose_to_learn_the_zero_is_on_the_device_and_in_the_graph():
    views, predictions = random_batch()
    config = LossConfig(cam_weight=0.0, world_weight=0.0, rgb_weight=0.0, separate_pose_scale=True)
    still = [  # nobody moves: no unit
        replace(p, pose_encoding=(p.pose_encoding * torch.tensor([0, 0, 0, 1, 1, 1, 1.0])).detach().requires_grad_())
        for p in predictions
    ]
    result = run(config, views, still)
    assert result.total == 0 and result.total.requires_grad
    assert gradients(result, still)["pose_encoding"].eq(0).all()


@pytest.mark.parametrize("kind", ["single_view", "depth_only"])
def test_l13_the_sky_takes_no_part_in_the_alignment_of_views(kind):
    views, predictions = random_batch(**{kind: torch.tensor([True, True])})
    sky = torch.zeros_like(views[0].valid)
    sky[:, :2] = True
    views = change(views, valid=~sky, sky=sky)
    elsewhere = [replace(view, points=view.points + 9 * sky.unsqueeze(-1)) for view in views]
    config = replace(BY_KIND, pose_weight=0.0)
    assert run(config, views, predictions).total == run(config, elsewhere, predictions).total
    moved, unmoved = (run(parity(config), batch, predictions).total for batch in (elsewhere, views))
    assert abs(moved - unmoved) > 1e-3


@pytest.mark.parametrize("fact", ["metric", "camera_only", "depth_only", "single_view"])
def test_l14_facts_of_a_sample_must_agree_over_its_views(fact):
    views, predictions = random_batch()
    mixed = [*views[:2], replace(views[2], **{fact: torch.tensor([False, True])})]
    with pytest.raises(ValueError, match=f"{fact} differs between the views"):
        run(PLAIN, mixed, predictions)
    assert torch.equal(run(parity(PLAIN), mixed, predictions).total, run(PLAIN, views, predictions).total)
