"""The original's optimiser from the original's start, and ours from our own."""

import pytest
import torch

from cut3r.alignment.original import OriginalConfig, align_original, largest_confidence
from cut3r.alignment.pairs import Pairs
from cut3r.geometry.poses import invert, transform
from tests.alignment.golden_cases import Case

PARITY = OriginalConfig(metric=False)
CASES = ["D", *(pytest.param(name, marks=pytest.mark.slow) for name in "ABC")]


@pytest.mark.parametrize("name", CASES)
def test_from_the_recorded_start_it_ends_where_the_original_ends(golden, name):
    case = Case(golden, name)
    aligned = align_original(case.pairs, PARITY, start=case.start())
    assert aligned.losses[-1] == pytest.approx(case.said["final_loss"], rel=1e-3 if name != "D" else 5e-3)
    torch.testing.assert_close(torch.tensor(aligned.losses[:-1]), case["loss_curve"], rtol=0.02, atol=0)
    torch.testing.assert_close(aligned.scene.focals, case["final/focals"], rtol=2e-3, atol=0)
    if name != "D":  # two positions always fit
        assert case.ate(aligned.scene.world_from_cam) == pytest.approx(case.said["final"]["ate"], rel=0.05)


@pytest.mark.parametrize("name", CASES)
def test_from_our_own_start_it_ends_as_well(golden, name):
    case = Case(golden, name)
    aligned = align_original(case.pairs)
    assert aligned.losses[-1] <= 1.005 * case.said["final_loss"]
    if name != "D":
        assert case.ate(aligned.scene.world_from_cam) <= 1.15 * case.said["final"]["ate"] + 0.003
        assert case.focal_error(aligned.scene.focals) <= case.said["final"]["focal_rel_mean"] + 1e-3


def test_our_world_is_metric_and_begins_with_the_first_camera(golden):
    case = Case(golden, "A")
    few = align_original(case.pairs, OriginalConfig(steps=5)).scene
    parity = align_original(case.pairs, OriginalConfig(steps=5, metric=False)).scene
    torch.testing.assert_close(few.world_from_cam[0], torch.eye(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(few.depth, 2 * parity.depth)
    torch.testing.assert_close(few.world_from_pair.scale.log().mean().exp(), torch.tensor(1.0))
    relative = transform(invert(parity.world_from_cam[0]), parity.points_world) * 2
    torch.testing.assert_close(few.points_world, relative, atol=1e-4, rtol=0)


def exact(case: Case) -> Pairs:
    """The case without noise: every pair says what is true."""
    from cut3r.alignment.objective import Scene
    from cut3r.geometry.registration import Similarity

    nothing = Similarity(torch.eye(3)[None], torch.zeros(1, 3), torch.ones(1))
    points = Scene(case["gt/c2w"], case["gt/focal"], case["gt/depth"], nothing).points_world
    i, j = case.pairs.ends.unbind(dim=1)
    cam_from_world = invert(case["gt/c2w"][i])
    first, second = transform(cam_from_world, points[i]), transform(cam_from_world, points[j])
    return Pairs(case.pairs.ends, first, case.pairs.conf_first, second, case.pairs.conf_second)


def test_exact_pairs_give_the_exact_scene(golden):
    case = Case(golden, "C")
    aligned = align_original(exact(case), OriginalConfig(steps=0))
    assert aligned.losses[-1] < 1e-4
    assert case.ate(aligned.scene.world_from_cam) < 1e-4


def test_the_confidence_of_a_point_is_the_largest(golden):
    case = Case(golden, "B")
    torch.testing.assert_close(largest_confidence(case.pairs), case["final/im_conf_before_clean"])


def test_a_descent_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no descent"):
        OriginalConfig(first_rate=1e-6, last_rate=0.1)
