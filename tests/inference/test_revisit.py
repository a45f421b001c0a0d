"""Several passes over the same footage."""

import numpy as np
import pytest
import torch

from cut3r.inference.revisit import revisit
from cut3r.inference.session import Session
from cut3r.io.frames import Frame


def frames(skip: int = 0, count: int = 3):
    for i in range(skip, count):
        yield Frame(np.random.default_rng(i).integers(0, 256, (48, 64, 3), dtype=np.uint8), i, None, f"{i}")


def pose(result):
    return result.prediction.pose_encoding


def test_one_pass_is_plain_streaming(tiny_linear):
    session = Session(tiny_linear)
    plain = [pose(session.push(frame)) for frame in frames()]
    once = [pose(result) for result in revisit(Session(tiny_linear), frames, passes=1)]
    assert all(torch.equal(a, b) for a, b in zip(plain, once, strict=True))


@pytest.mark.parametrize("freeze", [False, True])
def test_two_passes_equal_pushing_everything_twice(tiny_linear, freeze):
    session = Session(tiny_linear)
    for frame in frames():
        session.push(frame)
    expected = [pose(session.push(frame, update=not freeze)) for frame in frames()]
    results = list(revisit(Session(tiny_linear), frames, passes=2, freeze=freeze))
    assert [result.number for result in results] == [0, 1, 2]
    assert all(torch.equal(pose(a), b) for a, b in zip(results, expected, strict=True))


def test_more_frozen_passes_change_nothing(tiny_linear):
    two = list(revisit(Session(tiny_linear), frames, passes=2, freeze=True))
    five = list(revisit(Session(tiny_linear), frames, passes=5, freeze=True))
    assert all(torch.equal(pose(a), pose(b)) for a, b in zip(two, five, strict=True))


def test_frames_are_read_only_when_they_are_needed(tiny_linear):
    read = []

    def watched(skip):
        for frame in frames(skip, 10):
            read.append(frame.index)
            yield frame

    results = revisit(Session(tiny_linear), watched, passes=1)
    for consumed in range(1, 4):
        next(results)
        assert len(read) == consumed


def test_earlier_passes_are_reported(tiny_linear):
    seen = []
    list(revisit(Session(tiny_linear), frames, passes=3, on_absorbed=lambda p, frame: seen.append((p, frame.index))))
    assert seen == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_no_pass_at_all_is_refused(tiny_linear):
    with pytest.raises(ValueError, match="at least 1"):
        next(revisit(Session(tiny_linear), frames, passes=0))


@pytest.mark.parametrize("passes", [1, 2])
def test_an_interrupted_run_goes_on_in_the_last_pass(tiny_linear, passes):
    whole = list(revisit(Session(tiny_linear), frames, passes=passes))
    session = Session(tiny_linear)
    interrupted = revisit(session, frames, passes=passes)
    first = [next(interrupted) for _ in range(2)]
    rest = list(revisit(session, frames, passes=passes, done=2))
    assert [r.number for r in first + rest] == [0, 1, 2]
    assert all(torch.equal(pose(a), pose(b)) for a, b in zip(whole, first + rest, strict=True))
