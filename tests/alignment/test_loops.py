"""Loops on planted predictions: what is accepted, what is refused and why, and what they are good for."""

import json
import math
from dataclasses import replace

import pytest
import torch

from benchmarks.planted_walk import Errors, PlantedWalk
from cut3r.alignment.graphs import both_ways, window
from cut3r.alignment.links import links_of
from cut3r.alignment.loops import after_solving, close_loops, judge, loops_report, usual_confidence, with_loops
from cut3r.alignment.pairs import Predictions
from cut3r.alignment.pose_graph import PoseGraph, solve_pose_graph
from cut3r.alignment.revisits import Revisit
from cut3r.alignment.scale_drift import scale_drift
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import pose_from_parts, transform
from cut3r.metrics.motion import ate_sim3

SURE = math.log(8.0)  # of the planted walk's neighbours


def ate(solved: PoseGraph, walk: PlantedWalk) -> float:
    place = solved.world_from_frame
    return float(ate_sim3(pose_from_parts(place.rotation, place.translation), walk.world_from_cam))


@pytest.fixture(scope="module")
def revisit():
    """One loop of an exact walk, from both ends."""
    walk = PlantedWalk(60, errors=Errors(0.0, 0.0, 0.0))
    return walk.look(both_ways([(0, 58)])), [Revisit(0, 58, 0.9)]


def moved(pair: Predictions, row: int, by: torch.Tensor) -> Predictions:
    """One of the pairs sees its points moved."""
    points = pair.points_pair.clone()
    points[row] = transform(by.float(), points[row].float()).half()
    return replace(pair, points_pair=points)


def turned(degrees: float) -> torch.Tensor:
    return pose_from_parts(rotation_from_vector(torch.tensor([0.0, 0.0, math.radians(degrees)])), torch.zeros(3))


def test_a_true_loop_is_accepted(revisit):
    pair, candidates = revisit
    assert [loop.refused for loop in judge(pair, candidates, usual=SURE)] == [""]


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        (turned(4.0), ""),
        (turned(7.0), "turns by 7.0 degrees"),
        (torch.diag(torch.tensor([1.08, 1.08, 1.08, 1.0])), "scale by 8 %"),
        (torch.diag(torch.tensor([1 / 1.08, 1 / 1.08, 1 / 1.08, 1.0])), "scale by 8 %"),
        (pose_from_parts(torch.eye(3), torch.tensor([0.5, 0.0, 0.0])), "of the depth"),
    ],
    ids=["little", "turn", "larger", "smaller", "shift"],
)
def test_there_and_back_must_lead_to_where_one_began(revisit, by, reason):
    pair, candidates = revisit
    loop = judge(moved(pair, 1, by), candidates, usual=SURE)[0]
    assert reason in loop.refused and bool(loop.refused) == bool(reason)


def test_the_network_must_be_sure_from_both_ends(revisit):
    pair, candidates = revisit
    conf = pair.conf_pair.clone()
    conf[1] = 1.5
    unsure = replace(pair, conf_pair=conf)
    assert "not sure: 0.406 where neighbours have 2.08" in judge(unsure, candidates, usual=SURE)[0].refused
    assert judge(unsure, candidates, usual=0.7)[0].refused == ""


def test_masked_points_are_no_evidence(revisit):
    pair, candidates = revisit
    nothing = replace(pair, conf_pair=torch.zeros_like(pair.conf_pair))
    assert "three points" in judge(nothing, candidates, usual=SURE)[0].refused


def test_only_accepted_loops_join_the_pairs(revisit):
    pair, candidates = revisit
    local = PlantedWalk(60, errors=Errors(0.0, 0.0, 0.0)).look([(0, 1), (1, 2)])
    joined = with_loops(local, pair, judge(pair, candidates, usual=SURE))
    assert joined.ends[-2:].tolist() == [[0, 58], [58, 0]] and len(joined.ends) == len(local.ends) + 2
    torch.testing.assert_close(joined.points_pair[-2:], pair.points_pair)
    assert with_loops(local, pair, judge(pair, candidates, usual=99.0)) is local


