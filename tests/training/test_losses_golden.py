"""Losses, details and gradients against the original's, recorded in golden/loss (its README gives the tolerances)."""

import json
import math
from dataclasses import replace

import pytest
import torch

from cut3r.training.loss_config import LossConfig, Normalization, PointLoss
from cut3r.training.losses import (
    ORIGINAL_CLASSES,
    ORIGINAL_NAMES,
    ColorError,
    ReconstructionLoss,
    ValidationLoss,
    color_error,
)
from cut3r.training.normalization import Units, point_distances, translation_distances
from cut3r.training.point_losses import counted_pixels
from cut3r.training.supervision import supervise
from tests.training.loss_cases import FOLDER, PREDICTED, arrays, gradients, recorded

PLAIN = LossConfig(parity=True)
CRITERIA = {
    "train_regr3dpose": ReconstructionLoss(PLAIN),
    "train_batchlist": ReconstructionLoss(replace(PLAIN, inner=PointLoss.by_kind)),
    "test": ValidationLoss(replace(PLAIN, ground_truth_scale=True, sky_value=0.0)),
}
SCALARS = json.loads((FOLDER / "scalars.json").read_text())
VARIANTS = SCALARS.pop("variants_on_mixed")
RUNS = [(case, criterion) for case, record in SCALARS.items() for criterion in record["criteria"]]


def original_details(details, inner):
    """Details under the original's names, without those that are ours alone."""
    named = {}
    for name, value in details.items():
        base, _, number = name.partition("/")
        if base in ORIGINAL_NAMES:
            original = ORIGINAL_NAMES[base].format(inner=ORIGINAL_CLASSES[inner])
            named[f"{original}/{number}" if number else original] = value.item()
    return named


def close(actual, expected):
    if expected is None:
        assert math.isnan(actual)
    else:
        assert abs(actual - expected) <= 1e-5 * max(1, abs(expected)), (actual, expected)


def run(case, criterion, config=None):
    views, predictions = recorded(case)
    loss = CRITERIA[criterion] if config is None else type(CRITERIA[criterion])(config)
    return loss(views, predictions, first_camera=arrays(f"{case}__inputs").get("camera1")), predictions


def grad_close(found, expected):
    for name, theirs in PREDICTED.items():
        recorded_grad = torch.stack([expected[f"grad/pred{i}/{theirs}"] for i in range(len(found[name]))])
        worst = (found[name] - recorded_grad).abs().max().item()
        assert worst <= 2e-4 * recorded_grad.abs().max().item() + 1e-8, name


@pytest.mark.parametrize(("case", "criterion"), RUNS)
def test_loss_details_and_gradients_are_the_originals(case, criterion):
    result, predictions = run(case, criterion)
    record = SCALARS[case]["criteria"][criterion]
    close(result.total.item(), record["loss"])
    details = original_details(result.details, CRITERIA[criterion].config.inner)
    assert details.keys() == record["details"].keys()
    for name, value in record["details"].items():
        close(details[name], value)
    grad_close(gradients(result, predictions), arrays(f"{case}__{criterion}"))


@pytest.mark.parametrize("case", ["mixed", "none_metric", "empty_view", "empty_sample", "all_metric", "chunk", "exact"])
def test_defaults_give_the_originals_loss_where_no_quirk_shows(case):
    result, predictions = run(case, "train_regr3dpose", LossConfig())
    close(result.total.item(), SCALARS[case]["criteria"]["train_regr3dpose"]["loss"])
    grad_close(gradients(result, predictions), arrays(f"{case}__train_regr3dpose"))


@pytest.mark.parametrize(("case", "criterion"), RUNS)
def test_counted_pixels_are_the_originals(case, criterion):
    config = CRITERIA[criterion].config
    counted = counted_pixels(supervise(*recorded(case), config), config)
    for number, mask in enumerate(counted, start=1):
        assert torch.equal(mask, arrays(f"{case}__{criterion}")[f"detail/valid_mask_{number}"])


