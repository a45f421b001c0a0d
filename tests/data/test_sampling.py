import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.data.sampling import MaskProbabilities, SamplingPolicy, Wanted, block_shuffle, cut_off
from cut3r.data.scene import Scene

DEFAULT = SamplingPolicy()
# common.md C9, golden: seed, views, start, frames, policy, positions, video
GOLDEN_WALKS = [
    (0, 4, 0, 100, DEFAULT, "0 7 14 21", True),
    (1, 4, 0, 100, DEFAULT, "0 12 25 44", True),
    (2, 4, 0, 100, DEFAULT, "0 28 21 31", False),
    (3, 4, 0, 100, DEFAULT, "24 29 0 21", False),
    (4, 4, 10, 100, SamplingPolicy(8, 0.8, 0.5, 16), "16 32 24 10", False),
    (5, 8, 90, 100, SamplingPolicy(30, 0.6, 0.6, 16), "90 91 92 93 94 95 96 97", True),
    (6, 8, 92, 100, DEFAULT, "92 93 94 95 96 97 98 99", True),
    (
        *(7, 24, 5, 100, SamplingPolicy(8, 0.0, block_shuffle=16)),
        "33 5 77 58 45 55 68 38 13 76 19 52 81 25 54 61 98 47 97 29 88 43 90 95",
        False,
    ),
    (0, 16, 92, 100, SamplingPolicy(8, 0.8), "79 87 86 85 84 84 87 81 86 85 79 83 87 84 79 86", False),
    (1, 16, 92, 100, SamplingPolicy(8, 0.8), "44 49 56 64 65 67 74 44 49 56 64 65 67 74 44 49", True),
    (5, 16, 92, 100, SamplingPolicy(8, 0.8), "62 64 66 68 70 72 74 62 64 66 68 70 72 74 62 64", True),
    (11, 16, 92, 100, SamplingPolicy(5, 1.0, 0.9), "12 13 14 15 16 17 18 12 13 14 15 16 17 18 12 13", True),
]


@pytest.mark.parametrize(("seed", "views", "start", "frames", "policy", "positions", "video"), GOLDEN_WALKS)
def test_walks_are_the_originals(seed, views, start, frames, policy, positions, video):
    choice = policy.walk(start, frames, views, np.random.default_rng(seed))
    assert choice.positions == [int(position) for position in positions.split()]
    assert choice.is_video is video


@given(
    seed=st.integers(0, 2**31),
    frames=st.integers(3, 60),
    views=st.integers(1, 40),
    start=st.integers(0, 59),
    video=st.floats(0, 1),
    block=st.sampled_from([None, 4, 16]),
)
def test_a_walk_has_the_wanted_number_of_existing_frames(seed, frames, views, start, video, block):
    start = min(start, frames - 3)
    positions, is_video = SamplingPolicy(8, video, 0.5, block).walk(start, frames, views, np.random.default_rng(seed))
    assert len(positions) == views
    assert all(0 <= position < frames for position in positions)
    if frames - start >= views:
        assert len(set(positions)) == views, "frames repeat only where there are too few"
        assert min(positions) == start
        assert not is_video or positions == sorted(positions)


def test_a_single_view_is_the_start_itself():
    assert DEFAULT.walk(7, 20, 1, np.random.default_rng(0)).positions == [7]


def test_a_reversed_policy_turns_the_same_frames_around():
    forward = DEFAULT.walk(0, 100, 4, np.random.default_rng(0)).positions
    assert SamplingPolicy(reverse=True).walk(0, 100, 4, np.random.default_rng(0)).positions == forward[::-1]


def test_repeating_needs_two_frames_after_the_start():
    with pytest.raises(ValueError, match="too late for 8 views"):
        DEFAULT.walk(18, 20, 8, np.random.default_rng(0))


def test_each_frame_with_enough_frames_behind_it_is_a_start():
    scene = Scene("a", tuple("abcdefghij"))
    assert DEFAULT.entries(scene, Wanted(2, 4)) == 7, "the largest number of views counts"
    assert DEFAULT.entries(scene, Wanted(4, 11)) == 0
    assert DEFAULT.entries(scene, Wanted(4, 12, allow_repeat=True)) == 7


@pytest.mark.parametrize(("views", "repeat", "frames"), [(64, False, 64), (64, True, 21), (4, True, 3), (4, False, 4)])
def test_how_many_frames_a_sequence_needs(views, repeat, frames):
    assert cut_off(views, allow_repeat=repeat) == frames


def test_block_shuffle_is_the_originals():
    shuffled = block_shuffle(list(range(10)), 4, np.random.default_rng(0))
    assert shuffled == [2, 0, 1, 3, 7, 6, 5, 4, 9, 8]
    shuffled = block_shuffle(list(range(10)), None, np.random.default_rng(0))
    assert shuffled == [4, 6, 2, 7, 3, 5, 9, 0, 8, 1]


@pytest.mark.parametrize(("seed", "letters"), [(0, "IIIIIRRI"), (1, "IIBIRIIR"), (2, "IIIRIIII")])
def test_which_inputs_a_view_shows_is_the_originals(seed, letters):
    rng = np.random.default_rng(seed)
    drawn = [MaskProbabilities().draw(view, True, rng) for view in range(8)]
    assert drawn == [{"I": (True, False), "R": (False, True), "B": (True, True)}[letter] for letter in letters]


def test_samples_without_metric_scale_show_images_and_draw_nothing():
    rng = np.random.default_rng(0)
    assert [MaskProbabilities(0.0, 1.0, 0.0).draw(view, False, rng) for view in range(8)] == [(True, False)] * 8
    assert rng.random() == np.random.default_rng(0).random()
