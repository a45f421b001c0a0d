import math

import numpy as np
import pytest

from cut3r.io.numbers import number, read_matrix, read_rows


@pytest.mark.parametrize("word", ["-1.#IND", "1.#QNAN", "-1.#IND00", "1.#SNAN", "nan", "-nan"])
def test_not_a_number_is_understood_in_all_spellings(word):
    assert math.isnan(number(word))


@pytest.mark.parametrize(("word", "value"), [("1.#INF", math.inf), ("-1.#INF00", -math.inf), ("inf", math.inf)])
def test_infinity_is_understood_in_all_spellings(word, value):
    assert number(word) == value


@pytest.mark.parametrize("text", ["1 2\n3 4\n", "1, 2\n3, 4\n", "1,2\r\n3,4", "\ufeff# a matrix\n1 2 3 4 # end\n"])
def test_blanks_commas_comments_and_marks_of_encoding_are_understood(tmp_path, text):
    path = tmp_path / "m.txt"
    path.write_text(text, encoding="utf-8")
    assert (read_matrix(path, 2, 2) == np.array([[1, 2], [3, 4]])).all()


def test_rows_come_with_their_lines(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_text("# time x\n\n1 -1.#IND\n2,3\n")
    rows, lines = read_rows(path, 2, "time x")
    np.testing.assert_array_equal(rows, [[1, np.nan], [2, 3]])
    assert lines == [3, 4]


@pytest.mark.parametrize(
    ("text", "said"), [("1 2\n3 x\n", "line 2: .*'x'"), ("1 2\n3\n", "line 2: 1 numbers; expected 2")]
)
def test_a_bad_line_is_named_with_its_file(tmp_path, text, said):
    path = tmp_path / "rows.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"rows\.txt, {said}"):
        read_rows(path, 2, "time x")


def test_bytes_that_are_no_text_are_refused_by_name(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_bytes(b"\xff\xfe1\x002\x00")
    with pytest.raises(ValueError, match=r"rows\.txt is no text file"):
        read_rows(path, 2, "time x")


def test_a_matrix_of_another_size_is_refused_by_name(tmp_path):
    path = tmp_path / "m.txt"
    path.write_text("1 2 3")
    with pytest.raises(ValueError, match=r"m\.txt holds 3 numbers; expected the 4 of a 2x2 matrix"):
        read_matrix(path, 2, 2)
