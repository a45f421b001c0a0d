"""The source of a run: opened again when needed, closed in the end, and its odd shapes counted as unreadable."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cut3r.inference.preprocess import FitConfig
from cut3r.io.frames import FrameOptions, FrameStream
from cut3r.run.footage import Footage


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, size in enumerate([(64, 48), (640, 4), (64, 48)]):
        Image.fromarray(np.zeros((*size[::-1], 3), np.uint8)).save(tmp_path / f"{number}.png")
    return tmp_path


def test_each_pass_sees_every_frame_and_only_the_last_stream_is_open(photos):
    with Footage(str(photos), FrameOptions()) as footage:
        first = footage.stream
        assert footage.open(0) is first
        assert [frame.name for frame in first] == ["0.png", "1.png", "2.png"]
        assert [frame.name for frame in footage.open(0)] == ["0.png", "1.png", "2.png"]
        assert [frame.name for frame in footage.open(2)] == ["2.png"]
        assert footage.expected == 3
        last = footage.open(0)
    assert not list(last)


def test_a_frame_that_cannot_be_fit_counts_as_unreadable(photos):
    footage = Footage(str(photos), FrameOptions(skip_bad=True))
    footage.fit = FitConfig(size=64)
    assert [frame.name for frame in footage.open(0)] == ["0.png", "2.png"]
    assert len(footage.stream.skipped) == 1
    assert "too narrow" in footage.stream.skipped[0]


def test_the_files_are_those_behind_the_frames_and_what_was_named(photos):
    (photos / "list.txt").write_text("0.png\n2.png\n")
    footage = Footage(str(photos / "list.txt"), FrameOptions())
    assert sorted(path.name for path in footage.files) == ["0.png", "2.png", "list.txt"]
    assert footage.can_be_read_again


def test_the_contents_change_with_the_files(photos):
    before = Footage(str(photos), FrameOptions()).contents
    assert before == Footage(str(photos), FrameOptions()).contents
    (photos / "1.png").unlink()
    assert Footage(str(photos), FrameOptions()).contents != before


def test_neither_a_live_source_nor_a_pipe_can_be_read_again(photos, tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.ts")
    for live, files in ((True, []), (False, [tmp_path / "pipe.ts"])):
        stream = FrameStream(iter(()), "a stream", expected=None, skipped=[], live=live, files=files)
        monkeypatch.setattr("cut3r.run.footage.open_frames", lambda *_args, stream=stream, **_options: stream)
        assert not Footage("a stream", FrameOptions()).can_be_read_again
