"""Poses with errors pull the pose graph, and are improved by it."""

from functools import partial

import pytest
import torch

from cut3r.alignment.averaging import averaged
from cut3r.alignment.gauge import onto_known, towards_known
from cut3r.alignment.graphs import pairs_of, window
from cut3r.alignment.links import Links
from cut3r.alignment.normal_equations import moved
from cut3r.alignment.pose_graph import GraphConfig, solve_pose_graph
from cut3r.alignment.priors import FAR, PosePriors
from cut3r.alignment.start import along_tree
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import pose_from_parts, rotation_angle
from cut3r.geometry.registration import Similarity
from tests.alignment.planted import Walk, poses
from tests.alignment.test_pose_graph import local

SIGMA = (0.05, 0.03)  # metres, radians


def disturbed(world_from_cam: torch.Tensor, seed: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shift, turn = (
        sigma * torch.randn(len(world_from_cam), 3, generator=generator, dtype=torch.float64) for sigma in SIGMA
    )
    return pose_from_parts(world_from_cam[:, :3, :3] @ rotation_from_vector(turn), world_from_cam[:, :3, 3] + shift)


def errors(found: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    """Root mean square of centres (metres) and rotations (radians), in the world of the known poses."""
    shift = (found - truth)[:, :3, 3].norm(dim=-1)
    turn = rotation_angle(found[:, :3, :3], truth[:, :3, :3])
    return float(shift.square().mean().sqrt()), float(turn.square().mean().sqrt())


@pytest.fixture(scope="module")
def solved():
    """A walk whose links drift, and whose poses are known with an error; its solution."""
    walk = Walk(30, noise=0.02, turn=0.02)
    given = disturbed(walk.world_from_cam)
    config = GraphConfig(pose_sigma=SIGMA)
    graph = solve_pose_graph(30, walk.links(local(30)), config, known=dict(enumerate(given)))
    return walk.world_from_cam, given, graph


def test_noisy_poses_become_better(solved):
    truth, given, graph = solved
    before, after = errors(given, truth), errors(poses(graph.world_from_frame), truth)
    assert after[0] < 0.6 * before[0] and after[1] < 0.6 * before[1]


def test_and_stay_within_a_few_sigma(solved):
    _, given, graph = solved
    found = poses(graph.world_from_frame)
    assert float((found - given)[:, :3, 3].norm(dim=-1).max()) < 5 * SIGMA[0]
    assert float(rotation_angle(found[:, :3, :3], given[:, :3, :3]).max()) < 5 * SIGMA[1]


def test_they_hold_a_drifting_walk_together(solved):
    walk = Walk(30, noise=0.02, turn=0.02)
    alone = solve_pose_graph(30, walk.links(local(30)))
    assert walk.ate(solved[2].world_from_frame) < walk.ate(alone.world_from_frame)


def test_three_poses_in_a_world_of_their_own_give_the_frame_and_the_scale():
    walk = Walk(20, noise=0.01, turn=0.003)
    truth = walk.world_from_cam.clone()
    truth[:, :3, 3] = 3 * truth[:, :3, 3] + torch.tensor((5.0, -1.0, 2.0))
    known = {k: pose for k, pose in enumerate(disturbed(truth)) if k in (2, 8, 15)}
    graph = solve_pose_graph(20, walk.links(local(20)), GraphConfig(pose_sigma=SIGMA), known=known)
    shift, turn = errors(poses(graph.world_from_frame), truth)
    assert shift < 4 * SIGMA[0] and turn < 2 * SIGMA[1], "of a path of 6.6 m"
    assert float(graph.world_from_frame.scale.median()) == pytest.approx(3, rel=0.04)


def test_a_tiny_sigma_keeps_them_where_they_are():
    walk = Walk(8, noise=0.02, turn=0.02)
    given = disturbed(walk.world_from_cam)
    graph = solve_pose_graph(
        8, walk.links(local(8)), GraphConfig(pose_sigma=(1e-5, 1e-5)), known=dict(enumerate(given))
    )
    torch.testing.assert_close(poses(graph.world_from_frame), given, atol=1e-4, rtol=0)


def test_a_pose_that_is_plainly_wrong_does_not_take_its_frame_along():
    walk = Walk(12, noise=0.01)
    given = walk.world_from_cam.clone()
    given[5, :3, 3] += 1.0
    graph = solve_pose_graph(12, walk.links(local(12)), GraphConfig(pose_sigma=SIGMA), known=dict(enumerate(given)))
    assert float((poses(graph.world_from_frame)[5] - walk.world_from_cam[5])[:3, 3].norm()) < 0.15


def test_the_slope_is_that_of_the_loss():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    place = Similarity(rotation_from_vector(vectors), 0.1 * vectors, torch.tensor([0.5, 1.0, 2.0]).double())
    near = rotation_from_vector(vectors + 0.01 * vectors.flip(0))
    known = pose_from_parts(near, place.translation + torch.tensor([0.02, 0.5, 0.0]))  # a near one and far ones
    priors = PosePriors.of({2: known[2], 0: known[0]}, (0.05, 0.02)).against(torch.full((10,), 0.7))
    assert float(priors._length(place).min()) > 0 and float(priors._length(place).max()) > FAR
    slope, _ = priors.slope(place)
    for row, frame in enumerate((2, 0)):
        for unknown in range(7):
            step = torch.zeros(3, 7, dtype=torch.float64)
            step[frame, unknown] = 1e-6
            rise = (priors.loss(moved(place, step)) - priors.loss(moved(place, -step))) / 2e-6
            assert rise == pytest.approx(float(slope[row, unknown]), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("sigma", [(0.0, 0.1), (0.1, -1.0), (float("nan"), 1.0)])
def test_errors_that_are_none_are_refused(sigma):
    with pytest.raises(ValueError, match="two numbers above 0"):
        GraphConfig(pose_sigma=sigma)


def long_walk(every: int, wrong: bool = False) -> tuple[Walk, Links, dict[int, torch.Tensor]]:
    """200 frames with wide pairs, of which one pose in `every` is known with an error; one is plainly wrong."""
    walk = Walk(200, noise=0.02, turn=0.02, points=16)
    known = {k: pose.clone() for k, pose in enumerate(disturbed(walk.world_from_cam)) if k % every == 0}
    if wrong:
        known[100][:3, 3] += 1.0
    return walk, walk.links(pairs_of(window(200, powers=True))), known


@pytest.mark.parametrize("wrong", [False, True])
def test_a_long_walk_begins_near_its_end_and_one_step_is_enough(wrong):
    """From a tree, turns are still 3 and 8 % worse then."""
    walk, links, known = long_walk(10, wrong)
    few, many = (
        solve_pose_graph(200, links, GraphConfig(pose_sigma=SIGMA, steps=steps), known=known) for steps in (1, 30)
    )
    assert few.loss_after < 1.003 * many.loss_after
    (shift, turn), best = (errors(poses(each.world_from_frame), walk.world_from_cam) for each in (few, many))
    assert shift < 1.02 * best[0] and turn < 1.02 * best[1]
    assert shift < 1.2 * SIGMA[0] and turn < SIGMA[1]


def test_the_average_heeds_known_poses():
    """A tree's end is far off; near pairs alone, moved onto the known poses, bend between them."""
    walk, links, known = long_walk(10)
    groups, free = [list(range(200))], torch.ones(200, 7, dtype=torch.bool)
    tree = towards_known(along_tree(200, links, groups), groups, known, with_scale=True)
    settle = partial(onto_known, groups=groups, known=known, with_scale=True)
    found = averaged(
        tree, links.ends, links.fit(), free, links.distance, priors=PosePriors.of(known, SIGMA), settle=settle
    )
    (shift, turn), before = (errors(poses(each), walk.world_from_cam) for each in (found, tree))
    assert shift < 0.5 * before[0] and turn < 0.5 * before[1]
    assert shift < 1.5 * SIGMA[0] and turn < 1.5 * SIGMA[1]


def test_exact_pairs_and_poses_in_a_world_of_their_own_give_it_exactly():
    walk = Walk(40)
    links, world = (
        walk.links(local(40)),
        Similarity(
            rotation_from_vector(torch.tensor([0.3, -1.0, 0.5]).double()),
            torch.tensor([4.0, 1.0, -2.0]).double(),
            torch.tensor(2.5).double(),
        ),
    )
    truth = world.place(walk.world_from_cam)
    known = {k: truth[k] for k in (3, 17, 30)}
    settle = partial(onto_known, groups=[list(range(40))], known=known, with_scale=True)
    start = Similarity.from_matrix(walk.world_from_cam[:1].repeat(40, 1, 1))
    free = torch.ones(40, 7, dtype=torch.bool)
    priors = PosePriors.of(known, SIGMA)
    found = averaged(start, links.ends, links.fit(), free, 3.0, priors=priors, settle=settle)
    torch.testing.assert_close(poses(found), truth, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.scale, torch.full((40,), 2.5).double(), atol=1e-5, rtol=0)