@pytest.mark.parametrize(("case", "criterion"), [run for run in RUNS if run[1] != "test"])
def test_units_are_the_originals(case, criterion):
    supervision = supervise(*recorded(case), PLAIN, arrays(f"{case}__inputs").get("camera1"))
    expected = arrays(f"{case}__{criterion}")
    units = [Units.mean(point_distances(list(supervision.points.values()), supervision.valid, PLAIN))]
    if supervision.camera_only.any():
        units.append(Units.mean(translation_distances(supervision.poses)))
    free = ~supervision.metric
    factors = [tensor for unit in units for tensor in (unit.target, unit.predicted[free])]
    for call, factor in enumerate(factors):
        if factor.numel():
            expected_factor = expected[f"norm_factor_call{call}"]
            torch.testing.assert_close(factor, expected_factor.flatten(), rtol=1e-5, atol=1e-9)
        else:
            assert f"norm_factor_call{call}" not in expected


VARIANT_CONFIGS = {
    "norm_all": replace(PLAIN, metric_keeps_scale=False),
    "log1p": replace(PLAIN, normalization=Normalization.average_log1p),
    "median": replace(PLAIN, normalization=Normalization.median),
    "sqrt": replace(PLAIN, normalization=Normalization.root_distance),
    "no_norm": replace(PLAIN, normalization=Normalization.none),
    "gt_scale": replace(PLAIN, ground_truth_scale=True),
    "no_sky": replace(PLAIN, sky_value=0.0),
    "sky5": replace(PLAIN, sky_value=5.0),
    "alpha1": replace(PLAIN, alpha=1.0),
    "dist_clip": replace(PLAIN, far_clip=3.0),
    "norm_self_only": replace(PLAIN, scale_from_cam=True),
    "norm_pose_separately": replace(PLAIN, separate_pose_scale=True),
}


def check_gradient_norms(found, expected):
    for name, theirs in PREDICTED.items():
        assert found[name].norm().item() == pytest.approx(expected.get(theirs, 0.0), rel=1e-4, abs=1e-9), name


@pytest.mark.parametrize("variant", VARIANT_CONFIGS)
def test_options_are_the_originals(variant):
    record = VARIANTS[variant]
    views, predictions = recorded("mixed")
    result = ReconstructionLoss(replace(VARIANT_CONFIGS[variant], rgb_weight=0.0))(views, predictions)
    close(result.total.item(), record["loss"])
    details = original_details(result.details, PointLoss.plain)
    assert details.keys() == record["details"].keys()
    for name, value in record["details"].items():
        close(details[name], value)
    check_gradient_norms(gradients(result, predictions), record["grad_l2"])


def test_weights_scale_their_terms():
    views, predictions = recorded("mixed")
    half = replace(PLAIN, cam_weight=0.5, world_weight=0.5, pose_weight=0.5, rgb_weight=3.0)
    result = ReconstructionLoss(half)(views, predictions)
    result.total = result.total + color_error(views, predictions, ColorError.distance).mean()
    close(result.total.item(), VARIANTS["weighted_sum"]["loss"])
    check_gradient_norms(gradients(result, predictions), VARIANTS["weighted_sum"]["grad_l2"])


@pytest.mark.parametrize(("variant", "kind"), [("rgb_l21", ColorError.distance), ("rgb_mse", ColorError.mean_square)])
def test_color_errors_are_the_originals(variant, kind):
    views, predictions = recorded("mixed")
    total = color_error(views, predictions, kind).mean()
    close(total.item(), VARIANTS[variant]["loss"])
    total.backward()
    norm = torch.stack([prediction.rgb.grad for prediction in predictions]).norm().item()
    assert norm == pytest.approx(VARIANTS[variant]["grad_l2"]["rgb"], rel=1e-4)


def test_validation_in_free_units_is_the_sum_of_the_originals_terms():
    views, predictions = recorded("mixed")
    result = ValidationLoss(replace(PLAIN, sky_value=0.0, rgb_weight=0.0))(views, predictions)
    records = [VARIANTS[name] for name in ("no_sky_mean", "scale_inv_no_gt_scale")]
    close(result.total.item(), sum(record["loss"] for record in records))
    details = original_details(result.details, PointLoss.plain)
    for record in records:
        for name, value in record["details"].items():
            close(details[name], value)


def test_every_recorded_variant_is_tested():
    others = {"weighted_sum", "rgb_l21", "rgb_mse", "no_sky_mean", "scale_inv_no_gt_scale"}
    assert VARIANTS.keys() == VARIANT_CONFIGS.keys() | others
