import os
import pickle

import numpy as np
import pytest

from cut3r.files.pickled import read_pickled, read_pickled_npy, read_pickled_npz

EYE = np.arange(6.0).reshape(2, 3)
PLAIN = {"a": [1, 2.5, "x", None], "b": np.arange(3), 3: np.float64(2)}


def test_plain_values_come_back(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(PLAIN))
    read = read_pickled(tmp_path / "a.pkl")
    assert read["a"] == PLAIN["a"] and read["b"].tolist() == [0, 1, 2] and read[3] == 2


def test_archives_of_objects_and_numbers_come_back(tmp_path):
    path = tmp_path / "a.npz"
    texts = np.array(["a", "längere"], dtype=object)
    np.savez(path, texts=texts, numbers=np.eye(2), groups=np.array({1: [(2, 0.5)]}, dtype=object))
    texts, numbers, groups = read_pickled_npz(path, "texts", "numbers", "groups")
    assert texts.tolist() == ["a", "längere"] and numbers.tolist() == np.eye(2).tolist()
    assert groups.item() == {1: [(2, 0.5)]}
    with pytest.raises(ValueError, match=r"a\.npz cannot be read"):
        read_pickled_npz(path, "absent")


def test_arrays_in_files_of_their_own_come_back(tmp_path):
    path = tmp_path / "a.npy"
    for array in (np.array({"K": np.eye(2)}, dtype=object), np.array(["a", 3], dtype=object), np.asfortranarray(EYE)):
        np.save(path, array, allow_pickle=True)
        read = read_pickled_npy(path)
        assert read.dtype == array.dtype and repr(read.tolist()) == repr(array.tolist())
    np.save(path, np.array(Harmful(), dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npy cannot be read .*may run code"):
        read_pickled_npy(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a\.npy cannot be read"):
        read_pickled_npy(path)


class Harmful:
    def __reduce__(self):
        return os.system, ("true",)


def test_what_could_run_code_is_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": Harmful()}))
    with pytest.raises(ValueError, match=r"posix\.system, which may run code"):
        read_pickled(tmp_path / "a.pkl")
    np.savez(tmp_path / "a.npz", texts=np.array([Harmful()], dtype=object))
    with pytest.raises(ValueError, match="may run code"):
        read_pickled_npz(tmp_path / "a.npz", "texts")


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"no pickle", pickle.dumps(PLAIN)[:-9]])
def test_a_damaged_pickle_names_the_file(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.pkl cannot be read"):
        read_pickled(tmp_path / "a.pkl")


@pytest.mark.parametrize("protocol", range(6))
def test_containers_of_numbers_come_back(tmp_path, protocol):
    content = {(0, 1): [((1, 2), 0.5), ((1, 3), float(np.float64(0.25)))], "a": None}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    assert read_pickled(tmp_path / "a.pkl") == content


def test_numbers_of_numpy_come_back(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({np.int64(3): np.float32(0.5)}))
    assert read_pickled(tmp_path / "a.pkl") == {3: 0.5}
