"""The losses' building blocks against the original's, recorded in golden/loss/functions.npz."""

import pytest
import torch

from cut3r.geometry.poses import (
    decode_pose,
    encode_pose,
    encoding_from_pose,
    matrix_from_quaternion,
    multiply,
    pose_from_encoding,
    quaternion_from_matrix,
    relative_encoding,
    rotate_by_quaternion,
    standardize,
    transform,
)
from cut3r.model.heads import face_front, to_confidence, to_points, to_rgb
from cut3r.training.loss_config import LossConfig, Normalization
from cut3r.training.normalization import Units, median_center_and_distance, median_distance, point_distances
from cut3r.training.point_losses import align_views, distance, mean_per_view
from cut3r.training.supervision import PointPair
from tests.training.loss_cases import arrays


@pytest.fixture
def record():
    return arrays("functions")


def close(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def test_quaternion_of_a_matrix(record):
    found, expected = quaternion_from_matrix(record["rot/matrix"]), record["rot/quaternion"]
    half_turn = expected[:, :1].abs() < 1e-3  # both signs are right
    same_side = torch.where(half_turn, (found * expected).sum(dim=-1, keepdim=True).sign(), 1.0)
    close(found * same_side, expected, 2e-6)


def test_quaternions_of_any_length(record):
    close(standardize(record["quat/input"]), record["quat/standardized"], 2e-6)
    close(matrix_from_quaternion(record["quat/input"]), record["quat/matrix_from_raw"], 2e-6)


def test_pose_encodings(record):
    close(encoding_from_pose(record["pose/camera_to_world"]), record["pose/encoding"])
    close(pose_from_encoding(record["pose/encoding"]), record["pose/camera_from_encoding"])


def test_relative_poses(record):
    t1, q1, t2, q2 = (record[f"relative/{name}"] for name in ("t1", "q1", "t2", "q2"))
    found = relative_encoding(torch.cat((t1, q1), dim=-1), torch.cat((t2, q2), dim=-1))
    close(found, torch.cat((record["relative/t_rel"], record["relative/q_rel"]), dim=-1))
    close(multiply(q1, q2), record["relative/q1_times_q2"])
    close(rotate_by_quaternion(q1, t1), record["relative/rotate_t1_by_q1"])


def test_pose_activation(record):
    close(decode_pose(record["head/pose_raw"]), record["head/pose_exp"])
    close(encode_pose(record["head/pose_exp"], parity=True), record["head/pose_exp_inverse"])


def test_other_activations(record):
    close(to_points(record["head/xyz_raw"]), record["head/xyz_exp"])
    close(to_points(face_front(record["head/xyz_raw"])), record["head/xyz_exp_pos_z"])
    close(to_confidence(record["head/conf_raw"]), record["head/conf_exp"], 1e-6)
    close(to_rgb(record["head/rgb_raw_bchw"].movedim(1, -1)), record["head/rgb_bhwc"], 1e-6)


def test_moving_a_point_map(record):
    close(transform(record["geotrf/matrix"], record["geotrf/pts"]), record["geotrf/out"])


def scene(record):
    """Points, masks and weights of three views; sample 2 has no valid point."""
    return (torch.stack([record[f"norm/{name}{view}"] for view in range(3)]) for name in ("pts", "valid", "weight"))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("mode", "normalization"),
    [
        ("avg_dis", Normalization.average_distance),
        ("avg_log1p", Normalization.average_log1p),
        ("sqrt_dis", Normalization.root_distance),
    ],
)
def test_mean_units(record, mode, normalization, weighted):
    points, valid, weight = scene(record)
    config = LossConfig(normalization=normalization, weighted_scale=weighted)
    distances = point_distances([PointPair(points, points, weight.exp())], valid, config)
    found = Units.mean(distances, normalization).target
    expected = record[f"norm/{mode}/factor_weighted" if weighted else f"norm/{mode}/factor"].flatten()
    if not weighted and mode != "sqrt_dis":
        # without weights, which none of its losses does, the original divides by all pixels, also the invalid ones
        expected = (expected / valid.float().mean(dim=(0, 2, 3))).nan_to_num(posinf=1e-8)
    # where nothing is valid the original has nan for the root
    torch.testing.assert_close(found, expected.nan_to_num(nan=1e-8), rtol=1e-6, atol=0)


def test_median_unit(record):
    points, valid, _ = scene(record)
    expected = record["norm/median_dis/factor"].flatten().nan_to_num(nan=0.0)
    torch.testing.assert_close(median_distance([points], valid), expected, rtol=1e-6, atol=0)


def test_median_center_and_distance(record):
    points, valid, _ = scene(record)
    center, extent = median_center_and_distance(points, valid)
    close(center[:2], record["norm/median_center"], 1e-6)
    close(extent[:2], record["norm/median_scale"], 1e-6)
    assert center[2].isnan().all() and extent[2].isnan()


def test_distances_and_their_mean(record):
    a, b, mask = (record[f"pix/{name}"][None] for name in ("a", "b", "mask"))
    errors = distance(a, b, mask)
    close(errors[mask], record["pix/l21_none"][None][mask], 1e-6)
    close(mean_per_view(errors, torch.ones_like(mask), per_sample=False)[0], errors.mean(), 1e-6)
    everything = distance(a, b, torch.ones_like(mask))
    close(everything[0], record["pix/l21_none"], 1e-6)
    close(everything.mean(), record["pix/l21_mean"], 1e-6)
    torch.testing.assert_close(everything.sum(), record["pix/l21_sum"], rtol=1e-6, atol=0)


@pytest.mark.parametrize(("name", "kind"), [("scale_inv", "scale_free"), ("depth_scale_shift_inv", "depth_only")])
def test_aligned_errors_and_their_gradients(record, name, kind):
    a, b, mask = (record[f"pix/{side}"][None] for side in ("a", "b", "mask"))
    a = a.clone().requires_grad_()
    no = torch.zeros(len(a[0]), dtype=torch.bool)
    kinds = {"scale_free": no, "depth_only": no, kind: ~no}
    errors = distance(align_views(a, mask, **kinds), align_views(b, mask, **kinds), mask)
    expected = record[f"pix/{name}"]
    close(errors[mask] / expected.max(), expected / expected.max())
    errors.sum().backward()
    slope = record[f"pix/{name}_grad_of_sum"]
    found = a.grad[0] if kind == "scale_free" else a.grad[0, ..., 2]
    close(found / slope.abs().max(), slope / slope.abs().max())
