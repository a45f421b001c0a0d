import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.data.raycast import Kind, Solids, cast, clearance, exit_room, signed_distance

STILL = torch.zeros(1)


def one_solid(kind: Kind, center=(0.0, 0.0, 0.0), half=(1.0, 1.0, 1.0), yaw=0.0, swing=(0.0, 0.0, 0.0)) -> Solids:
    return Solids(
        kind=torch.tensor([int(kind)]),
        center=torch.tensor([center]),
        half=torch.tensor([half]),
        yaw=torch.tensor([yaw]),
        swing=torch.tensor([swing]),
        rate=torch.tensor([1.0]),
        phase=torch.tensor([0.0]),
    )


def distance(solids: Solids, origin, direction, time_s: float = 0.0) -> float:
    rays = torch.tensor(direction).view(1, 3, 1)
    return float(cast(solids, torch.tensor([origin]), rays, torch.tensor([time_s])))


@pytest.mark.parametrize("kind", list(Kind))
def test_a_ray_through_the_middle_enters_at_the_near_face(kind):
    assert distance(one_solid(kind), (-4.0, 0.0, 0.0), (1.0, 0.0, 0.0)) == pytest.approx(3.0)


@pytest.mark.parametrize("kind", list(Kind))
def test_distances_are_in_units_of_the_direction(kind):
    assert distance(one_solid(kind), (-4.0, 0.0, 0.0), (0.5, 0.0, 0.0)) == pytest.approx(6.0)


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_behind_or_beside_is_missed(kind):
    assert distance(one_solid(kind), (-4.0, 0.0, 0.0), (-1.0, 0.0, 0.0)) == math.inf
    assert distance(one_solid(kind), (-4.0, 2.0, 0.0), (1.0, 0.0, 0.0)) == math.inf


def test_a_turned_box_shows_its_edge():
    box = one_solid(Kind.turned_box, yaw=math.pi / 4)
    assert distance(box, (-4.0, 0.0, 0.0), (1.0, 0.0, 0.0)) == pytest.approx(4 - math.sqrt(2), abs=1e-5)


def test_a_cylinder_has_a_flat_top():
    assert distance(one_solid(Kind.cylinder), (0.7, 0.6, 5.0), (0.0, 0.0, -1.0)) == pytest.approx(4.0)
    assert distance(one_solid(Kind.cylinder), (0.8, 0.8, 5.0), (0.0, 0.0, -1.0)) == math.inf


def test_a_solid_swings_with_time():
    ball = one_solid(Kind.sphere, swing=(2.0, 0.0, 0.0))
    assert distance(ball, (-4.0, 0.0, 0.0), (1.0, 0.0, 0.0), math.pi / 2) == pytest.approx(5.0)


@given(kind=st.sampled_from(list(Kind)), seed=st.integers(0, 2**31))
def test_hits_lie_on_the_surface_and_nothing_is_in_front_of_them(kind, seed):
    generator = torch.Generator().manual_seed(seed)
    half = torch.rand(3, generator=generator) + 0.4
    half = half if kind in (Kind.box, Kind.turned_box) else half[:1].expand(3)
    yaw = 3 * float(torch.rand(1, generator=generator)) if kind == Kind.turned_box else 0.0
    solid = one_solid(kind, half=tuple(half.tolist()), yaw=yaw)
    origin = torch.nn.functional.normalize(torch.randn(1, 3, generator=generator), dim=1) * 4
    rays = torch.nn.functional.normalize(torch.randn(1, 3, 200, generator=generator) * 0.3 - origin.mT / 4, dim=1)
    near = cast(solid, origin, rays, STILL)[0, 0]
    hit = near.isfinite()
    assert hit.any() and not hit.all()
    distances = torch.where(hit, near, 9.0) * torch.linspace(0.0, 1.0, 100).unsqueeze(-1)  # [steps, r], up to the hit
    along = origin + rays[0].T * distances.unsqueeze(-1)  # [steps, r, 3]
    gaps = signed_distance(solid, along.unsqueeze(-2)).squeeze(-1)
    assert gaps[-1, hit].abs().max() < 1e-5
    assert gaps.min() > -1e-5


def test_a_ray_along_the_faces_of_a_box_is_no_hole():
    box = one_solid(Kind.box)
    assert distance(box, (-4.0, 0.5, 0.5), (1.0, 0.0, 0.0)) == pytest.approx(3.0)


def test_rays_leave_the_room_through_its_faces():
    origins, size = torch.tensor([[1.0, 2.0, 1.5]]), torch.tensor([4.0, 5.0, 3.0])
    rays = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 0.5], [0, 0, -1]]).T.unsqueeze(0)
    torch.testing.assert_close(exit_room(size, origins, rays), torch.tensor([[3.0, 1, 3, 2, 3, 1.5]]))


def test_clearance_is_that_of_the_nearest_thing_at_that_time():
    ball = one_solid(Kind.sphere, center=(2.0, 2.0, 1.0), half=(0.5, 0.5, 0.5), swing=(0.0, 1.0, 0.0))
    path = torch.tensor([[[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]])
    gap = clearance(ball, torch.tensor([4.0, 4.0, 2.0]), path, torch.tensor([0.0, math.pi / 2]))
    torch.testing.assert_close(gap, torch.tensor([[0.5, math.sqrt(2) - 0.5]]))
    outside = clearance(ball, torch.tensor([4.0, 4.0, 2.0]), torch.tensor([[[-0.2, 2.0, 1.0]]]), torch.zeros(1))
    assert float(outside) == pytest.approx(-0.2)
