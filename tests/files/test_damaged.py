import zlib

import pytest

from cut3r.files.damaged import naming_the_file


@pytest.mark.parametrize("error", [EOFError(), KeyError("depth"), zlib.error("bad"), MemoryError(), OSError("cut off")])
def test_what_damaged_files_raise_names_the_file(tmp_path, error):
    with pytest.raises(ValueError, match=r"a\.npz cannot be read \(.+\); copy"), naming_the_file(tmp_path / "a.npz"):
        raise error


@pytest.mark.parametrize("error", [FileNotFoundError("a"), TypeError("a fault of ours")])
def test_other_errors_stay_as_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, naming_the_file(tmp_path / "a.npz"):
        raise error
    assert caught.value is error
