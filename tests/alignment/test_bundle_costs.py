"""Derivatives against differences."""

import numpy as np
import pytest

pytest.importorskip("pyceres", reason="SKIPPED LOUDLY: no pyceres (pip install cut3r[ba]), cost functions are untested")

from cut3r.alignment.bundle_costs import DepthPrior, PosePrior, VirtualTracks, by_quaternion, quaternion_of, rotation_of

STEP = 1e-6


def camera(rng: np.random.Generator) -> np.ndarray:
    quaternion = rng.normal(size=4) + np.array((0, 0, 0, 3))
    return np.concatenate((quaternion / np.linalg.norm(quaternion), 0.2 * rng.normal(size=3)))


def check(cost, blocks: list[np.ndarray], residuals: int) -> None:
    values = np.zeros(residuals)
    jacobians = [np.zeros(residuals * len(block)) for block in blocks]
    assert cost.Evaluate(blocks, values, jacobians)
    for number, block in enumerate(blocks):
        for column in range(len(block)):
            sides = []
            for step in (STEP, -STEP):
                moved = [each.copy() for each in blocks]
                moved[number][column] += step
                side = np.zeros(residuals)
                cost.Evaluate(moved, side, None)
                sides.append(side)
            numeric = (sides[0] - sides[1]) / (2 * STEP)
            exact = jacobians[number].reshape(residuals, -1)[:, column]
            np.testing.assert_allclose(exact, numeric, rtol=1e-5, atol=1e-5)


def test_derivatives_of_virtual_tracks():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (5, 3)) + np.array((0, 0, 6))
    check(VirtualTracks(points, 0.1 * rng.normal(size=(5, 2)), 0.02), [camera(rng), camera(rng)], 10)


def test_derivatives_of_the_depth_prior():
    rng = np.random.default_rng(1)
    check(DepthPrior(3.0, 0.1), [rng.normal(size=3) + np.array((0, 0, 4)), camera(rng)], 1)


def pose_of(block: np.ndarray) -> np.ndarray:
    """world_from_cam."""
    cam_from_world = np.eye(4)
    cam_from_world[:3, :3], cam_from_world[:3, 3] = rotation_of(block[:4]), block[4:]
    return np.linalg.inv(cam_from_world)


def test_derivatives_of_the_pose_prior():
    rng = np.random.default_rng(4)
    here, known = camera(rng), camera(rng)
    for sign in (1, -1):  # both quaternions of one rotation
        check(PosePrior(pose_of(known), (0.05, 0.03)), [here * (*[sign] * 4, 1, 1, 1)], 6)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_pose_prior_counts_metres_and_radians_in_sigma(sign):
    rng = np.random.default_rng(5)
    known = pose_of(camera(rng))
    there, values = np.eye(4), np.zeros(6)
    angle = 0.01
    turn = np.array(((np.cos(angle), -np.sin(angle), 0), (np.sin(angle), np.cos(angle), 0), (0, 0, 1)))
    there[:3, :3], there[:3, 3] = known[:3, :3] @ turn, known[:3, 3] + (0.03, 0, -0.04)
    inverse = np.linalg.inv(there)
    block = np.concatenate((sign * quaternion_of(inverse[:3, :3]), inverse[:3, 3]))
    PosePrior(known, (0.05, 0.02)).Evaluate([block], values, None)
    assert np.linalg.norm(values[:3]) == pytest.approx(0.5, rel=1e-4)
    np.testing.assert_allclose(values[3:], (0.6, 0, -0.8), atol=1e-9)


def test_virtual_tracks_are_content_with_the_cameras_they_were_made_of():
    rng = np.random.default_rng(2)
    first, second = camera(rng), camera(rng)
    points = rng.uniform(-1, 1, (5, 3)) + np.array((0, 0, 6))
    world = (points - first[4:]) @ rotation_of(first[:4])
    local = world @ rotation_of(second[:4]).T + second[4:]
    values = np.ones(10)
    VirtualTracks(points, local[:, :2] / local[:, 2:], 0.02).Evaluate([first, second], values, None)
    np.testing.assert_allclose(values, 0, atol=1e-9)


def test_a_quaternion_turns_as_its_derivative_says():
    rng = np.random.default_rng(3)
    quaternion, points = camera(rng)[:4], rng.normal(size=(4, 3))
    # rotation_of is quadratic in the quaternion, so half its derivative times the quaternion gives the turned points
    np.testing.assert_allclose(by_quaternion(quaternion, points) @ quaternion / 2, points @ rotation_of(quaternion).T)
