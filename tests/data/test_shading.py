import numpy as np
import pytest
import torch

from cut3r.data.raycast import signed_distance
from cut3r.data.shading import render
from cut3r.data.synthetic import Plan, plan_walk
from cut3r.data.walks import WalkConfig
from cut3r.geometry.cameras import project, unproject
from cut3r.geometry.poses import invert, transform

SIZE = (48, 64)
CONFIG = WalkConfig(size=SIZE, frames=6, speed_m=0.1, turn_deg=6.0)
WALKS = range(4)


def shoot(plan: Plan, frames: slice = slice(None)):
    return render(plan.room, plan.world_from_cam[frames], plan.intrinsics[frames], SIZE, plan.time_s[frames])


def world_points(plan: Plan, depth: torch.Tensor) -> torch.Tensor:
    return transform(plan.world_from_cam, unproject(depth, plan.intrinsics))


@pytest.mark.parametrize("index", WALKS)
def test_every_point_lies_on_a_surface_and_none_is_hidden(index):
    plan = plan_walk(11, index, WalkConfig(size=SIZE, frames=6, moving=2))
    _, depth = shoot(plan)
    points = world_points(plan, depth).flatten(1, 2)  # [v, r, 3]
    to_wall = torch.minimum(points, plan.room.size - points).amin(dim=-1)
    centers = plan.room.solids.centers_at(plan.time_s).unsqueeze(1)

    def gap(x):
        return signed_distance(plan.room.solids, x.unsqueeze(-2) - centers).amin(dim=-1)

    assert torch.minimum(to_wall, gap(points)).abs().max() < 1e-3
    eyes = plan.world_from_cam[:, None, :3, 3]
    for share in (0.25, 0.5, 0.75, 0.95):
        assert gap(torch.lerp(eyes, points, share)).min() > -1e-4


@pytest.mark.parametrize("index", WALKS)
def test_two_views_of_a_room_agree(index):
    plan = plan_walk(12, index, CONFIG)
    rgb, depth = shoot(plan)
    a, b = 0, 1
    points_b = transform(invert(plan.world_from_cam[b]), world_points(plan, depth)[a])
    pixels, z = project(points_b, plan.intrinsics[b])
    column, row = pixels.round().long().unbind(dim=-1)
    inside = (z > 0.1) & (column >= 0) & (column < SIZE[1]) & (row >= 0) & (row < SIZE[0])
    seen_depth, seen_rgb = depth[b][row[inside], column[inside]], rgb[b][row[inside], column[inside]]
    visible = (seen_depth / z[inside] - 1).abs() < 0.03
    assert inside.float().mean() > 0.5
    assert visible.float().mean() > 0.85  # the rest is hidden by something, or up to half a pixel beside an edge
    difference = (seen_rgb - rgb[a][inside]).abs().mean(dim=-1)[visible]
    assert difference.median() < 0.03


def test_views_do_not_influence_each_other():
    plan = plan_walk(13, 0, WalkConfig(size=SIZE, frames=6, moving=2))
    rgb, depth = shoot(plan)
    for frame in range(6):
        rgb_alone, depth_alone = shoot(plan, slice(frame, frame + 1))
        assert torch.equal(depth_alone[0], depth[frame])
        # Vectorised and scalar loops of torch round differently, and the number of frames decides between them.
        torch.testing.assert_close(rgb_alone[0], rgb[frame], atol=1e-6, rtol=0)


def test_only_moving_objects_change_with_time():
    still, moving = (plan_walk(14, 6, WalkConfig(size=SIZE, frames=2, moving=n)) for n in (0, 8))  # 6: in sight
    assert (moving.room.solids.swing != 0).any()
    for plan, changes in ((still, False), (moving, True)):
        pose, intrinsics = plan.world_from_cam[:1].expand(20, 4, 4), plan.intrinsics[:1].expand(20, 3, 3)
        _, depth = render(plan.room, pose, intrinsics, SIZE, torch.linspace(0, 9, 20))
        assert bool((depth != depth[0]).any()) is changes


def test_pictures_are_neither_dark_nor_burnt_out():
    means = torch.stack([shoot(plan_walk(15, index, CONFIG), slice(0, 1))[0].mean() for index in range(12)])
    assert means.min() > 0.2 and means.max() < 0.75
    assert means.std() > 0.01  # exposure varies


def test_pictures_have_texture():
    rgb = torch.cat([shoot(plan_walk(16, index, CONFIG), slice(0, 1))[0] for index in range(8)])
    assert np.median(rgb.std(dim=(1, 2)).amax(dim=-1)) > 0.05


@pytest.mark.gpu
def test_a_gpu_sees_the_same_room():
    plan = plan_walk(17, 0, CONFIG)
    rgb, depth = shoot(plan)
    cameras = (plan.world_from_cam.cuda(), plan.intrinsics.cuda())
    rgb_gpu, depth_gpu = render(plan.room.to("cuda"), *cameras, SIZE, plan.time_s.cuda())
    assert ((depth_gpu.cpu() - depth).abs() < 1e-3).float().mean() > 0.999
    assert ((rgb_gpu.cpu() - rgb).abs() < 0.01).float().mean() > 0.999
