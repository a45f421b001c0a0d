import os
import stat

import pytest

from cut3r.files.atomic import atomic_path


def test_the_file_appears_under_its_name(tmp_path):
    with atomic_path(tmp_path / "cloud.ply") as temporary:
        temporary.write_text("done")
        assert not (tmp_path / "cloud.ply").exists()
    assert (tmp_path / "cloud.ply").read_text() == "done"
    assert os.listdir(tmp_path) == ["cloud.ply"]


def test_the_temporary_file_is_hidden_in_the_same_folder_with_the_same_suffix(tmp_path):
    with atomic_path(tmp_path / "cloud.ply") as temporary:
        temporary.write_text("")
        assert (temporary.parent, temporary.suffix, temporary.name[0]) == (tmp_path, ".ply", ".")


def test_a_failure_keeps_the_older_file_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "cloud.ply"
    path.write_text("older")

    def interrupted() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "older"
    assert os.listdir(tmp_path) == ["cloud.ply"]


def test_missing_folders_are_created(tmp_path):
    with atomic_path(tmp_path / "a" / "b" / "x.txt") as temporary:
        temporary.write_text("")
    assert (tmp_path / "a" / "b" / "x.txt").is_file()


def test_the_file_has_the_permissions_of_an_ordinary_new_file(tmp_path):
    (tmp_path / "ordinary").write_text("")
    with atomic_path(tmp_path / "atomic") as temporary:
        temporary.write_text("")
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)


def test_a_library_that_makes_private_files_does_not_decide_who_may_read(tmp_path):
    """safetensors writes 0600 whatever the umask says: colleagues and containers could not read such weights."""
    before = os.umask(0o022)
    try:
        with atomic_path(tmp_path / "weights") as temporary:
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "weights").stat().st_mode) == 0o644
