"""A bundle adjustment that is finished is read from its folder, unless what it began with has changed."""

import pytest
import torch

pytest.importorskip("pycolmap", reason="SKIPPED LOUDLY: no pycolmap (pip install cut3r[ba])")
pytest.importorskip("pyceres", reason="SKIPPED LOUDLY: no pyceres (pip install cut3r[ba])")

from dataclasses import replace

from cut3r.alignment import bundle
from cut3r.alignment.align import BUNDLED, AlignConfig, remove_work
from cut3r.alignment.flags import bundle_adjusted
from tests.alignment.planted_tracks import plant, with_known_poses


@pytest.fixture
def planted():
    return plant(frames=5, points=60)


@pytest.fixture
def searches(planted, monkeypatch):
    """How often points were looked for in pictures; there are none here, but their tracks."""
    counted = []
    monkeypatch.setattr(bundle, "find_tracks", lambda *_, **__: counted.append(1) or planted.tracks)
    return counted


def run(aligned, folder, config=None):
    return bundle_adjusted(aligned, config or AlignConfig(), lambda: iter(()), folder=folder)


def test_it_is_not_done_again_and_is_the_same(planted, searches, tmp_path):
    first, again = run(planted.aligned, tmp_path), run(planted.aligned, tmp_path)
    assert len(searches) == 1 and first.report["bundle_adjustment"]["verdict"] == "kept"
    assert again.report == first.report
    for name in ("world_from_cam", "intrinsics", "depth", "k1", "scales", "kept"):
        assert torch.equal(getattr(again, name), getattr(first, name))
    assert torch.equal(again.before.scale, first.before.scale)


def test_a_refusal_is_kept_too(planted, searches, tmp_path, monkeypatch):
    few = plant(frames=3, points=5)  # too few to be believed
    monkeypatch.setattr(bundle, "find_tracks", lambda *_, **__: searches.append(1) or few.tracks)
    first, again = run(few.aligned, tmp_path), run(few.aligned, tmp_path)
    assert first.report["bundle_adjustment"]["verdict"] != "kept" and len(searches) == 1
    assert again.report == first.report and torch.equal(again.world_from_cam, few.aligned.world_from_cam)


@pytest.mark.parametrize("change", ["poses", "points", "held", "picture", "damage"])
def test_what_has_changed_is_adjusted_again(planted, searches, tmp_path, change):
    aligned, config = with_known_poses(planted, [1, 4]), AlignConfig()
    run(aligned, tmp_path)
    if change == "poses":
        aligned = replace(aligned, world_from_cam=aligned.world_from_cam + 1e-6)
    elif change == "points":
        aligned = replace(aligned, scales=aligned.scales * 1.001)
    elif change == "held":
        config = AlignConfig(pose_sigma=(0.05, 0.03))
    elif change == "picture":
        aligned.taken.images[3, 0, 0] = 255
    else:
        (tmp_path / BUNDLED).write_bytes((tmp_path / BUNDLED).read_bytes()[:1000])
    run(aligned, tmp_path, config)
    assert len(searches) == 2


def test_nothing_is_left_behind(planted, searches, tmp_path):
    run(planted.aligned, tmp_path / "work")
    remove_work(tmp_path / "work")
    assert not (tmp_path / "work").exists()
