"""Averages of what pairs say: exact where pairs agree, robust where some lie, and nothing that is held moves."""

import pytest
import torch

from cut3r.alignment.averaging import averaged
from cut3r.alignment.graphs import pairs_of, window
from cut3r.alignment.pose_graph import solve_pose_graph
from cut3r.alignment.start import along_tree
from cut3r.geometry.registration import Similarity
from tests.alignment.planted import Walk, poses


def free_but(frames: int, *held: int) -> torch.Tensor:
    free = torch.ones(frames, 7, dtype=torch.bool)
    free[list(held)] = False
    return free


def start_of(walk: Walk, frames: int) -> Similarity:
    """Everything where the first frame is."""
    return Similarity.from_matrix(walk.world_from_cam[:1].repeat(frames, 1, 1))


def test_pairs_that_agree_give_the_exact_walk_from_anywhere():
    walk = Walk(40)
    links = walk.links(pairs_of(window(40)))
    found = averaged(start_of(walk, 40), links.ends, links.fit(), free_but(40, 0), 3.0)
    torch.testing.assert_close(poses(found), walk.world_from_cam, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.scale, torch.ones(40).double(), atol=1e-6, rtol=0)


def test_it_is_better_than_a_tree():
    walk = Walk(300, noise=0.02, turn=0.01)
    links = walk.links(pairs_of(window(300, powers=True)))
    tree = along_tree(300, links, [list(range(300))])
    found = averaged(tree, links.ends, links.fit(), free_but(300, 0), links.distance)
    assert walk.ate(found) < 0.3 * walk.ate(tree)


def test_pairs_that_lie_say_little():
    walk = Walk(60, noise=0.01, turn=0.003)
    wrong = [(3, 30), (10, 45), (50, 20)]
    true = pairs_of(window(60, powers=True))
    links = walk.links(true + wrong, wrong=3)
    tree = along_tree(60, links, [list(range(60))])
    found = averaged(tree, links.ends, links.fit(), free_but(60, 0), links.distance)
    honest = links.only(torch.arange(len(links)) < len(true))
    alone = averaged(tree, honest.ends, honest.fit(), free_but(60, 0), links.distance)
    assert walk.ate(found) < 2 * walk.ate(alone) + 0.005


def test_what_is_held_stays_and_frames_without_pairs_too():
    walk = Walk(12, noise=0.02, turn=0.05)
    links = walk.links([(i, i + 1) for i in range(9)])  # 10 and 11 are in no pair
    start = start_of(walk, 12)
    found = averaged(start, links.ends, links.fit(), free_but(12, 0, 5), links.distance)
    for k in (0, 5, 10, 11):
        assert torch.equal(poses(found)[k], poses(start)[k]) and float(found.scale[k]) == 1


def test_where_nothing_is_held_the_world_does_not_float_away():
    walk = Walk(20, noise=0.01, turn=0.01)
    links = walk.links(pairs_of(window(20)))
    start = Similarity.from_matrix(walk.world_from_cam)
    found = averaged(start, links.ends, links.fit(), free_but(20), links.distance)
    assert walk.ate(found) < 0.1
    torch.testing.assert_close(poses(found), walk.world_from_cam, atol=0.2, rtol=0)


@pytest.mark.slow
def test_a_thousand_frames_in_a_circle_come_out_round():
    """From the tree alone, steps ended far from the best place: 3,000 frames were worse than the path given."""
    walk = Walk(1000, noise=0.02, turn=0.01, points=16)
    links = walk.links(pairs_of(window(1000, powers=True)))
    solved = solve_pose_graph(1000, links)
    assert walk.ate(solved.world_from_frame) < 0.25
