"""The first scene: the original's pair parameters, and a start that is at least as good."""

import pytest
import torch

from cut3r.alignment.objective import Objective, Unknowns
from cut3r.alignment.pairs import Pairs
from cut3r.alignment.tree import first_scene
from tests.alignment.golden_cases import CASES, Case


@pytest.mark.parametrize("name", CASES)
def test_pairs_stand_where_the_original_puts_them(golden, name):
    case = Case(golden, name)
    ours, theirs = Unknowns.of(first_scene(case.pairs)).pairs, case.start().pairs
    sign = (ours[:, :4] * theirs[:, :4]).sum(dim=-1, keepdim=True).sign()
    torch.testing.assert_close(ours[:, :4], sign * theirs[:, :4], atol=1e-3, rtol=0)
    torch.testing.assert_close(ours[:, 4:7], theirs[:, 4:7], atol=1e-3, rtol=0)
    centered = theirs[:, 7] - theirs[:, 7].mean() + torch.tensor(0.5).log()
    torch.testing.assert_close(ours[:, 7], centered, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_the_start_is_as_good_as_the_originals(golden, name):
    case = Case(golden, name)
    assert float(Objective(case.pairs)(first_scene(case.pairs))) <= 1.3 * case.said["init_loss"]


@pytest.mark.parametrize("name", CASES)
def test_focal_lengths_are_as_good_as_the_originals(golden, name):
    case = Case(golden, name)
    assert case.focal_error(first_scene(case.pairs).focals) <= case.said["init"]["focal_rel_mean"] + 1e-3


def test_the_order_of_pairs_changes_nothing(golden):
    pairs = Case(golden, "B").pairs
    backwards = pairs.reordered(torch.arange(len(pairs.ends)).flip(0))
    torch.testing.assert_close(first_scene(pairs).points_world, first_scene(backwards).points_world, atol=1e-4, rtol=0)


def test_no_depth_is_behind_its_camera(golden):
    pairs = Case(golden, "A").pairs
    points = pairs.points_first.clone()
    points[:, 0, :, 2] *= -1
    behind = Pairs(pairs.ends, points, pairs.conf_first, pairs.points_second, pairs.conf_second)
    assert (first_scene(behind).depth > 0).all()


def test_groups_without_a_pair_between_them_are_named(golden):
    pairs = Case(golden, "D").pairs
    halves = [torch.cat((value, value)) for value in list(vars(pairs).values())[1:]]
    with pytest.raises(ValueError, match="frames 0 to 1; frames 2 to 3"):
        first_scene(Pairs(torch.tensor(((0, 1), (2, 3))), *halves))


def test_points_that_shrink_to_nothing_are_one_sentence():
    """Once they gave cameras that were not numbers, and no word."""
    points, sure = torch.rand(2, 6, 8, 3) + 1, torch.full((2, 6, 8), 5.0)
    one_place = torch.ones(1, 6, 8, 3)
    second = torch.cat((one_place, points[1:]))
    pairs = Pairs(torch.tensor([[0, 1], [1, 2]]), points, sure, second, torch.stack((sure[0], sure[0] / 2)))
    with pytest.raises(ValueError, match=r"1 pairs, \(1, 2\) the first of them, shrink to nothing .* by graph"):
        first_scene(pairs)
