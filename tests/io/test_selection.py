import logging
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.io.selection import FrameOptions, Selector, SortOrder, natural_key, sort_paths, spread


def kept(options, times_s):
    selector = Selector(options)
    return [index for index, time_s in enumerate(times_s) if selector.keeps(index, float(time_s))]


def test_start_end_and_every_count_in_the_source():
    assert kept(FrameOptions(start=2, end=9, every=3), range(20)) == [2, 5, 8]


def test_after_a_gap_the_next_frame_is_taken():
    selector = Selector(FrameOptions(every=10))
    assert [index for index in (0, 3, 12, 15, 21, 30) if selector.keeps(index, None)] == [0, 12, 21, 30]


def test_fps_keeps_the_first_frame_at_or_after_each_tick():
    assert kept(FrameOptions(fps=2.0), [0, 0.3, 0.55, 0.9, 1.0, 1.2, 2.7, 2.9, 3.1]) == [0, 2, 4, 6, 8]


def test_fps_ticks_start_with_the_first_frame_of_the_range():
    assert kept(FrameOptions(start=3, fps=1.0), [0.1 * i for i in range(40)]) == [3, 13, 23, 33]


def test_time_stamps_rounded_to_milliseconds_lose_no_frame():
    assert kept(FrameOptions(fps=30.0), [round(i / 30, 3) for i in range(90)]) == list(range(90))


def test_fps_thins_what_every_leaves():
    assert kept(FrameOptions(every=4, fps=5.0), [0.1 * i for i in range(21)]) == [0, 4, 8, 12, 16, 20]
    assert kept(FrameOptions(every=3, fps=2.0), [0.1 * i for i in range(21)]) == [0, 6, 12, 15]


@given(count=st.integers(1, 500), chosen=st.integers(1, 500))
def test_spread_chooses_distinct_positions_from_first_to_last(count, chosen):
    positions = spread(count, chosen)
    assert len(positions) == min(count, chosen)
    assert positions == sorted(set(positions))
    assert positions[0] == 0
    assert positions[-1] == count - 1 or chosen == 1


def test_spread_rounds_as_specified():
    assert spread(10, 4) == [0, 3, 6, 9]
    assert spread(11, 5) == [0, 2, 5, 8, 10]  # 2.5 and 7.5 round to even


@given(st.permutations(["1.png", "2.png", "10.png", "a1b2.png", "a1b10.png", "A2.png", "b.png", "01.png"]))
def test_natural_order_compares_numbers_as_numbers(names):
    expected = ["01.png", "1.png", "2.png", "10.png", "a1b2.png", "a1b10.png", "A2.png", "b.png"]
    assert sorted(names, key=natural_key) == expected


@pytest.fixture
def numbered(tmp_path):
    paths = [tmp_path / name for name in ("frame_10.png", "frame_2.png")]
    for age, path in enumerate(reversed(paths)):
        path.touch()
        os.utime(path, (100 - age, 100 - age))
    return paths


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (SortOrder.natural, ["frame_2.png", "frame_10.png"]),
        (SortOrder.name, ["frame_10.png", "frame_2.png"]),
        (SortOrder.mtime, ["frame_10.png", "frame_2.png"]),
    ],
)
def test_sort_orders(numbered, order, names):
    assert [path.name for path in sort_paths(numbered, order)] == names


def test_a_warning_says_when_orders_differ(numbered, caplog):
    sort_paths(numbered, SortOrder.natural)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "--sort" in caplog.text


def test_no_warning_when_orders_agree(numbered, caplog):
    sort_paths(numbered[:1], SortOrder.natural)
    assert not caplog.records


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": -1},
        {"start": 5, "end": 5},
        {"every": 0},
        {"fps": 0.0},
        {"fps": float("nan")},
        {"max_frames": 0},
        {"background": (0, 0, 256)},
    ],
)
def test_wrong_options_are_named(wrong):
    with pytest.raises(ValueError, match=f"^{[*wrong][-1]} is "):
        FrameOptions(**wrong)


def test_parity_sorts_by_name():
    assert FrameOptions(parity=True).sort is SortOrder.name
