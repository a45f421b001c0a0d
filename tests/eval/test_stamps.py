"""Rows of a predicted path are taken in order; their time stamps must agree with that."""

import logging

import numpy as np
import pytest

from eval.systems.stamps import require_stamps_of_pictures, rows_of_pictures, stamps_in_names

NUMBERED = tuple(f"frame-{number:06d}.color" for number in range(6))
CLOCK_S = 1341846313.5 + np.array([0, 0.033, 0.068, 0.101, 0.168, 0.2])  # a picture was dropped
NAMED_BY_TIME = tuple(f"{time:.6f}" for time in CLOCK_S)


def check(stamps, stems=NUMBERED, times_s=None, path="cameras.tum"):
    require_stamps_of_pictures(np.array(stamps, np.float64), stems, times_s, path)


@pytest.mark.parametrize(
    "stamps",
    [[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6], np.arange(6) / 30, 100 + np.arange(6) / 30, [0, 5, 10, 15, 20, 25]],
)
def test_any_origin_and_unit_will_do(stamps):
    check(stamps)


def test_a_lost_picture_shows_in_the_spacing():
    with pytest.raises(
        ValueError, match=r"cameras\.tum: the time stamps are not spaced like the pictures, first in row 6"
    ):
        check([1, 2, 3, 4, 5, 7])
    with pytest.raises(ValueError, match="first in row 4"):
        check([0, 1, 2, 4, 5, 6])


@pytest.mark.parametrize(
    "stamps", [[0, 2, 1, 3, 4, 5], [0, 1, 1, 2, 3, 4], [5, 4, 3, 2, 1, 0], [0, 1, np.nan, 3, 4, 5]]
)
def test_rows_must_increase(stamps):
    with pytest.raises(ValueError, match="do not increase"):
        check(stamps)


def test_the_gaps_of_a_real_clock_are_known():
    check(CLOCK_S, NAMED_BY_TIME)
    check(CLOCK_S - CLOCK_S[0] + 0.004, NAMED_BY_TIME)
    check(range(6), NAMED_BY_TIME)  # counted rows have no clock
    check(CLOCK_S + 0.005, ("a", "b", "c", "d", "e", "f"), CLOCK_S)
    with pytest.raises(ValueError, match="first in row 5"):
        check(CLOCK_S[0] + np.arange(6) / 30, NAMED_BY_TIME)


def test_a_path_that_is_shifted_as_a_whole_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        check([2, 3, 4, 5, 6, 7])
    assert "begin 2.0 pictures after the pictures themselves" in caplog.text


def test_pictures_without_stamps_leave_only_the_order():
    check([1, 2, 3, 4, 5, 7], tuple("abcdef"))


def test_the_stamp_in_a_name_is_the_number_by_which_names_differ():
    names = ("2011_09_26_drive_0002_sync_image_0000000005_02", "2011_09_26_drive_0002_sync_image_0000000007_02")
    assert stamps_in_names(names).tolist() == [5, 7]
    assert stamps_in_names(("a1b1", "a2b2")) is None
    assert stamps_in_names(("a1", "a1b2")) is None
    assert stamps_in_names(("a2", "a1")) is None


def rows(stamps, stems=NUMBERED, times_s=None):
    return rows_of_pictures(np.array(stamps, np.float64), stems, times_s, "cameras.tum").tolist()


def test_keyframes_are_associated_by_the_numbers_in_names():
    assert rows([0, 2, 5]) == [0, -1, 1, -1, -1, 2]
    with pytest.raises(
        ValueError, match="3 rows for 6 pictures, stamped 0 to 7, which is not the clock of the pictures"
    ):
        rows([0, 2, 7])  # of another count: no row may be left over


def test_a_path_on_the_clock_of_the_set_is_associated_as_evo_does():
    stems = tuple("abcdef")
    assert rows(CLOCK_S[[1, 4]] + 0.004, stems, CLOCK_S) == [-1, 0, -1, -1, 1, -1]
    fast = np.sort(np.concatenate([CLOCK_S + 0.002, CLOCK_S + 0.009, CLOCK_S - 1.0]))
    assert rows(fast, stems, CLOCK_S) == [6, 8, 10, 12, 14, 16]
    assert rows([*CLOCK_S[1:], CLOCK_S[-1] + 0.033], stems, CLOCK_S) == [-1, 0, 1, 2, 3, 4]  # the first one is lost
    with pytest.raises(ValueError, match="is not the clock of the pictures"):
        rows(CLOCK_S[[1, 4]] + 0.5, stems, CLOCK_S)


def test_rows_that_are_only_counted_do_not_say_which_pictures_they_are_of():
    with pytest.raises(ValueError, match="only counted"):
        rows([0, 1, 2])
    with pytest.raises(ValueError, match="they have none"):
        rows([3.5, 4.5], tuple("abcdef"))
    assert rows(range(6)) == list(range(6))
