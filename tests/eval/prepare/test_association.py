"""Pairing by time: the recorded association, and its laws."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eval.prepare.association import associate, read_rows
from tests.eval.sequences.trees import write

stamps = st.lists(st.integers(0, 300), max_size=25).map(lambda ticks: np.array(ticks, np.float64) / 200)


def test_it_is_the_recorded_association(golden):
    with np.load(golden / "eval" / "pose_io" / "associate.npz") as recorded:
        pairs = associate(recorded["stamps_rgb"], recorded["stamps_gt"])
        matched = np.stack([recorded["stamps_rgb"][pairs[:, 0]], recorded["stamps_gt"][pairs[:, 1]]], axis=1)
        np.testing.assert_array_equal(matched, recorded["matches"])


@given(first=stamps, second=stamps)
def test_each_stamp_has_one_partner_and_no_closer_pair_is_left_free(first, second):
    pairs = associate(first, second)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    gaps = np.abs(first[pairs[:, 0]] - second[pairs[:, 1]])
    assert (gaps < 0.02).all() and (np.diff(first[pairs[:, 0]]) >= 0).all()
    free = np.abs(np.subtract.outer(np.delete(first, pairs[:, 0]), np.delete(second, pairs[:, 1])))
    assert not (free < 0.02).any()


def test_of_two_equal_gaps_the_earlier_stamps_win():
    assert associate(np.array([0.0, 0.5]), np.array([0.25]), 0.3).tolist() == [[0, 0]]
    assert associate(np.array([0.25]), np.array([0.5, 0.0]), 0.3).tolist() == [[0, 1]]


def test_lists_may_have_comments_commas_and_tabs(tmp_path):
    write(tmp_path / "rgb.txt", "# timestamp filename\n1.5,rgb/1.5.png\n\n1.6\trgb/1.6.png\n")
    times_s, rows = read_rows(tmp_path / "rgb.txt")
    assert times_s.tolist() == [1.5, 1.6] and rows == [["1.5", "rgb/1.5.png"], ["1.6", "rgb/1.6.png"]]
