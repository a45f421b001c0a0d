import sys

import h5py
import numpy as np
import pytest

from cut3r.io.hdf5 import hdf5_names, read_hdf5


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["depth"] = np.arange(6000, dtype=np.float16).reshape(60, 100)
        file.create_dataset("packed", data=np.arange(500.0).reshape(20, 25), compression="gzip", chunks=(7, 8))
        file["scene/basenames"] = np.array([b"00000012", b"7"])
        file["scene/deep/words"] = ["größe", ""]  # of any length
        file["one"] = 7
        file["nothing"] = h5py.Empty("f")
        file.create_group("bare")
    return tmp_path / "a.h5"


def test_arrays_come_as_they_are(file):
    assert read_hdf5(file, "depth").dtype == np.float16
    np.testing.assert_array_equal(read_hdf5(file, "depth"), np.arange(6000, dtype=np.float16).reshape(60, 100))
    np.testing.assert_array_equal(read_hdf5(file, "packed"), np.arange(500.0).reshape(20, 25))
    assert read_hdf5(file, "one").shape == ()


def test_strings_come_as_text(file):
    assert read_hdf5(file, "scene/basenames").tolist() == ["00000012", "7"]
    assert read_hdf5(file, "scene/deep/words").tolist() == ["größe", ""]


def test_names_have_their_groups(file):
    assert hdf5_names(file) == ("depth", "nothing", "one", "packed", "scene/basenames", "scene/deep/words")


@pytest.mark.parametrize("name", ["absent", "scene", "", "depth/absent"])
def test_what_is_no_array_lists_the_arrays(file, name):
    with pytest.raises(ValueError, match=rf"a\.h5 cannot be read \(it lacks the array '{name}'; it has 'depth', 'not"):
        read_hdf5(file, name)


def test_an_array_without_shape_is_refused(file):
    with pytest.raises(ValueError, match=r"a\.h5 cannot be read \(its array 'nothing' is empty"):
        read_hdf5(file, "nothing")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.99])
def test_a_file_that_is_cut_off_is_refused_by_name(file, share):
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    for use in (hdf5_names, lambda path: read_hdf5(path, "packed")):
        with pytest.raises(ValueError, match=r"a\.h5 cannot be read"):
            use(file)


def test_a_damaged_array_is_refused_by_name(file):
    with h5py.File(file) as content:
        at = content["packed"].id.get_chunk_info(0).byte_offset
    data = file.read_bytes()
    file.write_bytes(data[:at] + b"\xff" * 20 + data[at + 20 :])
    with pytest.raises(ValueError, match=r"a\.h5 cannot be read"):
        read_hdf5(file, "packed")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_hdf5(tmp_path / "absent.h5", "depth")


def test_without_h5py_the_remedy_is_named(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        ValueError, match=r'a\.h5: HDF5 files need the package h5py .*pip install "cut3r\[preprocess\]"'
    ):
        read_hdf5(file, "depth")
