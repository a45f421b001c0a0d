"""Predictions on disk: what is done stays done, what belongs to something else does not count."""

import errno
import json

import numpy as np
import pytest
import torch

from cut3r.alignment import store
from cut3r.alignment.store import RECORD, PredictionStore, remove_predictions
from cut3r.files.disk import DiskFullError

ENDS = [(0, 1), (1, 0), (1, 2)]
SIZE = (4, 6)


def opened(folder, *, ends=ENDS, key="a"):
    return PredictionStore(3, ends, SIZE, folder=folder, key=key)


def fill(some: PredictionStore, anchor: int) -> None:
    some.put_alone(anchor, torch.full((*SIZE, 3), anchor + 1).half(), torch.full(SIZE, 2.0).half())
    for pair in ENDS:
        if pair[0] == anchor:
            some.put_pair(pair, torch.full((*SIZE, 3), 10 * anchor + pair[1]).half(), torch.full(SIZE, 3.0).half())
    some.finish([anchor])


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_is_put_is_there(tmp_path, on_disk):
    ours = opened(tmp_path / "p" if on_disk else None)
    for anchor in range(3):
        fill(ours, anchor)
    assert ours.done.all()
    assert ours.points_self[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert ours.points_pair[:, 0, 0, 0].tolist() == [1, 10, 12]
    assert ours.conf_pair.shape == (3, *SIZE)
    assert ours.points_self.dtype == ours.conf_self.dtype == torch.float16


def test_it_goes_on_where_it_was_left(tmp_path):
    fill(opened(tmp_path / "p"), 1)
    again = opened(tmp_path / "p")
    assert again.done.tolist() == [False, True, False]
    assert float(again.points_self[1].mean()) == 2


@pytest.mark.parametrize("other", [{"key": "b"}, {"ends": [(0, 1), (1, 0), (2, 1)]}])
def test_other_frames_or_settings_begin_anew(tmp_path, other):
    fill(opened(tmp_path / "p"), 1)
    assert not opened(tmp_path / "p", **other).done.any()


@pytest.mark.parametrize("name", [RECORD, "done.npy", "points_pair.npy"])
@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(path.read_bytes()[:20]), lambda path: path.unlink()])
def test_damaged_files_begin_anew(tmp_path, name, harm):
    fill(opened(tmp_path / "p"), 1)
    harm(tmp_path / "p" / name)
    again = opened(tmp_path / "p")
    assert not again.done.any()
    fill(again, 0)
    assert opened(tmp_path / "p").done.tolist() == [True, False, False]


def test_a_full_disk_is_found_out_at_once(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.os, "posix_fallocate", full, raising=False)
    with pytest.raises(DiskFullError):
        opened(tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_it_can_be_removed_and_still_be_read(tmp_path):
    ours = opened(tmp_path / "p")
    fill(ours, 0)
    remove_predictions(tmp_path / "p")
    assert not (tmp_path / "p").exists()
    assert float(ours.points_self[0].mean()) == 1


def test_its_files_are_plain_arrays(tmp_path):
    fill(opened(tmp_path / "p"), 2)
    assert np.load(tmp_path / "p" / "points_self.npy")[2].mean() == 3
    assert json.loads((tmp_path / "p" / RECORD).read_text()).keys() == {"key"}


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds thesis\.txt"):
        opened(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