@pytest.mark.slow
def test_loops_improve_a_walk_of_two_laps():
    """200 frames whose local pairs bend the walk; candidates come from tokens, as in a video."""
    walk = PlantedWalk(200, laps=2, size=(12, 16))
    local = walk.look(window(200))
    predictions, loops = close_loops(local, walk.tokens(), walk.look, width=3)
    kept = [loop for loop in loops if not loop.refused]
    assert len(kept) >= 4 and all(walk.shares(*loop.ends) for loop in kept)
    assert all("not sure" in loop.refused for loop in loops if not walk.shares(*loop.ends))
    without, closed = (solve_pose_graph(200, links_of(each)[0]) for each in (local, predictions))
    assert ate(closed, walk) < 0.6 * ate(without, walk)


@pytest.mark.slow
def test_false_loops_are_refused_by_the_solve():
    """Different places that look alike: the network is sure, and its two views agree with each other."""
    false = [(20, 70), (35, 130), (60, 185)]
    walk = PlantedWalk(200, laps=2, size=(12, 16), false=false)
    local = walk.look(window(200))
    candidates = [Revisit(*pair, 1.0) for pair in [*false, (0, 100), (25, 125), (50, 150), (75, 175), (95, 195)]]
    offered = walk.look(both_ways([(each.first, each.second) for each in candidates]))
    loops = judge(offered, candidates, usual=usual_confidence(local, 3))
    assert not any(loop.refused for loop in loops), "all pass as loops"
    links, _ = links_of(with_loops(local, offered, loops))
    solved = solve_pose_graph(200, links)
    rows = zip(links.pairs(), solved.kept.tolist(), solved.residuals.tolist(), strict=True)
    after = after_solving(loops, [{"first": i, "second": j, "kept": k, "residual_m": r} for (i, j), k, r in rows])
    reasons = {loop.ends: loop.refused for loop in after}
    assert all("all other pairs say otherwise" in reasons[pair] for pair in false)
    assert sum(not loop.refused for loop in after) == 5
    is_true = torch.tensor([(min(pair), max(pair)) not in false for pair in links.pairs()])
    assert ate(solved, walk) < 1.2 * ate(solve_pose_graph(200, links.only(is_true)), walk) + 0.003
    report = loops_report(after)
    assert len(report["refused"]) == 3 and len(report["kept"]) == 5 and json.loads(json.dumps(report)) == report


@pytest.mark.slow
def test_a_loop_joins_groups_that_no_other_pair_holds_together():
    walk = PlantedWalk(200, laps=2, size=(12, 16))
    stars = [tuple(k for k in star if (k < 100) == (star[0] < 100)) for star in window(200)]
    local = walk.look(stars)
    assert [len(group) for group in solve_pose_graph(200, links_of(local)[0]).groups] == [100, 100]
    predictions, _ = close_loops(local, walk.tokens(), walk.look, width=3)
    solved = solve_pose_graph(200, links_of(predictions)[0])
    assert solved.groups == [list(range(200))] and ate(solved, walk) < 0.1


def test_without_revisits_nothing_is_predicted():
    walk = PlantedWalk(20, size=(12, 16))
    local = walk.look(window(20))

    def look(stars):
        raise AssertionError("there is nothing to look at")

    assert close_loops(local, walk.tokens(), look, width=3) == (local, [])


def test_the_report_says_how_the_scale_drifts():
    """The network sees every later frame one percent smaller than the last."""
    walk = PlantedWalk(100, errors=Errors(0.0, 0.0, 0.0), size=(12, 16))
    said = walk.look([*window(100), *both_ways([(0, 96)])])
    shrink = 0.99 ** torch.arange(100.0)
    own = (said.points_self.float() * shrink[:, None, None, None]).half()
    pairs = (said.points_pair.float() * shrink[said.ends[:, 0], None, None, None]).half()
    links, _ = links_of(replace(said, points_self=own, points_pair=pairs))
    solved = solve_pose_graph(100, links)
    drift = scale_drift(links, solved.kept, solved.world_from_frame)
    assert drift["log_scale_per_100_frames"] == pytest.approx(-100 * math.log(0.99), rel=0.01)
    assert drift["log_scale_range"] == pytest.approx(-99 * math.log(0.99), rel=0.01)
    loop = drift["loops"][0]
    assert (loop["first"], loop["second"]) == (0, 96) and loop["log_scale"] == pytest.approx(0.0, abs=0.01)
