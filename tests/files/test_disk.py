"""A full disk is called a full disk, whoever notices it; and what cannot be written is known before it is needed."""

import errno
import os
import subprocess
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cut3r.files import disk
from cut3r.files.atomic import atomic_path
from cut3r.files.disk import DiskFullError, check_creatable

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def small_disk(tmp_path: Path):
    """A real disk of half a megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"this test needs the right to mount a disk: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def fail(path: Path, error: Exception) -> None:
    with atomic_path(path):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("12288 requested and 9184 written"),
        RuntimeError('IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })'),
    ],
)
def test_every_way_of_saying_it_becomes_one_sentence_with_the_folder(error, tmp_path):
    with pytest.raises(DiskFullError, match=f"the disk of {tmp_path} is full; make room") as caught:
        fail(tmp_path / "depth.npy", error)
    assert caught.value.errno == errno.ENOSPC
    assert not os.listdir(tmp_path)


def test_an_error_without_a_reason_counts_when_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(1 << 20, 1 << 20, 4096))
    with pytest.raises(DiskFullError):
        fail(tmp_path / "x.pth", RuntimeError("PytorchStreamWriter failed writing file data/0"))


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "no"), OSError("odd"), ValueError("no pose")])
def test_other_errors_stay_what_they_are(error, tmp_path):
    with pytest.raises(type(error)) as caught:
        fail(tmp_path / "x.npy", error)
    assert caught.value is error


def test_a_parent_that_is_a_file_is_not_hidden_by_cleaning_up(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        fail(tmp_path / "file" / "x.npy", ValueError())


@pytest.mark.parametrize("writer", ["numpy", "numpy archive", "safetensors", "torch", "text"])
def test_a_disk_that_is_really_full_is_noticed(writer, small_disk):
    array = np.zeros(1 << 18, np.float32)
    write = {
        "numpy": lambda path: np.save(path, array),
        "numpy archive": lambda path: np.savez(path, array),
        "safetensors": lambda path: save_file({"x": torch.from_numpy(array)}, path),
        "torch": lambda path: torch.save(torch.from_numpy(array), path),
        "text": lambda path: path.write_text("x" * (1 << 20)),
    }[writer]
    with pytest.raises(DiskFullError, match=str(small_disk)), atomic_path(small_disk / "x.npy") as temporary:
        write(temporary.with_suffix(".npz") if writer == "numpy archive" else temporary)


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path):
    (tmp_path / "old.ply").write_text("old")
    check_creatable(tmp_path / "old.ply")
    check_creatable(tmp_path / "new" / "deep" / "x.ply")
    assert os.listdir(tmp_path) == ["old.ply"]
    assert (tmp_path / "old.ply").read_text() == "old"


def test_places_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match="because it is a folder"):
        check_creatable(tmp_path)
    for parent in ("file", "dangling", "file/deeper"):
        with pytest.raises(ValueError, match="is not a folder; name another place"):
            check_creatable(tmp_path / parent / "x.ply")
    with pytest.raises(ValueError, match="File name too long"):
        check_creatable(tmp_path / f"{'x' * 250}.ply")


def test_a_disk_that_takes_no_files_is_refused():
    with pytest.raises(ValueError, match="name a place where you may write"):
        check_creatable(Path("/proc/scene.ply"))
