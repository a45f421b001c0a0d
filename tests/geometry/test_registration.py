"""Laws of point registration, its robustness, and the original's numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.geometry.poses import invert, pose_from_encoding
from cut3r.geometry.registration import ScaleEstimator, Similarity, register, register_robust, scale_and_shift

seeds = st.integers(0, 2**31)
scales = st.floats(0.1, 10.0)
estimators = st.sampled_from(ScaleEstimator)


@pytest.fixture
def recorded(golden):
    with np.load(golden / "inference" / "geometry.npz") as arrays:
        return {name[4:]: torch.from_numpy(arrays[name]) for name in arrays if name.startswith("reg/")}


def random_similarity(seed, scale):
    encoding = torch.randn(7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    pose = pose_from_encoding(encoding)
    return Similarity(pose[:3, :3], pose[:3, 3], torch.tensor(scale, dtype=torch.float64))


def random_points(seed, count=50):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, dtype=torch.float64, generator=generator) * torch.tensor([1.0, 2.0, 0.5]) + 3


def same(actual, expected, tolerance=1e-9):
    for name in ("rotation", "translation", "scale"):
        torch.testing.assert_close(getattr(actual, name), getattr(expected, name), atol=tolerance, rtol=0)


@given(seed=seeds, scale=scales, estimator=estimators, count=st.integers(4, 50))
def test_a_similarity_is_recovered(seed, scale, estimator, count):
    expected, source = random_similarity(seed, scale), random_points(seed, count)
    same(register(source, expected.apply(source), with_scale=True, estimator=estimator), expected)


@given(seed=seeds)
def test_a_rigid_fit_keeps_the_scale_at_one(seed):
    expected, source = random_similarity(seed, 1.0), random_points(seed)
    same(register(source, expected.apply(source), with_scale=False), expected)


@given(seed=seeds)
def test_a_mirrored_cloud_still_gets_a_rotation(seed):
    source = random_points(seed)
    fit = register(source, source * torch.tensor([1.0, 1.0, -1.0]), with_scale=True)
    torch.testing.assert_close(torch.linalg.det(fit.rotation), torch.tensor(1.0, dtype=torch.float64))


@given(seed=seeds)
def test_a_flat_cloud_fixes_a_rotation(seed):
    source = random_points(seed) * torch.tensor([1.0, 1.0, 0.0])
    expected = random_similarity(seed, 2.0)
    same(register(source, expected.apply(source), with_scale=True), expected)


@given(seed=seeds, factor=scales)
def test_only_ratios_of_weights_matter_and_zero_is_absence(seed, factor):
    source, target = random_points(seed), random_points(seed + 1)
    weights = torch.rand(50, dtype=torch.float64)
    weights[30:] = 0
    with_zeros = register(source, target, factor * weights, with_scale=True)
    same(with_zeros, register(source[:30], target[:30], weights[:30], with_scale=True))


@given(seed=seeds)
def test_the_symmetric_scale_inverts_when_the_clouds_are_swapped(seed):
    source, target = random_points(seed), random_points(seed + 1)
    fits = (
        register(a, b, with_scale=True, estimator=ScaleEstimator.symmetric)
        for a, b in ((source, target), (target, source))
    )
    there, back = fits
    torch.testing.assert_close(there.scale * back.scale, torch.ones((), dtype=torch.float64))


@given(seed=seeds)
def test_no_other_scale_has_a_smaller_error_than_least_squares(seed):
    source, target = random_points(seed), random_points(seed + 1)
    fit = register(source, target, with_scale=True)
    scale = fit.scale.clone().requires_grad_()
    center = source.mean(dim=0)
    moved = scale * (source - center) @ fit.rotation.mT + fit.apply(center)
    (moved - target).square().sum().backward()
    assert abs(scale.grad.item()) < 1e-8


def test_a_batch_is_registered_element_by_element():
    source, target = torch.randn(2, 3, 20, 3), torch.randn(2, 3, 20, 3)
    whole, one = register(source, target, with_scale=True), register(source[1, 2], target[1, 2], with_scale=True)
    torch.testing.assert_close(whole.matrix()[1, 2], one.matrix())
    assert whole.apply(source).shape == source.shape


def test_the_matrix_of_a_rigid_fit_inverts_as_a_pose():
    fit = random_similarity(3, 1.0)
    torch.testing.assert_close(invert(fit.matrix()) @ fit.matrix(), torch.eye(4, dtype=torch.float64))


def test_too_few_pairs_are_refused():
    with pytest.raises(ValueError, match="at least 3"):
        register(torch.zeros(2, 3), torch.zeros(2, 3), with_scale=False)


def test_pairs_without_weight_are_refused():
    with pytest.raises(ValueError, match="nothing to fit"):
        register(torch.rand(5, 3), torch.rand(5, 3), torch.zeros(5), with_scale=False)


@given(seed=seeds, with_scale=st.booleans(), estimator=estimators, bias=st.sampled_from([0.0, 1.0]))
def test_a_fifth_of_outliers_changes_nothing(seed, with_scale, estimator, bias):
    expected, source = random_similarity(seed, 1.15 if with_scale else 1.0), random_points(seed, 1000)
    target = expected.apply(source)
    target[:200] += torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + bias
    fit, residual = register_robust(source, target, with_scale=with_scale, estimator=estimator)
    same(fit, expected, 1e-3)
    assert residual < 5e-3


@given(seed=seeds)
def test_an_identity_joint_leaves_everything_unchanged(seed):
    points = random_points(seed)
    fit, residual = register_robust(points, points, with_scale=True)
    torch.testing.assert_close(fit.matrix(), torch.eye(4, dtype=torch.float64), atol=1e-12, rtol=0)
    assert residual < 1e-12


def test_the_residual_measures_the_noise():
    source = random_points(0, 2000)
    noise = 0.02 * torch.randn(2000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    _, residual = register_robust(source, source + noise, with_scale=False)
    assert residual.item() == pytest.approx(0.02 * 3**0.5, rel=0.05)


def test_noise_wider_than_the_huber_width_is_not_cut_away():
    source = random_points(0, 2000)
    noise = torch.randn(2000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    _, residual = register_robust(source, source + noise, with_scale=False)
    assert residual.item() == pytest.approx(3**0.5, rel=0.05)


@given(seed=seeds, scale=scales, shift=st.floats(-5.0, 5.0))
def test_scale_and_shift_are_recovered_where_there_is_weight(seed, scale, shift):
    prediction = random_points(seed).mT  # [3, p]
    target, weights = scale * prediction + shift, torch.ones_like(prediction)
    target[:, :10], weights[:, :10] = 1e3, 0
    found = scale_and_shift(prediction, target, weights)
    torch.testing.assert_close(found[0], torch.full_like(found[0], scale))
    torch.testing.assert_close(found[1], torch.full_like(found[1], shift), atol=1e-6, rtol=0)


def test_a_constant_prediction_is_shifted_onto_the_mean():
    scale, shift = scale_and_shift(torch.ones(4), torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert (scale.item(), shift.item()) == (0.0, 3.0)


def test_recorded_similarity(recorded):
    fit = register(recorded["a"], recorded["b"], recorded["w"], with_scale=True)
    same(fit, Similarity(recorded["sim3_R"], recorded["sim3_t"], recorded["sim3_s"]), 1e-4)


@pytest.mark.parametrize("name", ["weighted", "plain"])
def test_recorded_rigid_fits(recorded, name):
    fit = register(recorded["a"], recorded["b"], recorded["w"] if name == "weighted" else None, with_scale=False)
    same(fit, Similarity(recorded[f"se3_{name}_R"], recorded[f"se3_{name}_t"], torch.ones(2)), 1e-4)
