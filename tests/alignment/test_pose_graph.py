"""The pose graph against planted truth: noise, outliers, wrong pairs, loops, groups, known cameras."""

import pytest
import torch

from cut3r.alignment import normal_equations
from cut3r.alignment.graphs import both_ways, complete, pairs_of, window
from cut3r.alignment.normal_equations import Problem, moved
from cut3r.alignment.pose_graph import GraphConfig, solve_pose_graph
from cut3r.alignment.start import along_tree
from cut3r.geometry.poses import rotation_angle
from cut3r.geometry.registration import Similarity
from tests.alignment.planted import Walk, poses


def local(n: int) -> list[tuple[int, int]]:
    return pairs_of(window(n))


def closing(n: int) -> list[tuple[int, int]]:
    """The end of the circle sees its beginning."""
    return pairs_of(both_ways([(0, n - 1), (1, n - 2), (0, n - 3)]))


@pytest.mark.parametrize("with_scale", [True, False], ids=["similarities", "rigid"])
def test_exact_links_give_the_exact_walk(with_scale):
    walk = Walk(12)
    solved = solve_pose_graph(12, walk.links(local(12)), GraphConfig(with_scale=with_scale))
    assert walk.ate(solved.world_from_frame) < 1e-6
    torch.testing.assert_close(solved.world_from_frame.scale, torch.ones(12).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(poses(solved.world_from_frame)[0], torch.eye(4).double())
    assert solved.loss_after < 1e-8 and solved.kept.all()


def test_the_normal_equations_are_the_slope_of_the_loss():
    walk = Walk(5, noise=0.02, turn=0.05)
    links = walk.links(local(5))
    free = torch.ones(5, 7, dtype=torch.bool)
    problem, place = Problem(links, free), along_tree(5, links, [list(range(5))])
    place = moved(place, 0.05 * torch.randn(5, 7, generator=torch.Generator().manual_seed(1)).double())
    _, slope = problem._normal_equations(place, problem.measure(place)[1])
    numbers = torch.eye(35).double().reshape(35, 5, 7) * 1e-6
    for k in range(35):
        up, down = (problem.measure(moved(place, sign * numbers[k]))[0] for sign in (1, -1))
        assert (up - down) / 2e-6 == pytest.approx(slope[k], abs=1e-6, rel=1e-4)


def test_it_is_better_than_the_tree_it_begins_with():
    walk = Walk(60, noise=0.02, turn=0.01)
    links = walk.links(local(60))
    tree = along_tree(60, links, [list(range(60))])
    solved = solve_pose_graph(60, links)
    assert solved.loss_after < solved.loss_before
    assert walk.ate(solved.world_from_frame) < 0.8 * walk.ate(tree)
    assert walk.ate(solved.start) == pytest.approx(walk.ate(tree), rel=1e-6)
    assert float(solved.start.scale.log().mean()) == pytest.approx(0, abs=1e-9)  # the unit of the result


def test_loops_help():
    walk = Walk(100, noise=0.02, turn=0.01)
    links = walk.links(local(100) + closing(100))
    within = torch.arange(len(links)) < len(local(100))
    without, with_loops = solve_pose_graph(100, links.only(within)), solve_pose_graph(100, links)
    assert walk.ate(with_loops.world_from_frame) < 0.6 * walk.ate(without.world_from_frame)


def test_outlying_points_do_little():
    clean, dirty = (Walk(40, noise=0.02, turn=0.005, outliers=share) for share in (0.0, 0.2))
    errors = [walk.ate(solve_pose_graph(40, walk.links(local(40))).world_from_frame) for walk in (clean, dirty)]
    assert errors[1] < 1.5 * errors[0] + 0.005


def test_wrong_loops_are_refused():
    walk = Walk(60, noise=0.02, turn=0.005)
    wrong = [(3, 30), (10, 45), (50, 20)]
    links = walk.links(local(60) + closing(60) + wrong, wrong=3)
    solved = solve_pose_graph(60, links)
    assert not solved.kept[-3:].any() and solved.kept[:-3].all()
    true = solve_pose_graph(60, links.only(solved.kept))
    assert walk.ate(solved.world_from_frame) < 1.2 * walk.ate(true.world_from_frame) + 0.005


def test_the_scale_of_the_world_is_the_mean_of_what_the_frames_say():
    walk = Walk(20, noise=0.02, turn=0.02)
    scale = solve_pose_graph(20, walk.links(local(20))).world_from_frame.scale
    assert float(scale.log().mean()) == pytest.approx(0.0, abs=1e-9)


def test_groups_are_named_and_each_is_right(caplog):
    walk = Walk(12)
    pairs = [(i, j) for i, j in local(12) if (i < 5) == (j < 5)]
    solved = solve_pose_graph(12, walk.links(pairs))
    assert solved.groups == [list(range(5)), list(range(5, 12))]
    assert "frames 0 to 4; frames 5 to 11" in caplog.text
    place = solved.world_from_frame
    for group in solved.groups:
        part = Similarity(place.rotation[group], place.translation[group], place.scale[group])
        one = Walk(12)
        one.world_from_cam = walk.world_from_cam[group]
        assert one.ate(part) < 1e-6


def test_a_frame_alone_is_where_it_is():
    solved = solve_pose_graph(1, Walk(2).links(local(2)).only(torch.zeros(2, dtype=torch.bool)))
    torch.testing.assert_close(poses(solved.world_from_frame), torch.eye(4).double()[None])


def test_known_cameras_stay_and_give_the_frame_and_the_scale():
    walk = Walk(30, noise=0.01, turn=0.003)
    other_world = 3 * walk.world_from_cam[:, :3, 3] + torch.tensor((5.0, -1.0, 2.0))
    truth = walk.world_from_cam.clone()
    truth[:, :3, 3] = other_world
    known = {k: truth[k] for k in (2, 11, 25)}
    solved = solve_pose_graph(30, walk.links(local(30)), known=known)
    found = poses(solved.world_from_frame)
    for k, camera in known.items():
        assert torch.equal(found[k], camera)
    assert float((found - truth)[:, :3, 3].norm(dim=-1).max()) < 0.3, "of 6.6 m"
    assert float(rotation_angle(found[:, :3, :3], truth[:, :3, :3]).max()) < 0.03
    assert float(solved.world_from_frame.scale.median()) == pytest.approx(3, rel=0.03)


def test_one_known_camera_says_where_but_not_how_large():
    walk = Walk(10)
    camera = walk.world_from_cam[4]
    solved = solve_pose_graph(10, walk.links(local(10)), known={4: camera})
    torch.testing.assert_close(poses(solved.world_from_frame), walk.world_from_cam, atol=1e-6, rtol=0)


def test_known_cameras_of_no_frame_are_refused():
    with pytest.raises(ValueError, match="frames 0 to 3"):
        solve_pose_graph(4, Walk(4).links(local(4)), known={7: torch.eye(4).double()})


def test_the_order_of_links_changes_nothing():
    walk = Walk(15, noise=0.02, turn=0.02)
    links = walk.links(local(15))
    order = torch.randperm(len(links), generator=torch.Generator().manual_seed(0))
    mixed = type(links)(*(value[order] for value in vars(links).values()))
    first, second = solve_pose_graph(15, links), solve_pose_graph(15, mixed)
    torch.testing.assert_close(first.world_from_frame.matrix(), second.world_from_frame.matrix(), atol=1e-3, rtol=0)


def test_the_factor_grows_about_in_proportion_to_the_frames(monkeypatch):
    """But for a logarithm. Far pairs from every frame made it grow with the square: 3,000 frames did not end."""
    entries, factor = [], normal_equations.splu

    def counted(*given, **options):
        factors = factor(*given, **options)
        entries.append(factors.nnz)
        return factors

    monkeypatch.setattr(normal_equations, "splu", counted)
    for n in (300, 1200):
        walk = Walk(n, points=4)
        loops = both_ways([(k, k + n // 2) for k in range(0, n // 2, 20)])
        links = walk.links(pairs_of([*window(n, powers=True), *loops]))
        free = torch.ones(n, 7, dtype=torch.bool)
        free[0] = False
        problem, truth = Problem(links, free), Similarity.from_matrix(walk.world_from_cam)
        problem._solve(*problem._normal_equations(truth, problem.measure(truth)[1]), 1e-6)
    assert entries[1] < 7 * entries[0], "4 is proportion, 16 the square"


def test_many_pairs_that_show_nothing_in_common_do_not_make_one_heap():
    """A complete graph around a room, in which the network guesses most pairs, and says so."""
    walk = Walk(24, noise=0.02, turn=0.005)
    pairs = pairs_of(complete(24))
    near = torch.tensor([min((i - j) % 24, (j - i) % 24) <= 3 for i, j in pairs])
    links = walk.links(pairs)
    target = torch.where(near[:, None, None], links.target, 0.3 * links.target.flip(1) + walk._normal(len(pairs), 1, 3))
    weights = torch.where(near[:, None], links.weights, 0.15 * links.weights)
    solved = solve_pose_graph(24, type(links)(links.ends, links.source, target, weights))
    assert walk.ate(solved.world_from_frame) < 0.05
    assert solved.kept[near].all() and float(solved.kept[~near].double().mean()) < 0.02


def test_known_cameras_that_move_where_predictions_stand_still_do_not_blow_frames_up(caplog):
    """Without a limit the best explanation is a world so large that the known motion vanishes in it."""
    still = Walk(4)
    still.world_from_cam = torch.eye(4).double().repeat(4, 1, 1)
    known = {k: torch.eye(4).double() for k in range(4)}
    for k, camera in known.items():
        camera[:3, 3] = torch.tensor([1.0 * k, 0.1 * k * k, 0.0])
    solved = solve_pose_graph(4, still.links(local(4)), known=known)
    assert bool((solved.world_from_frame.scale < 1e4).all()) and bool((solved.world_from_frame.scale > 1e-4).all())
    torch.testing.assert_close(poses(solved.world_from_frame)[3], known[3], atol=1e-9, rtol=0)
    assert "no scale in common" in caplog.text
