import os
import pickle

import numpy as np
import pytest

from cut3r.files.plain_pickle import read_plain_pickle


@pytest.mark.parametrize("protocol", range(6))
def test_containers_of_numbers_come_back(tmp_path, protocol):
    content = {(0, 1): [((1, 2), 0.5), ((1, 3), float(np.float64(0.25)))], "a": None}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    assert read_plain_pickle(tmp_path / "a.pkl") == content


def test_numbers_of_numpy_come_back(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({np.int64(3): np.float32(0.5)}))
    assert read_plain_pickle(tmp_path / "a.pkl") == {3: 0.5}


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize("content", [pickle.dumps(Evil()), b"", b"\x80\x04.", b"nonsense", pickle.dumps([1, 2])[:-4]])
def test_anything_else_is_refused_by_name(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.pkl cannot be read"):
        read_plain_pickle(tmp_path / "a.pkl")
    assert not (tmp_path / "made-by-a-pickle").exists()
