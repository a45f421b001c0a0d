"""What a caller does to a session between the results of a stream acts as between pushes."""

from collections.abc import Callable, Iterator

import pytest
import torch

from cut3r.inference.engine import Engine
from cut3r.inference.replay import eager_recorder
from cut3r.inference.result import FrameResult
from cut3r.inference.session import Session
from cut3r.inference.snapshot import Snapshot
from cut3r.io.frames import Frame
from tests.inference.test_stream import assert_same, frame, frames_of_two_sizes, recording

Control = Callable[[Session, FrameResult, dict[str, Snapshot]], None]


def reset(session, result, kept):
    if result.number in (2, 6):
        session.reset()


def restore(session, result, kept):
    if result.frame.index == 0:
        kept["early"] = session.snapshot()
    if result.frame.index in (3, 4):
        session.restore(kept["early"])


def push(session, result, kept):
    if result.frame.index == 3:
        kept["pushed"] = session.push(frame(100))


def push_without_update(session, result, kept):
    if result.frame.index in (1, 3):
        session.push(frame(100), update=False)


def absorb(session, result, kept):
    if result.frame.index in (3, 8):
        session.absorb(frame(100))


def pack_and_unpack(session, result, kept):
    if result.frame.index == 1:
        kept["file"] = session.pack()
    if result.frame.index == 5:
        session.unpack(*kept["file"])


def everything(session, result, kept):
    for control in (restore, reset, absorb, push):
        control(session, result, kept)


CONTROLS = [reset, restore, push, push_without_update, absorb, pack_and_unpack, everything]


def controlled(session: Session, results: Iterator[FrameResult], control: Control) -> list[FrameResult]:
    given, kept = [], {}
    for result in results:
        given.append(result)
        control(session, result, kept)
    return given


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize(("make", "lookahead"), [(Session, 0), (Session, 8), (recording, 3)])
def test_a_stream_obeys_as_pushes_do(tiny_linear, control, make, lookahead):
    """Resets and restores were lost without a word, and the old world got the number of the new chunk."""
    pushing, streaming = Session(tiny_linear), make(tiny_linear)
    expected = controlled(pushing, (pushing.push(each) for each in frames_of_two_sizes()), control)
    stream = streaming.stream(frames_of_two_sizes(), lookahead=lookahead)
    results = controlled(streaming, stream, control)
    assert len(results) == len(expected) == 9
    for ours, theirs in zip(results, expected, strict=True):
        assert_same(ours, theirs)
        assert ours.chunk == theirs.chunk
    assert torch.equal(streaming.snapshot().state.tokens, pushing.snapshot().state.tokens)


def test_what_was_read_and_encoded_ahead_is_kept(tiny_linear, monkeypatch):
    read, encoded = [], []

    def footage() -> Iterator[Frame]:
        for number in range(8):
            read.append(number)
            yield frame(number)

    encode = Engine.encode
    monkeypatch.setattr(Engine, "encode", lambda self, images: encoded.append(len(images)) or encode(self, images))
    session = recording(tiny_linear)
    for result in session.stream(footage()):
        if result.number in (1, 4):
            session.reset()
    assert read == list(range(8))
    assert sum(encoded) == 8


def test_a_reset_before_the_first_result_counts(tiny_linear):
    session = recording(tiny_linear)
    session.push(frame(50))
    stream = session.stream([frame(0), frame(1)])
    session.reset()
    plain = Session(tiny_linear)
    for ours, theirs in zip(stream, (plain.push(frame(0)), plain.push(frame(1))), strict=True):
        assert torch.equal(ours.prediction.points_cam, theirs.prediction.points_cam)
        assert ours.chunk == 1


def test_sessions_of_one_network_may_share_an_engine(tiny_linear):
    engine = Engine(tiny_linear, graphs=True, record=eager_recorder)
    own, shared = Session(tiny_linear), Session(tiny_linear, engine=engine)
    other = Session(tiny_linear, engine=engine, parity=True)
    for number in range(6):
        result = other.push(frame(number))
        assert_same(shared.push(frame(number)), own.push(frame(number)))
    assert result.intrinsics[0, 2] == 32  # the other one still measures as the original does
