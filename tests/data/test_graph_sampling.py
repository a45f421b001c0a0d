import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.data.graph_sampling import (
    GroupPolicy,
    OverlapPolicy,
    WalkPolicy,
    component_sizes,
    walk_once,
    walk_with_repeats,
)
from cut3r.data.sampling import SamplingPolicy, Wanted
from cut3r.data.scene import Graph, Scene
from cut3r.data.set_sampling import OriginalDraw, SetPolicy, UnrelatedPolicy

FRAMES = tuple(str(i) for i in range(20))
# Frame 3 sees the same as five others, the more the earlier they are named; the first ten frames are by one camera.
PAIRS = np.array([[3, other, 1 - 0.1 * i] for i, other in enumerate((19, 18, 4, 5, 12))])
SCENE = Scene("room", FRAMES, graph=Graph.from_pairs(20, PAIRS), anchors=[3], tracks=[0] * 10 + [1] * 10)
MEMBERS = {3, 19, 18, 4, 5, 12}


def choose_of_group(seed, *, video_share, ordered_share=0.0, views=4, scene=SCENE, **options):
    policy = GroupPolicy(SamplingPolicy(3), video_share, ordered_share, **options)
    return policy.choose(scene, 0, Wanted(views, 4), np.random.default_rng(seed))


@given(seed=st.integers(0, 2**31))
def test_a_group_sample_holds_members_and_a_video_sample_frames_of_one_camera(seed):
    assert set(choose_of_group(seed, video_share=0.0).positions) <= MEMBERS
    positions = choose_of_group(seed, video_share=1.0).positions
    assert max(positions) < 10 or min(positions) >= 10


@given(seed=st.integers(0, 2**31))
def test_parity_walks_along_the_other_camera(seed):
    assert min(choose_of_group(seed, video_share=1.0, parity=True).positions) >= 10


@given(seed=st.integers(0, 2**31))
def test_ordered_draws_are_sorted(seed):
    choice = choose_of_group(seed, video_share=0.0, ordered_share=1.0)
    assert choice.is_video and choice.positions == sorted(set(choice.positions))


def test_the_best_members_come_first():
    pairs = np.array([[19, other, 1 / (20 - other)] for other in range(19)])
    scene = Scene("room", FRAMES, graph=Graph.from_pairs(20, pairs), anchors=[19])
    drawn = {p for seed in range(50) for p in choose_of_group(seed, video_share=0.0, views=2, scene=scene).positions}
    assert min(drawn) == 13, "two views choose among the best four to seven"
    options = {"video_share": 0.0, "views": 2, "scene": scene, "parity": True}
    assert max(p for seed in range(50) for p in choose_of_group(seed, **options).positions) == 6


def test_a_group_that_is_too_small_repeats():
    choice = choose_of_group(0, video_share=0.0, views=8)
    assert len(choice.positions) == 8 and set(choice.positions) <= MEMBERS


def test_anchors_need_enough_partners():
    policy = GroupPolicy(SamplingPolicy(), 0.7, 0.05)
    everyone = Scene("room", FRAMES, graph=SCENE.graph)
    assert [policy.entries(everyone, Wanted(4, most)) for most in (1, 4, 6, 7)] == [20, 1, 1, 0]
    repeating = Wanted(4, 18, allow_repeat=True)
    assert policy.entries(everyone, repeating) == 1
    assert GroupPolicy(SamplingPolicy(), 0.7, 0.05, parity=True).entries(everyone, repeating) == 0


def chain(count):
    """Each frame sees three on either side, the nearer the better."""
    pairs = [(i, j, 1 - 0.2 * abs(i - j) - 0.2) for i in range(count) for j in range(count) if 0 < abs(i - j) <= 3]
    return Graph.from_pairs(count, np.array(pairs))


@pytest.mark.parametrize(("seed", "walk"), list(enumerate(([0, 2, 4, 6], [0, 2, 5, 6], [0, 1, 2, 3], [0, 1, 2, 3]))))
def test_a_walk_over_different_frames_is_the_originals(seed, walk):
    assert walk_once(chain(8), 0, 4, np.random.default_rng(seed)) == walk


@pytest.mark.parametrize(
    ("seed", "walk"),
    [
        (0, [0, 2, 1, 3, 4, 6, 7, 5, 6, 5, 7, 6]),
        (1, [0, 2, 5, 3, 6, 4, 1, 3, 2, 3, 0, 2]),
        (2, [0, 1, 2, 4, 3, 5, 7, 6, 3, 2, 3, 4]),
        (3, [0, 1, 2, 4, 5, 3, 6, 7, 4, 5, 3, 2]),
    ],
)
def test_a_walk_with_repeats_is_the_originals(seed, walk):
    assert walk_with_repeats(chain(8), 0, 12, 3, np.random.default_rng(seed)) == walk


