import io
import zipfile

import numpy as np
import pytest

from cut3r.files.archive import read_npz

ARRAYS = {
    "points": np.arange(12, dtype=np.float32).reshape(4, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "names": np.array(["a", "bc"]),
    "none": np.empty((0, 3), np.int32),
    "text": np.array("{}"),
    "flags": np.array([True]),
}


@pytest.fixture
def path(tmp_path):
    np.savez(tmp_path / "arrays.npz", **ARRAYS)
    return tmp_path / "arrays.npz"


def as_npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def test_what_numpy_wrote_is_read_back(path):
    arrays = read_npz(path)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(arrays[name], array)
        assert arrays[name].flags.writeable


def test_a_compressed_member_is_refused_before_it_is_read(path):
    """4 MB of zeros are 4 KB of deflate, and 400 GB are 400 MB."""
    np.savez_compressed(path, zeros=np.zeros(1 << 19))
    with pytest.raises(ValueError, match="a member of it is compressed"):
        read_npz(path)


def test_a_member_that_claims_more_than_the_file_has_is_refused(path):
    content = path.read_bytes()
    place = content.index(b"PK\x01\x02") + 20  # compressed and plain size of the first member in the list at the end
    path.write_bytes(content[:place] + 2 * (1 << 30).to_bytes(4, "little") + content[place + 8 :])
    with pytest.raises(ValueError, match=r"it declares 1,073,\d+,\d+ bytes of content and has"):
        read_npz(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("points.npy", as_npy(np.zeros((4, 3))))
    with pytest.raises(ValueError, match="two members of one name"):
        read_npz(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (as_npy(np.array([{}], dtype=object)), "is not the array that it says it is"),
        (as_npy(np.zeros(3, ">f4")), "is not the array that it says it is"),
        (as_npy(np.zeros(3)).replace(b"(3,)", b"(2,)"), "is not the array that it says it is"),
        (as_npy(np.zeros(3)).replace(b"(3,), }        ", b"(9999999999,),}"), "is not the array that it says it is"),
        (as_npy(np.zeros(3)).replace(b"'shape'", b"'shade'"), "is no array"),
        (as_npy(np.zeros(3))[:40], "is no array"),
        (b"", "is no array"),
        (b"\x93NUMPY\x09\x09" + as_npy(np.zeros(3))[8:], "is no array"),
    ],
)
def test_an_array_that_does_not_match_its_header_is_refused(path, content, message):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(ValueError, match=f"'a.npy' in it {message}"):
        read_npz(path)


def test_every_cut_is_noticed(path):
    content = path.read_bytes()
    for keep in range(0, len(content), 7):
        path.write_bytes(content[:keep])
        with pytest.raises(ValueError, match=r"\w"):
            read_npz(path)


def test_a_changed_bit_is_noticed_or_changes_nothing(path):
    content = path.read_bytes()
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            arrays = read_npz(path)
        except ValueError:
            continue
        assert all(np.array_equal(arrays[name], array) for name, array in ARRAYS.items())
