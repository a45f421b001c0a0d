import math

import numpy as np
import pytest
import torch

from cut3r.data.raycast import clearance
from cut3r.data.rooms import make_room
from cut3r.data.synthetic import plan_walk
from cut3r.data.walks import Curves, WalkConfig, make_walk, wave
from cut3r.geometry.poses import rotation_angle

WALKS = range(8)
CONFIG = WalkConfig(moving=2)


@pytest.fixture(scope="module")
def plans():
    return [plan_walk(5, index, CONFIG) for index in WALKS]


def positions(plan):
    return plan.world_from_cam[:, :3, 3]


def test_poses_are_rigid(plans):
    rotation = torch.stack([plan.world_from_cam for plan in plans])[..., :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(rotation.shape[:2]))


def test_the_camera_keeps_its_distance_from_everything(plans):
    gaps = [clearance(p.room.solids, p.room.size, positions(p)[None], p.time_s).min() for p in plans]
    assert min(gaps) > CONFIG.clearance_m - 0.05  # hand shake


def test_cameras_are_held_upright_at_the_height_of_a_person(plans):
    poses = torch.cat([plan.world_from_cam for plan in plans])
    assert (poses[:, 2, 1] < -0.7).all()  # y down in the camera is down in the room
    assert (poses[:, 2, 3] > 0.6).all() and (poses[:, 2, 3] < 2.0).all()


def test_steps_and_turns_are_about_as_large_as_asked_for(plans):
    steps = torch.stack([positions(plan).diff(dim=0).norm(dim=-1) for plan in plans])
    rotations = torch.stack([plan.world_from_cam[:, :3, :3] for plan in plans])
    turns = rotation_angle(rotations[:, :-1], rotations[:, 1:]).rad2deg()
    assert 0.5 < steps.mean() / CONFIG.speed_m < 1.5 and steps.max() < 5 * CONFIG.speed_m
    assert 0.3 < turns.mean() / CONFIG.turn_deg < 1.5 and turns.max() < 6 * CONFIG.turn_deg


def test_walks_are_smooth(plans):
    roughness = []
    for plan in plans:
        velocity = positions(plan).diff(dim=0)
        roughness.append(velocity.diff(dim=0).norm(dim=-1).mean() / velocity.norm(dim=-1).mean())
    assert torch.stack(roughness).median() < 0.5 and max(roughness) < 0.7  # slow ones shake more for their speed


def test_small_motions_can_be_asked_for():
    quiet = WalkConfig(frames=10, speed_m=0.01, turn_deg=0.5, shake=0.0)
    for index in WALKS:
        path = positions(plan_walk(5, index, quiet))
        assert path.diff(dim=0).norm(dim=-1).max() < 0.06


def test_long_walks_come_back_to_where_they_were():
    returns = 0
    for index in WALKS:
        path = positions(plan_walk(6, index, WalkConfig(frames=150, speed_m=0.15)))
        frame = torch.arange(150)
        later = frame[:, None] > frame + 30
        returns += bool(torch.cdist(path, path)[later].min() < 0.15)
    assert returns >= len(WALKS) // 2


def test_the_principal_point_is_the_middle_and_the_field_of_view_in_range(plans):
    h, w = CONFIG.size
    for plan in plans:
        assert (plan.intrinsics == plan.intrinsics[0]).all()
        (fx, _, cx), (_, fy, cy), _ = plan.intrinsics[0].tolist()
        assert fx == fy and (cx, cy) == ((w - 1) / 2, (h - 1) / 2)
        assert CONFIG.fov_deg[0] <= math.degrees(2 * math.atan(w / 2 / fx)) <= CONFIG.fov_deg[1]


def test_fields_of_view_vary(plans):
    assert len({float(plan.intrinsics[0, 0, 0]) for plan in plans}) == len(plans)


def test_curves_are_walked_at_the_speed_of_the_walker():
    curves = Curves.draw(np.random.default_rng(0), np.array([4.0, 5.0, 2.5]), 6)
    steps = np.linalg.norm(np.diff(curves.walk(np.arange(400) * 0.01), axis=1), axis=-1)
    large = np.abs(curves.extent[:, :2]).min(axis=1) > 0.4  # small curves go round within a step
    assert large.any()
    np.testing.assert_allclose(steps[large], 0.01, rtol=0.1)


def test_waves_have_about_unit_variance():
    rng = np.random.default_rng(0)
    assert np.std([wave(rng, 200, 10.0) for _ in range(100)]) == pytest.approx(1, abs=0.1)


def test_one_frame_is_a_walk():
    rng = np.random.default_rng(0)
    world_from_cam, intrinsics = make_walk(rng, make_room(rng), WalkConfig(frames=1))
    assert world_from_cam.shape == (1, 4, 4) and intrinsics.shape == (1, 3, 3)
    assert world_from_cam.isfinite().all()


@pytest.mark.parametrize("wrong", [{"fov_deg": (80.0, 50.0)}, {"frames": 0}, {"size": (1, 1)}])
def test_impossible_walks_are_refused(wrong):
    with pytest.raises(ValueError, match=r"raise frames or size|swap or narrow it"):
        WalkConfig(**wrong)
