import numpy as np
import pytest
from scipy.io import savemat

from cut3r.io.matlab import read_mat

DEPTH = np.random.default_rng(0).random((5, 4, 3))


@pytest.fixture
def path(tmp_path):
    savemat(tmp_path / "a.mat", {"Depth": DEPTH, "text": "metres", "wave": np.array([1j])}, do_compression=True)
    return tmp_path / "a.mat"


def test_arrays_come_back_with_their_type(path):
    found = read_mat(path, "Depth")
    assert found.dtype == np.float64 and np.array_equal(found, DEPTH)


@pytest.mark.parametrize(
    ("name", "message"),
    [("K", "it has Depth, text, wave; expected the array K"), ("text", "no array of real"), ("wave", "no array of")],
)
def test_what_is_not_there_is_named(path, name, message):
    with pytest.raises(ValueError, match=message):
        read_mat(path, name)


def read_or_name(path):
    """Read the array; None if that fails with the one error that names the file."""
    try:
        return read_mat(path, "Depth")
    except ValueError as error:
        if "a.mat cannot be read" not in str(error):
            raise
        return None


def test_a_broken_off_file_gives_all_of_the_array_or_is_named(path):
    whole = path.read_bytes()
    found = []
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        found.append(read_or_name(path))
    assert found[0] is None and found[len(found) // 2] is None
    assert all(array is None or np.array_equal(array, DEPTH) for array in found)


def test_damage_of_any_byte_names_the_file(path):
    whole = path.read_bytes()
    found = []
    for position in range(0, len(whole), 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        found.append(read_or_name(path))
    assert sum(array is None for array in found) > len(found) // 2
    with pytest.raises(FileNotFoundError):
        read_mat(path.with_name("b.mat"), "Depth")
