import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cut3r.io.pfm import read_pfm, write_pfm

SIDES = st.integers(1, 7)
SHAPES = st.one_of(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES, st.just(3)))
VALUES = SHAPES.flatmap(lambda shape: arrays.arrays(np.float32, shape))  # with nan, infinite and subnormal ones


@given(values=VALUES)
def test_reading_undoes_writing(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("pfm") / "a.pfm"
    write_pfm(path, values)
    np.testing.assert_array_equal(read_pfm(path), values)


@given(
    values=VALUES,
    order=st.sampled_from([("<f4", "-"), (">f4", "")]),
    scale=st.sampled_from(["1", "1.0", "1.000000", "0.00333", "5e-1"]),
    after=st.sampled_from(["", " ", "\t", "\r", "  \r"]),
)
def test_headers_of_all_programs_are_understood(tmp_path_factory, values, order, scale, after):
    path = tmp_path_factory.mktemp("pfm") / "a.pfm"
    kind = "Pf" if values.ndim == 2 else "PF"
    header = f"{kind}{after}\n{values.shape[1]} {values.shape[0]}{after}\n{order[1]}{scale}{after}\n"
    path.write_bytes(header.encode() + values[::-1].astype(order[0]).tobytes())
    np.testing.assert_array_equal(read_pfm(path), values)


def test_the_first_row_in_the_file_is_the_lowest(tmp_path):
    (tmp_path / "a.pfm").write_bytes(b"Pf\n1 2\n-1.0\n" + np.array([7, 8], "<f4").tobytes())
    assert read_pfm(tmp_path / "a.pfm").tolist() == [[8], [7]]
    write_pfm(tmp_path / "b.pfm", np.array([[8], [7]], np.float32))
    assert (tmp_path / "b.pfm").read_bytes() == (tmp_path / "a.pfm").read_bytes()


def test_pixels_that_look_like_blanks_are_pixels(tmp_path):
    data = b"\n \n " * 6
    (tmp_path / "a.pfm").write_bytes(b"Pf\n3 2\n-1\n" + data)
    np.testing.assert_array_equal(read_pfm(tmp_path / "a.pfm"), np.frombuffer(data, "<f4").reshape(2, 3))


def test_a_file_that_is_cut_off_anywhere_is_refused_by_name(tmp_path):
    write_pfm(tmp_path / "whole.pfm", np.ones((2, 3), np.float32))
    data = (tmp_path / "whole.pfm").read_bytes()
    for content in [*(data[:length] for length in range(len(data))), data + b"\0"]:
        (tmp_path / "part.pfm").write_bytes(content)
        with pytest.raises(ValueError, match=r"part\.pfm cannot be read"):
            read_pfm(tmp_path / "part.pfm")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"P5\n1 1\n255\n", "does not begin as a PFM"),
        (b"Pf\n1 1\n0\n", "its scale is 0"),
        (b"Pf\n1 1\nnan\n", "its scale is nan"),
        (b"Pf\n1 1\nwide\n", "could not convert"),
        (b"Pf\n999999999 999999999\n-1\n", "4 bytes follow its header instead of"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, header, message):
    (tmp_path / "a.pfm").write_bytes(header + b"\0\0\0\0")
    with pytest.raises(ValueError, match=rf"a\.pfm cannot be read \(.*{message}"):
        read_pfm(tmp_path / "a.pfm")


def test_no_file_and_no_pixels(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_pfm(tmp_path / "absent.pfm")
    with pytest.raises(ValueError, match="have no pixels"):
        write_pfm(tmp_path / "a.pfm", np.ones((0, 3), np.float32))
