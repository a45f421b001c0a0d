"""An alignment that is interrupted goes on where it was, and ends as if nothing had happened."""

import pytest
import torch

from cut3r.alignment import align as align_module
from cut3r.alignment.align import PREDICTIONS, RESULT, AlignConfig, Graph, Method, align
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
