"""Stars and the pairs they give."""

import json

import pytest

from cut3r.alignment.graphs import (
    both_ways,
    complete,
    components,
    name_groups,
    one_reference,
    original,
    pairs_of,
    sorted_pairs,
    window,
)


@pytest.mark.parametrize("n", range(1, 9))
def test_the_originals_stars_and_pairs_are_as_recorded(golden, n):
    recorded = json.loads((golden / "inference" / "pair_graphs.json").read_text())[str(n)]
    stars = original(n)
    assert [list(star) for star in stars] == recorded["sequences"]
    assert [list(pair) for pair in pairs_of(stars)] == recorded["edges_in_order_of_prediction"]
    assert [list(pair) for pair in sorted_pairs(pairs_of(stars))] == recorded["edges_sorted"]
    assert sum(map(len, stars)) == recorded["n_frame_steps"] == n * (n - 1) // 2 + 2 * n - 1


def test_all_pairs_are_all_pairs():
    assert sorted(pairs_of(complete(4))) == [(i, j) for i in range(4) for j in range(4) if i != j]


def test_a_window_pairs_neighbours_both_ways_and_grows_linearly():
    pairs = pairs_of(window(100))
    assert set(pairs) == {(i, j) for i in range(100) for j in range(100) if 0 < abs(i - j) <= 3}
    assert len(pairs) == len(set(pairs)) == 2 * (99 + 98 + 97)


def test_powers_reach_far():
    assert {j - i for i, j in pairs_of(window(40, 3, powers=True)) if i < j} == {1, 2, 3, 4, 8, 16, 32}


def test_few_pairs_of_each_distance_bridge_any_moment():
    pairs = [(i, j) for i, j in pairs_of(window(600, 3, powers=True)) if i < j]
    for distance in (4, 8, 64, 256):
        bridges = [sum(i < moment <= j for i, j in pairs if j - i == distance) for moment in range(1, 600)]
        assert max(bridges) == min(distance, 8)


def test_one_reference_pairs_each_frame_once():
    assert one_reference(5, 2) == [(2, 3, 4), (2, 1, 0)]


def test_loops_are_read_from_both_ends():
    assert both_ways([(3, 90)]) == [(3, 90), (90, 3)]


@pytest.mark.parametrize("graph", [complete, window])
def test_a_single_frame_has_no_pairs(graph):
    assert graph(1) == []


def test_groups_without_a_pair_between_them_are_found_and_named():
    groups = components(6, [(0, 1), (1, 2), (5, 3)])
    assert groups == [[0, 1, 2], [3, 5], [4]]
    assert name_groups(groups) == "frames 0 to 2; 2 frames from 3 to 5; frame 4 alone"


@pytest.mark.parametrize("wrong", [lambda: window(5, 0), lambda: one_reference(5, 5), lambda: original(0)])
def test_graphs_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="give"):
        wrong()
