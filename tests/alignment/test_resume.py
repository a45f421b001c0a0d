"""An alignment that is interrupted goes on where it was, and ends as if nothing had happened."""

from dataclasses import replace

import pytest
import torch

from cut3r.alignment import align as align_module
from cut3r.alignment.align import PREDICTIONS, RESULT, AlignConfig, Graph, Method, align
from cut3r.alignment.loops import LoopConfig
from cut3r.alignment.predict import predict
from cut3r.alignment.taken import take
from tests.alignment.test_align import FIT, frames

COUNT = 20  # more than one batch of anchors


class StoppedHereError(Exception):
    pass


def stop_after(stage, done):
    def tell(name, count, _total):
        if name == stage and count >= done:
            raise StoppedHereError

    return tell


def config(method=Method.graph):
    return AlignConfig(method, Graph.window, width=1)


def steps_of(model, monkeypatch):
    """Counts the streams that go through a step."""
    counted, step = [], model.step
    monkeypatch.setattr(model, "step", lambda state, *args: counted.append(state.batch_size) or step(state, *args))
    return counted


def test_predictions_that_are_there_are_not_made_again(tiny_linear, tmp_path, monkeypatch):
    taken = take(frames(COUNT), FIT)
    with pytest.raises(StoppedHereError):
        align(tiny_linear, taken, config(), folder=tmp_path / "a", on_progress=stop_after("predicting pairs", 50))
    counted = steps_of(tiny_linear, monkeypatch)
    ours = align(tiny_linear, taken, config(), folder=tmp_path / "a")
    after_stop = sum(counted)
    counted.clear()
    whole = align(tiny_linear, taken, config())
    assert 0 < after_stop < 0.5 * sum(counted)
    torch.testing.assert_close(ours.world_from_cam, whole.world_from_cam, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.points(7), whole.points(7), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", [Method.graph, Method.full])
def test_a_finished_alignment_is_read(tiny_linear, tmp_path, monkeypatch, method):
    taken = take(frames(5), FIT)
    first = align(tiny_linear, taken, config(method), folder=tmp_path)
    counted = steps_of(tiny_linear, monkeypatch)
    again = align(tiny_linear, taken, config(method), folder=tmp_path)
    assert not counted
    assert again.report == first.report
    assert torch.equal(again.points(3), first.points(3)) and torch.equal(again.kept, first.kept)
    assert torch.equal(again.before.scale, first.before.scale)


def test_other_settings_or_a_damaged_file_do_not_count(tiny_linear, tmp_path):
    taken = take(frames(5), FIT)
    align(tiny_linear, taken, config(), folder=tmp_path)
    full = align(tiny_linear, taken, config(Method.full), folder=tmp_path)
    assert full.report["align"] == "full"
    (tmp_path / RESULT).write_bytes((tmp_path / RESULT).read_bytes()[:1000])
    again = align(tiny_linear, taken, config(Method.full), folder=tmp_path)
    torch.testing.assert_close(again.world_from_cam, full.world_from_cam)


def test_other_frames_begin_anew(tiny_linear, tmp_path):
    align(tiny_linear, take(frames(5), FIT), config(), folder=tmp_path)
    other = take(list(frames(6))[1:], FIT)
    ours, whole = align(tiny_linear, other, config(), folder=tmp_path), align(tiny_linear, other, config())
    torch.testing.assert_close(ours.world_from_cam, whole.world_from_cam)


@pytest.fixture
def loop(monkeypatch):
    """28 frames, of which the last two are the first two again; whatever is offered as a loop is accepted."""
    generous = LoopConfig(confidence=0.0, turn_deg=360.0, scale=1e9, shift=1e9)
    monkeypatch.setattr(align_module, "LoopConfig", lambda: generous)
    some = frames(26)
    return take([*some, *(replace(some[k], index=26 + k) for k in range(2))], FIT)


@pytest.fixture
def looks(monkeypatch):
    """How often the network looked at loops."""
    counted, look = [], align_module.predict_more
    monkeypatch.setattr(align_module, "predict_more", lambda *given, **how: counted.append(1) or look(*given, **how))
    return counted


def test_loops_that_are_found_are_not_looked_for_again(tiny_linear, loop, looks, tmp_path, monkeypatch):
    with pytest.raises(StoppedHereError):
        align(tiny_linear, loop, config(), folder=tmp_path, on_progress=stop_after("pose graph", 0))
    assert len(looks) == 1
    counted = steps_of(tiny_linear, monkeypatch)
    ours = align(tiny_linear, loop, config(), folder=tmp_path)
    assert len(looks) == 1 and not counted
    whole = align(tiny_linear, loop, config())
    assert ours.report["loops"] == whole.report["loops"] and ours.report["pairs"] == whole.report["pairs"]
    assert len(ours.report["pairs"]) > 2 * 27, "a loop was accepted"
    assert torch.equal(ours.world_from_cam, whole.world_from_cam)


@pytest.mark.parametrize("change", ["limits", "damage", "frames"])
def test_loops_of_other_settings_are_looked_for_again(tiny_linear, loop, looks, tmp_path, monkeypatch, change):
    with pytest.raises(StoppedHereError):
        align(tiny_linear, loop, config(), folder=tmp_path, on_progress=stop_after("pose graph", 0))
    if change == "limits":
        monkeypatch.setattr(align_module, "LoopConfig", lambda: LoopConfig(turn_deg=0.0))
    elif change == "damage":
        note = tmp_path / PREDICTIONS / "later.json"
        note.write_text(note.read_text()[:20])
    else:
        loop = replace(loop, counts=loop.counts.clone())
        loop.counts[5, :4] = False
    ours = align(tiny_linear, loop, config(), folder=tmp_path)
    assert len(looks) == 2
    whole = align(tiny_linear, loop, config())
    assert ours.report["loops"] == whole.report["loops"]
    assert torch.equal(ours.world_from_cam, whole.world_from_cam)


def test_masks_exclude_pixels_from_frames_and_pairs(tiny_linear):
    taken = take(frames(3), FIT)
    excluded = torch.zeros_like(taken.counts)
    excluded[1, :8] = True
    said = predict(tiny_linear, taken.images, config().stars(3), excluded=excluded)
    assert not said.conf_self[1, :8].any() and bool((said.conf_self[0] > 0).all())
    of_second = said.ends[:, 1] == 1
    assert not said.conf_pair[of_second, :8].any() and bool((said.conf_pair[~of_second] > 0).all())


def test_the_folder_is_only_as_large_as_it_must_be(tiny_linear, tmp_path):
    taken = take(frames(4), FIT)
    align(tiny_linear, taken, config(), folder=tmp_path)
    size = sum(path.stat().st_size for path in (tmp_path / PREDICTIONS).iterdir())
    maps = 4 + 6 + int(align_module.ROOM_FOR_LOOPS * 4)  # of frames, pairs, and loops
    assert size < 1.05 * maps * 8 * taken.images[0, ..., 0].numel()
