"""The original's objective: recorded values, and its laws."""

import pytest
import torch

from cut3r.alignment.objective import Objective, Unknowns
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.registration import Similarity
from tests.alignment.golden_cases import CASES, Case


@pytest.mark.parametrize("name", CASES)
def test_the_loss_of_recorded_states_is_the_recorded_loss(golden, name):
    case = Case(golden, name)
    objective = Objective(case.pairs)
    assert float(objective(case.final().scene())) == pytest.approx(case.said["final_loss"], rel=1e-5)
    assert float(objective(case.start().scene())) == pytest.approx(case.said["init_loss"], rel=1e-5)


def test_the_points_are_the_recorded_points(golden):
    case = Case(golden, "A")
    torch.testing.assert_close(case.final().scene().points_world, case["final/pts3d"], atol=1e-5, rtol=1e-5)


def test_moving_the_world_changes_nothing(golden):
    case = Case(golden, "A")
    scene = case.final().scene()
    rotation = rotation_from_vector(torch.tensor((0.3, -1.0, 0.4)))
    motion = Similarity(rotation, torch.tensor((3.0, -2.0, 1.0)), torch.ones(()))
    objective = Objective(case.pairs)
    torch.testing.assert_close(objective(scene.moved(motion)), objective(scene), rtol=1e-5, atol=0)


def test_the_order_of_pairs_changes_nothing(golden):
    case = Case(golden, "C")
    order = torch.randperm(len(case.pairs.ends), generator=torch.Generator().manual_seed(0))
    final = case.final()
    reordered = Unknowns(final.pairs[order], final.frames, final.focals, final.log_depth)
    loss = Objective(case.pairs.reordered(order))(reordered.scene())
    torch.testing.assert_close(loss, Objective(case.pairs)(final.scene()), rtol=1e-6, atol=0)


def test_a_scene_survives_becoming_unknowns(golden):
    scene = Case(golden, "B").final().scene()
    again = Unknowns.of(scene).scene()
    torch.testing.assert_close(again.world_from_cam, scene.world_from_cam)
    torch.testing.assert_close(again.focals, scene.focals)
    torch.testing.assert_close(again.world_from_pair.matrix(), scene.world_from_pair.matrix())


def test_pairs_that_make_no_sense_are_refused(golden):
    pairs = Case(golden, "D").pairs
    with pytest.raises(ValueError, match="no pair"):
        type(pairs)(pairs.ends + 1, *(getattr(pairs, name) for name in list(vars(pairs))[1:]))
