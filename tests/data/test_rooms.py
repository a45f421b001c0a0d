import numpy as np
import pytest
import torch

from cut3r.data.raycast import Kind, signed_distance
from cut3r.data.rooms import SHELL_FACES, make_room

ROOMS = range(12)


def room(seed: int, moving: int = 0):
    return make_room(np.random.default_rng(seed), moving=moving)


def test_sizes_are_those_of_rooms():
    sizes = torch.stack([room(seed).size for seed in ROOMS])
    assert (sizes >= torch.tensor([2.5, 2.5, 2.2])).all() and (sizes <= torch.tensor([14.0, 16.0, 5.2])).all()
    assert (sizes[:, :2] < 8).all(dim=1).float().mean() > 0.6


@pytest.mark.parametrize("seed", ROOMS)
def test_solids_stand_inside_the_room(seed):
    here = room(seed)
    low, high = here.solids.center - here.solids.half, here.solids.center + here.solids.half
    upright = here.solids.kind != Kind.turned_box
    assert low[upright].min() > -0.01
    assert (high[upright] < here.size + 0.01).all()
    assert (low[:, 2] > -0.01).all() and (here.solids.center < here.size).all()


@pytest.mark.parametrize("seed", ROOMS)
def test_solids_are_sorted_by_kind_and_have_one_material_each(seed):
    here = room(seed)
    assert (here.solids.kind.diff() >= 0).all()
    assert len(here.materials.pattern) == SHELL_FACES + len(here.solids.kind)


def test_rooms_are_furnished_but_not_without_end():
    numbers = [len(room(seed).solids.kind) for seed in ROOMS]
    assert min(numbers) >= 8 and max(numbers) <= 100


def test_nothing_moves_unless_asked_for():
    assert all((room(seed).solids.swing == 0).all() for seed in ROOMS)
    assert int((room(0, moving=2).solids.swing != 0).any(dim=-1).sum()) == 2


@pytest.mark.parametrize("seed", ROOMS)
def test_moving_things_stay_inside_the_room(seed):
    solids, size = room(seed, moving=3).solids, room(seed, moving=3).size
    centers = solids.centers_at(torch.linspace(0, 20, 200))[:, (solids.swing != 0).any(dim=-1)]
    assert (centers > 0).all() and (centers < size).all()


@pytest.mark.parametrize("seed", ROOMS)
def test_lamps_shine_from_free_air(seed):
    here = room(seed)
    gaps = signed_distance(here.solids, here.lights.unsqueeze(1) - here.solids.center)
    assert gaps[0].min() > 0 or (here.solids.half[gaps[0].argmin(), 2] > 0.4 * here.size[2])


def test_equal_generators_give_equal_rooms_and_others_do_not():
    assert torch.equal(room(3).solids.center, room(3).solids.center)
    assert torch.equal(room(3).materials.palette, room(3).materials.palette)
    assert not torch.equal(room(3).size, room(4).size)