def test_a_search_that_finds_no_walk_ends():
    hub = [(0, i, 1.0) for i in range(1, 20)] + [(i, 0, 1.0) for i in range(1, 20)]
    with pytest.raises(ValueError, match="no walk of 4 different frames begins at frame 0"):
        walk_once(Graph.from_pairs(20, np.array(hub)), 0, 4, np.random.default_rng(0))
    groups = [(i, j, 1.0) for group in (range(12), range(11, 24)) for i in group for j in group if i != j]
    with pytest.raises(ValueError, match="or none is found"):
        walk_once(Graph.from_pairs(24, np.array(groups)), 11, 20, np.random.default_rng(0))


def test_walks_begin_where_enough_frames_can_be_reached():
    pairs = [(i, j, 1.0) for group in (range(5), range(5, 7)) for i in group for j in group if i != j]
    graph = Graph.from_pairs(8, np.array(pairs))
    assert component_sizes(graph) == [5] * 5 + [2] * 2 + [1]
    scene = Scene("a", FRAMES[:8], graph=graph)
    assert WalkPolicy().entries(scene, Wanted(4, 4)) == 5
    assert WalkPolicy().entries(scene, Wanted(2, 2)) == 7
    assert set(WalkPolicy().choose(scene, 4, Wanted(4, 4), np.random.default_rng(0)).positions) <= set(range(5))
    with pytest.raises(ValueError, match="no walk of 3 different frames begins at frame 5"):
        walk_once(graph, 5, 3, np.random.default_rng(0))
    with pytest.raises(ValueError, match="shows 2 different frames of the 3"):
        walk_with_repeats(graph, 5, 9, 3, np.random.default_rng(0))


@given(seed=st.integers(0, 2**31))
def test_partners_follow_the_anchor(seed):
    positions = OverlapPolicy().choose(SCENE, 0, Wanted(4, 4), np.random.default_rng(seed)).positions
    assert positions[0] == 3 and len(set(positions)) == 4 and set(positions) <= MEMBERS


def test_what_sees_the_same_takes_the_place_of_a_broken_frame_first():
    order = list(OverlapPolicy().substitutes(SCENE, 3, np.random.default_rng(0)))
    assert set(order[:5]) == MEMBERS - {3} and set(order) == set(range(20)) - {3}


@given(seed=st.integers(0, 2**31))
def test_a_sample_of_a_set_is_a_part_of_it(seed):
    rng = np.random.default_rng(seed)
    assert len(set(SetPolicy().choose(SCENE, 0, Wanted(8, 8), rng).positions)) == 8
    assert sorted(SetPolicy().substitutes(SCENE, 3, rng)) == [p for p in range(20) if p != 3]


def test_sets_need_as_many_photos_as_views():
    assert [SetPolicy().entries(SCENE, Wanted(4, most)) for most in (20, 21)] == [1, 0]
    with pytest.raises(ValueError, match="20 photos are too few for 21 different views"):
        SetPolicy().choose(SCENE, 0, Wanted(21, 21), np.random.default_rng(0))


@given(seed=st.integers(0, 2**31), entry=st.integers(0, 19))
def test_unrelated_pictures_are_different_and_begin_with_the_entry(seed, entry):
    positions = UnrelatedPolicy().choose(SCENE, entry, Wanted(4, 4), np.random.default_rng(seed)).positions
    assert positions[0] == entry and len(set(positions)) == 4 and set(positions) <= set(range(20))


def test_parity_draws_unrelated_pictures_from_a_generator_of_their_own():
    rng = np.random.default_rng(5)
    seed = int(np.random.default_rng(5).integers(0, 2**32)) + 7
    expected = np.random.default_rng(seed).choice(20, 4, replace=False).tolist()
    assert UnrelatedPolicy(OriginalDraw.once).choose(SCENE, 7, Wanted(4, 4), rng).positions == expected


def test_parity_goes_on_with_the_same_generator_where_the_original_does():
    own = np.random.default_rng(int(np.random.default_rng(5).integers(0, 2**32)) + 7)
    choice = UnrelatedPolicy(OriginalDraw.again).choose(SCENE, 7, Wanted(4, 4), np.random.default_rng(5))
    for _ in range(3):
        assert next(choice.rounds) == own.choice(20, 4, replace=False).tolist()
    own = np.random.default_rng(int(np.random.default_rng(5).integers(0, 2**32)) + 7)
    choice = UnrelatedPolicy(OriginalDraw.in_line).choose(SCENE, 7, Wanted(4, 4), np.random.default_rng(5))
    order = own.permutation(20).tolist()
    assert choice.positions == order[:4] and list(choice.rounds) == [[position] for position in order]


@pytest.mark.parametrize("draw", OriginalDraw)
def test_parity_needs_as_many_pictures_as_views(draw):
    with pytest.raises(ValueError, match="20 pictures are too few for 21 different views"):
        UnrelatedPolicy(draw).choose(SCENE, 0, Wanted(21, 21, allow_repeat=True), np.random.default_rng(0))


def test_pairs_of_frames_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="name frame 9 of a scene of 5 frames"):
        Graph.from_pairs(5, np.array([[0, 9, 1.0]]))
