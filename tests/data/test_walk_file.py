"""Walks in one memory-mapped file: exactly as rendered, each once, whatever interrupts the writing."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from cut3r.data import synthetic
from cut3r.data.synthetic import synthetic_walk, walk_file
from cut3r.data.walks import WalkConfig
from cut3r.files.disk import DiskFullError

CONFIG = WalkConfig(size=(16, 32), frames=3)


def test_a_walk_is_stored_exactly(tmp_path):
    walk, records = synthetic_walk(4, 1, CONFIG), walk_file(tmp_path, 4, CONFIG).walk(1)
    for name in ("rgb", "depth", "intrinsics", "world_from_cam"):
        assert np.array_equal(records[name], getattr(walk, name).numpy())


def test_a_walk_is_rendered_once(tmp_path, monkeypatch):
    rendered = count_renderings(monkeypatch)
    for _ in range(2):
        file = walk_file(tmp_path, 4, CONFIG)
        again = [file.walk(2)["depth"].copy() for _ in range(2)]
        assert np.array_equal(*again) and file.frame(2, 1)["depth"].shape == (16, 32)
    assert rendered == [2]


def test_the_first_walks_are_one_array(tmp_path, monkeypatch):
    walk_file(tmp_path, 4, CONFIG).walk(1)
    rendered = count_renderings(monkeypatch)
    walks = walk_file(tmp_path, 4, CONFIG).first(3)
    assert walks.shape == (3, 3) and rendered == [0, 2]
    assert np.array_equal(walks[2], walk_file(tmp_path, 4, CONFIG).walk(2))


def test_walks_before_it_are_holes(tmp_path, monkeypatch):
    file, rendered = walk_file(tmp_path, 4, CONFIG), count_renderings(monkeypatch)
    file.walk(50)
    assert file.path.stat().st_blocks * 512 < 10 * file.frames * file.kind.itemsize
    file.walk(0)
    file.frame(7, 0)
    assert rendered == [50, 0, 7]


@pytest.mark.parametrize("damage", ["torn", "flipped"])
def test_what_is_not_whole_is_rendered_anew(tmp_path, monkeypatch, damage):
    before = walk_file(tmp_path, 4, CONFIG).walk(0).copy()
    path = walk_file(tmp_path, 4, CONFIG).path
    content = bytearray(path.read_bytes())
    if damage == "torn":
        del content[-100:]
    else:
        content[-100] ^= 1
    path.write_bytes(content)
    rendered = count_renderings(monkeypatch)
    assert np.array_equal(walk_file(tmp_path, 4, CONFIG).walk(0), before) and rendered == [0]


def test_another_process_sees_what_this_one_stores(tmp_path, monkeypatch):
    mine = walk_file(tmp_path, 4, CONFIG)
    mine.walk(0)
    theirs = pickle.loads(pickle.dumps(mine))
    theirs.walk(3)
    rendered = count_renderings(monkeypatch)
    assert np.array_equal(mine.walk(3), theirs.walk(3)) and rendered == []


def test_a_copy_for_another_process_holds_no_pixels(tmp_path):
    file = walk_file(tmp_path, 4, CONFIG)
    file.walk(0), file.walk(0)
    assert len(pickle.dumps(file)) < 4000


def test_other_settings_are_another_file(tmp_path):
    others = [(5, CONFIG), (4, replace(CONFIG, frames=4)), (4, replace(CONFIG, fov_deg=(50.0, 60.0)))]
    paths = {walk_file(tmp_path, seed, config).path for seed, config in [(4, CONFIG), *others]}
    assert len(paths) == 4


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(DiskFullError, match=str(tmp_path)):
        walk_file(tmp_path, 4, CONFIG).walk(0)


def count_renderings(monkeypatch):
    """The numbers of the walks that are rendered from now on, by files opened from now on too."""
    numbers, original = [], synthetic.plan_walk

    def plan(seed, index, config):
        numbers.append(index)
        return original(seed, index, config)

    monkeypatch.setattr(synthetic, "plan_walk", plan)
    return numbers
