"""Laws of rigid transforms and quaternions, and the original's numbers for them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.geometry.poses import (
    conjugate,
    decode_pose,
    encode_pose,
    encoding_from_pose,
    invert,
    is_rigid,
    is_rotation,
    matrix_from_quaternion,
    multiply,
    nearest_rotation,
    pose_from_encoding,
    quaternion_from_matrix,
    relative_encoding,
    rotate,
    rotate_by_quaternion,
    rotation_angle,
    standardize,
    transform,
)

seeds = st.integers(0, 2**31)
batches = st.sampled_from([(), (2,), (2, 3)])


def random_encoding(seed, batch=()):
    """Random pose encodings, the quaternion of any length and sign."""
    return torch.randn(*batch, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def axis_angle_matrix(axis, angle):
    """A rotation by the matrix exponential, a way that shares nothing with quaternions."""
    x, y, z = (torch.tensor(axis, dtype=torch.float64) / math.hypot(*axis) * angle).tolist()
    return torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64))


@pytest.fixture
def recorded(golden):
    with np.load(golden / "inference" / "geometry.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays if name[:4] in ("pose", "quat", "geot", "unpr")}


def close(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


@given(seed=seeds, batch=batches)
def test_inverting_a_pose_undoes_it(seed, batch):
    a_from_b = pose_from_encoding(random_encoding(seed, batch))
    points_b = torch.randn(*batch, 4, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(transform(invert(a_from_b), transform(a_from_b, points_b)), points_b)
    torch.testing.assert_close(invert(a_from_b), torch.linalg.inv(a_from_b))


@given(seed=seeds, batch=batches)
def test_transform_is_the_homogeneous_matrix_product(seed, batch):
    a_from_b = pose_from_encoding(random_encoding(seed, batch))
    points_b = torch.randn(*batch, 5, 3, dtype=torch.float64)
    homogeneous = torch.cat((points_b, torch.ones_like(points_b[..., :1])), dim=-1)
    torch.testing.assert_close(transform(a_from_b, points_b), (homogeneous @ a_from_b.mT)[..., :3])


@given(seed=seeds)
def test_transforms_chain(seed):
    a_from_b, b_from_c = pose_from_encoding(random_encoding(seed, (2,)))
    points_c = torch.randn(7, 3, dtype=torch.float64)
    torch.testing.assert_close(
        transform(a_from_b @ b_from_c, points_c), transform(a_from_b, transform(b_from_c, points_c))
    )


@pytest.mark.parametrize("shape", [(3,), (0, 3), (7, 3), (4, 5, 3)])
def test_one_pose_moves_points_of_any_shape(shape):
    a_from_b = pose_from_encoding(torch.tensor([1.0, 2, 3, 1, 0, 0, 0]))
    points = torch.zeros(shape)
    torch.testing.assert_close(transform(a_from_b, points), torch.tensor([1.0, 2, 3]).expand(shape))


def test_points_without_the_batch_axes_are_refused():
    with pytest.raises(ValueError, match="expand them first"):
        transform(torch.eye(4).expand(2, 4, 4), torch.zeros(3))


def test_transform_keeps_full_precision_under_autocast():
    a_from_b, points_b = pose_from_encoding(random_encoding(1)).float(), torch.randn(9, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        moved = transform(a_from_b, points_b)
    assert torch.equal(moved, transform(a_from_b, points_b))


@given(
    axis=st.tuples(*[st.sampled_from([-1.0, 0.0, 0.3, 1.0])] * 3).filter(any),
    angle=st.sampled_from([0.0, 1e-9, 1e-4, 1.0, math.pi / 2, 3.0, math.pi - 1e-6, math.pi]),
)
def test_quaternion_round_trip_at_every_angle(axis, angle):
    rotation = axis_angle_matrix(axis, angle)
    quaternion = quaternion_from_matrix(rotation)
    assert quaternion[0] >= 0
    torch.testing.assert_close(quaternion.norm(), torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(matrix_from_quaternion(quaternion), rotation, atol=1e-12, rtol=0)


@given(seed=seeds, batch=batches)
def test_a_quaternion_and_its_matrix_turn_vectors_alike(seed, batch):
    quaternion = standardize(random_encoding(seed, batch)[..., 3:])
    vectors = torch.randn(*batch, 3, dtype=torch.float64)
    turned = (matrix_from_quaternion(quaternion) @ vectors.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(rotate_by_quaternion(quaternion, vectors), turned)


@given(seed=seeds)
def test_multiplying_quaternions_multiplies_matrices(seed):
    a, b = random_encoding(seed, (2,))[..., 3:]
    product = matrix_from_quaternion(a) @ matrix_from_quaternion(b)
    torch.testing.assert_close(matrix_from_quaternion(multiply(a, b)), product)


@given(seed=seeds)
def test_the_relative_encoding_is_the_relative_pose(seed):
    a, b = random_encoding(seed, (2,))
    a, b = (torch.cat((e[:3], standardize(e[3:]))) for e in (a, b))
    a_from_b = invert(pose_from_encoding(a)) @ pose_from_encoding(b)
    torch.testing.assert_close(pose_from_encoding(relative_encoding(a, b)), a_from_b)


def test_the_zero_quaternion_is_no_rotation():
    torch.testing.assert_close(matrix_from_quaternion(torch.zeros(4)), torch.eye(3))


@given(seed=seeds, length=st.sampled_from([0.0, 1e-12, 1e-3, 1.0, 8.0]))
def test_encoding_a_pose_undoes_decoding(seed, length):
    raw = random_encoding(seed)
    raw = torch.cat((length * torch.nn.functional.normalize(raw[:3], dim=0), standardize(raw[3:])))
    torch.testing.assert_close(encode_pose(decode_pose(raw)), raw)


def test_decoding_a_pose_has_finite_gradients_at_zero():
    raw = torch.zeros(2, 7, requires_grad=True)
    pose_from_encoding(decode_pose(raw)).sum().backward()
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1.0, -2.0, 0.5)])
def test_matrix_to_quaternion_has_finite_gradients_at_half_turns(axis):
    rotation = axis_angle_matrix(axis, math.pi).requires_grad_()
    quaternion_from_matrix(rotation).sum().backward()
    assert rotation.grad.isfinite().all()


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-3, 1.0, math.pi - 1e-3, math.pi - 1e-7, math.pi])
def test_the_rotation_angle_is_accurate_from_none_to_a_half_turn(angle):
    start = axis_angle_matrix((3.0, 1.0, -1.0), 2.0)
    end = start @ axis_angle_matrix((1.0, 2.0, 3.0), angle)
    assert rotation_angle(start, end).item() == pytest.approx(angle, abs=1e-12)


def test_recorded_transforms(recorded):
    a_from_b, points = recorded["geotrf/T"], recorded["geotrf/pts"]
    close(transform(a_from_b, points), recorded["geotrf/out44"])
    close(rotate(a_from_b, points), recorded["geotrf/out33"])
    close(invert(a_from_b), recorded["geotrf/inv44"])
    close(transform(recorded["unproj/c2w"], recorded["unproj/pts_cam"]), recorded["unproj/pts_world"])


def test_recorded_encodings(recorded):
    encoding, expected = encoding_from_pose(recorded["pose/c2w"]), recorded["pose/enc"]
    half_turn = expected[:, 3].abs() < 1e-6
    assert half_turn.tolist() == [False, *[True] * 4, *[False] * 19]
    sign = torch.where(half_turn & ((encoding[:, 3:] * expected[:, 3:]).sum(dim=-1) < 0), -1.0, 1.0)
    close(encoding[:, :3], expected[:, :3])
    close(encoding[:, 3:] * sign[:, None], expected[:, 3:])
    close(pose_from_encoding(expected), recorded["pose/enc_to_c2w"])


def test_recorded_quaternions(recorded):
    raw, unit, other = recorded["quat/q_raw"], recorded["quat/q_std"], recorded["quat/q2"]
    close(standardize(raw), unit, 1e-6)
    close(matrix_from_quaternion(raw), recorded["quat/mat_of_raw"])
    close(multiply(unit, other), recorded["quat/mul_std_q2"])
    close(conjugate(unit), recorded["quat/conj_std"])
    close(rotate_by_quaternion(unit, recorded["quat/v"]), recorded["quat/rot_std_v"])


def test_recorded_relative_poses(recorded):
    a = torch.cat((recorded["quat/v"], recorded["quat/q_std"]), dim=-1)
    b = torch.cat((recorded["quat/v2"], recorded["quat/q2"]), dim=-1)
    close(relative_encoding(a, b), torch.cat((recorded["quat/rel_t"], recorded["quat/rel_q"]), dim=-1))


def test_recorded_pose_head(recorded):
    close(decode_pose(recorded["posehead/raw"]), recorded["posehead/pose"])


def test_recorded_wrong_inverse_is_behind_the_parity_option(recorded):
    pose = recorded["posehead/pose"]
    close(encode_pose(pose, parity=True), recorded["posehead/inverse"])
    close(encode_pose(pose)[:, :3], recorded["posehead/raw"][:, :3])


@given(seed=seeds, batch=batches)
def test_rigid_motions_are_recognised(seed, batch):
    pose = pose_from_encoding(random_encoding(seed, batch))
    assert is_rigid(pose).shape == batch
    assert is_rigid(pose).all()
    assert is_rigid(pose.float()).all()


def spoiled(row, column, value):
    pose = torch.eye(4, dtype=torch.float64)
    pose[row, column] = value
    return pose


@pytest.mark.parametrize(
    "pose",
    [
        torch.zeros(4, 4),
        -torch.eye(4),
        spoiled(0, 0, -1.0),  # a mirror
        spoiled(0, 0, 1.01),  # stretched
        spoiled(0, 1, 0.01),  # sheared
        spoiled(0, 0, math.nan),
        spoiled(1, 3, math.inf),  # a place that is none
        spoiled(3, 0, 0.5),  # a perspective
        spoiled(3, 3, 0.0),
        torch.full((4, 4), math.nan),
    ],
)
def test_what_is_no_rotation_and_translation_is_not_rigid(pose):
    assert not is_rigid(pose)


def test_the_zero_quaternion_and_numbers_that_are_not_finite_are_no_rotation():
    quaternions = torch.tensor(
        [[0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0], [math.nan, 0, 0, 1], [math.inf, 0, 0, 0], [0, 0, 2, 0]]
    )
    assert is_rotation(quaternions).tolist() == [True, False, False, False, True]


@given(seed=seeds)
def test_the_nearest_rotation_is_one_and_undoes_small_errors(seed):
    rotation = matrix_from_quaternion(standardize(random_encoding(seed, (5,))[:, 3:]))
    noise = torch.randn(5, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    noisy = rotation + 1e-3 * noise
    found = nearest_rotation(noisy)
    torch.testing.assert_close(found @ found.mT, torch.eye(3, dtype=torch.float64).expand(5, 3, 3))
    assert (torch.linalg.det(found) > 0).all() and (found - rotation).abs().max() < 5e-3
    assert torch.linalg.det(nearest_rotation(-rotation)).min() > 0.99, "a reflection has a nearest rotation, too"
