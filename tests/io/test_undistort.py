"""Undistortion: the camera that is left, and what its pixels show."""

import cv2
import numpy as np
import pytest

from cut3r.io.known_cameras import Lens
from cut3r.io.undistort import undistortion

SIZE = (60, 80)


def lens(*distortion: float) -> Lens:
    return Lens.of(70.0, 72.0, 41.0, 28.0, SIZE, distortion)


@pytest.mark.parametrize(
    "distortion", [(-0.1, 0.02), (0.1, 0.05, 0.003, -0.002, 0.01), (-0.2, 0.05, 0.001, 0.0, 0.0, 0.01)]
)
def test_pixels_are_those_of_opencv(distortion):
    straight, padded = undistortion(lens(*distortion), SIZE), np.zeros(8)
    padded[: len(distortion)] = distortion
    columns, rows = cv2.initUndistortRectifyMap(
        lens().intrinsics, padded, np.eye(3), straight.intrinsics, SIZE[::-1], cv2.CV_32FC1
    )
    np.testing.assert_allclose(straight.columns, columns, atol=1e-3)
    np.testing.assert_allclose(straight.rows, rows, atol=1e-3)


def test_pixels_of_a_fisheye_are_those_of_opencv():
    bent = (0.03, -0.01, 0.002, 0.0)
    straight = undistortion(Lens.of(30.0, 31.0, 41.0, 28.0, SIZE).bent(*bent), SIZE)
    matrix = Lens.of(30.0, 31.0, 41.0, 28.0).intrinsics
    columns, rows = cv2.fisheye.initUndistortRectifyMap(
        matrix, np.array(bent), np.eye(3), straight.intrinsics, SIZE[::-1], cv2.CV_32FC1
    )
    np.testing.assert_array_equal(straight.intrinsics, matrix)
    np.testing.assert_allclose(straight.columns, columns, atol=1e-3)
    np.testing.assert_allclose(straight.rows, rows, atol=1e-3)


def test_a_barrel_lens_keeps_its_focal_length():
    np.testing.assert_array_equal(undistortion(lens(-0.1), SIZE).intrinsics, lens().intrinsics)


def test_a_pincushion_lens_loses_what_would_lie_outside_and_no_more():
    straight = undistortion(lens(0.1), SIZE)
    for where, side in ((straight.columns, SIZE[1]), (straight.rows, SIZE[0])):
        assert where.min() >= -0.501 and where.max() <= side - 0.499
    reach = min(straight.columns.min(), straight.rows.min(), SIZE[1] - 1 - straight.columns.max())
    assert reach == pytest.approx(-0.5, abs=0.01)
    assert (
        straight.intrinsics[0, 0] / 70 == pytest.approx(straight.intrinsics[1, 1] / 72)
        and straight.intrinsics[0, 0] > 70
    )


def test_a_lens_that_turns_back_is_cut_where_it_does():
    strong = lens(-0.9)
    straight = undistortion(strong, SIZE)
    corner = (np.array([0.0, 0.0]) - straight.intrinsics[:2, 2]) / straight.intrinsics.diagonal()[:2]
    assert straight.intrinsics[0, 0] > 70
    assert np.linalg.norm(corner) < np.sqrt(1 / (3 * 0.9))  # there 1 - 3 * 0.9 r^2 is 0


def test_depth_is_never_blended_and_unknown_outside():
    depth = np.where(np.arange(80) < 40, 1, 9).astype(np.float32) * np.ones((60, 1), np.float32)
    found = undistortion(lens(0.1), SIZE).depth(depth)
    assert set(np.unique(found)) == {1, 9}


def test_another_resolution_of_the_same_lens_sees_the_same():
    small, large = undistortion(lens(0.1), SIZE), undistortion(lens(0.1), (120, 160))
    assert large.intrinsics[0, 0] == pytest.approx(2 * small.intrinsics[0, 0], rel=0.01)


def test_impossible_coefficients_are_refused():
    with pytest.raises(ValueError, match="leaves no pinhole camera in a picture of 80x60"):
        undistortion(lens(30.0), SIZE)
