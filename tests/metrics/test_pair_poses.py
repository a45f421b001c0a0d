"""Angles of pairs of views against planted errors, and the areas against integrals by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cut3r.geometry.poses import pose_from_encoding, pose_from_parts
from cut3r.metrics import pair_poses
from cut3r.metrics.pair_poses import area, area_by_degrees, auc, pair_errors, share_below
from tests.metrics.walks import paths, similar, still


def ratio(parts: tuple[float, float]) -> float:
    return parts[0] / parts[1]


def turned(degrees: float, axis: str = "z") -> torch.Tensor:
    """A rotation about an axis."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = {"z": [[c, -s, 0], [s, c, 0], [0, 0, 1]], "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]]}
    return torch.tensor(rows[axis], dtype=torch.float64)


def line(*headings_deg: float) -> torch.Tensor:
    """Cameras that look ahead, each a metre from the last one, in directions of the x-z plane."""
    steps = [[math.sin(math.radians(a)), 0.0, math.cos(math.radians(a))] for a in headings_deg]
    places = torch.cat((torch.zeros(1, 3), torch.tensor(steps).cumsum(dim=0))).double()
    return pose_from_parts(torch.eye(3).double().expand(len(places), 3, 3), places)


def test_planted_angles_are_found():
    true, said = line(0.0), line(7.0)
    said[1, :3, :3] = turned(12.0)
    errors = pair_errors(said, true)
    assert float(errors.turn_deg) == pytest.approx(12)
    assert float(errors.course_deg) == pytest.approx(7)
    assert float(errors.worst_deg()) == pytest.approx(12)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31), scale=st.floats(0.01, 100))
def test_neither_world_nor_scale_of_a_path_matters(seed, scale):
    true = paths(seed, count=1)[0].double()
    said = paths(seed + 1, count=1)[0].double()
    moved = similar(paths(seed + 2, count=1)[0, 1].double() @ said, scale)
    for name in ("turn_deg", "course_deg"):
        once, again = (getattr(pair_errors(each, true), name) for each in (said, moved))
        torch.testing.assert_close(once, again, atol=1e-5, rtol=0)


def test_the_opposite_direction_is_wrong_but_was_published_as_right():
    errors = pair_errors(line(180.0), line(0.0))
    assert float(errors.course_deg) == pytest.approx(180)
    assert float(errors.courses(either_way=True)) == pytest.approx(0, abs=1e-6)
    assert float(errors.worst_deg(either_way=True)) == pytest.approx(0, abs=1e-6)


def test_a_pair_that_is_predicted_not_to_move_or_is_no_number_has_failed():
    said = line(0.0, 0.0)
    said[1] = said[0]
    said[2, 0, 3] = torch.nan
    errors = pair_errors(said, line(0.0, 0.0))
    assert float(errors.course_deg[0]) == 180
    assert share_below(errors.courses(), 179.0) == 0
    assert area(errors.worst_deg(), 30.0).tolist() == [0, 0, 0]
    assert area_by_degrees(errors.worst_deg(), 30).tolist() == [0, 0, 0]


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31), threshold=st.sampled_from([5, 15, 30]))
def test_the_area_is_the_integral_of_the_share(seed, threshold):
    angles = np.random.default_rng(seed).exponential(10, 40)
    grid = np.linspace(0, threshold, 200_001)
    share = np.searchsorted(np.sort(angles), grid, side="left") / len(angles)  # of angles below
    by_hand = float(np.trapezoid(share, grid)) / threshold
    assert float(area(torch.from_numpy(angles), float(threshold)).mean()) == pytest.approx(by_hand, abs=1e-4)
    below = np.mean([(angles < degree).mean() for degree in range(1, threshold + 1)])
    assert float(area_by_degrees(torch.from_numpy(angles), threshold).mean()) == pytest.approx(below, abs=1e-12)


def test_half_a_degree_is_a_tenth_of_five_but_was_published_as_nothing():
    half = torch.tensor([0.5])
    assert (float(area(half, 5.0)), float(area_by_degrees(half, 5))) == (pytest.approx(0.9), 1.0)


def test_pairs_of_a_long_path_are_the_same_in_portions(monkeypatch):
    true, said = paths(3, count=1)[0], paths(4, count=1)[0]
    whole = pair_errors(said, true)
    monkeypatch.setattr(pair_poses, "AT_ONCE", 3)
    torch.testing.assert_close(pair_errors(said, true).turn_deg, whole.turn_deg)
    torch.testing.assert_close(pair_errors(said, true).course_deg, whole.course_deg)
    assert len(whole.turn_deg) == 10


def test_the_area_under_the_curve_is_one_for_the_truth_at_any_scale_and_zero_without_motion():
    true = paths(0)
    assert ratio(auc(similar(true, 3.0), true)) == pytest.approx(1, abs=1e-4)
    assert ratio(auc(still(true), true)) == 0


def test_an_error_of_a_third_of_the_threshold_leaves_two_thirds_of_the_area():
    said = line(0.0)
    said[1, :3, :3] = turned(10.0, "y")
    assert ratio(auc(said, line(0.0))) == pytest.approx(2 / 3, abs=1e-5)


def test_pairs_that_do_not_move_are_no_part_of_the_area():
    path = pose_from_encoding(torch.tensor([[0.0, 0, k, 1, 0, 0, 0] for k in (0, 0, 1)]))
    assert auc(path, path)[1] == 2


def test_a_single_view_makes_no_pair():
    assert auc(torch.eye(4)[None], torch.eye(4)[None]) == (0, 0)
