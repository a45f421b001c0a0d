"""Reading ahead, encoding together and replaying recordings change nothing but the speed."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.geometry.cameras import pinhole
from cut3r.inference import prefetch
from cut3r.inference.engine import Engine
from cut3r.inference.prefetch import Prefetch
from cut3r.inference.replay import eager_recorder
from cut3r.inference.session import Session
from cut3r.io.frames import Frame
from cut3r.model.prediction import Outputs
from cut3r.model.update import OVERWRITE, UpdateRule


def frame(number: int, size: tuple[int, int] = (48, 64)) -> Frame:
    rgb = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Frame(rgb, number, number / 30, f"clip#{number:06d}")


def frames_of_two_sizes() -> list[Frame]:
    return [frame(number, (48, 64) if number % 5 < 3 else (64, 48)) for number in range(9)]


def recording(model, *, rule: UpdateRule = OVERWRITE, **options) -> Session:
    """A session whose engine records, replays and works ahead, as on a GPU, but without graphs."""
    engine = Engine(model, rule=rule, graphs=True, record=eager_recorder, asynchronous=True)
    return Session(model, engine=engine, **options)


def assert_same(a, b, *, exactly: bool = True):
    for name in ("points_cam", "conf_cam", "points_world", "pose_encoding"):
        ours, theirs = getattr(a.prediction, name), getattr(b.prediction, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, **({"rtol": 0, "atol": 0} if exactly else {}))
    torch.testing.assert_close(a.intrinsics, b.intrinsics)
    assert (a.number, a.frame.name, a.pixel_map) == (b.number, b.frame.name, b.pixel_map)


@pytest.mark.parametrize("make", [Session, recording])
@pytest.mark.parametrize("lookahead", [0, 1, 8])
def test_streaming_gives_what_pushing_gives(tiny_model, make, lookahead):
    session = Session(tiny_model)
    pushed = [session.push(each) for each in frames_of_two_sizes()]
    streamed = list(make(tiny_model).stream(frames_of_two_sizes(), lookahead=lookahead))
    assert len(streamed) == len(pushed)
    for ours, theirs in zip(streamed, pushed, strict=True):
        assert_same(ours, theirs)


def test_a_frozen_pass_streams_too(tiny_linear):
    results = []
    for make in (Session, recording):
        session = make(tiny_linear)
        session.push(frame(0))
        before = session.snapshot().state.tokens
        results.append(list(session.stream([frame(1), frame(2)], update=False)))
        assert torch.equal(session.snapshot().state.tokens, before)
    for ours, theirs in zip(*results, strict=True):
        assert_same(ours, theirs)


def test_the_session_stands_at_the_last_result_given(tiny_linear):
    session, other = Session(tiny_linear), Session(tiny_linear)
    stream = session.stream((frame(number) for number in range(6)), lookahead=3)
    for number in range(3):
        next(stream)
        other.push(frame(number))
        assert session.frames_seen == number + 1
        assert torch.equal(session.snapshot().state.tokens, other.snapshot().state.tokens)
    stream.close()
    assert_same(session.push(frame(3)), other.push(frame(3)))


def test_a_query_may_come_in_the_middle_of_a_stream(tiny_linear):
    session = recording(tiny_linear)
    stream = session.stream(frame(number) for number in range(4))
    first = next(stream)
    seen = session.query(torch.eye(4), pinhole((48, 64), 60.0))
    plain = Session(tiny_linear)
    plain.push(frame(0))
    assert torch.equal(seen.depth, plain.query(torch.eye(4), pinhole((48, 64), 60.0)).depth)
    rest = list(stream)
    assert [result.number for result in (first, *rest)] == [0, 1, 2, 3]


def test_absorbed_frames_are_the_same_on_both_ways(tiny_linear):
    sessions = Session(tiny_linear), recording(tiny_linear)
    for session in sessions:
        session.absorb(frame(0))
        session.absorb(frame(1))
    tokens = [session.snapshot().state.tokens for session in sessions]
    assert torch.equal(*tokens)


def test_all_heads_are_replayed(tiny_model):
    ours = list(recording(tiny_model, outputs=Outputs.all()).stream([frame(0), frame(1)]))[1]
    session = Session(tiny_model, Outputs.all())
    session.push(frame(0))
    theirs = session.push(frame(1))
    assert_same(ours, theirs)
    assert torch.equal(ours.prediction.rgb, theirs.prediction.rgb)


def test_no_more_frames_are_read_than_asked_for(tiny_linear):
    read = []

    def footage():
        for number in range(50):
            read.append(number)
            yield frame(number)

    stream = Session(tiny_linear).stream(footage(), lookahead=4)
    next(stream)
    time.sleep(0.3)  # time to read all, if nothing stopped it
    assert len(read) <= 4 + 4  # waiting, in flight, in hand
    stream.close()
    assert threading.active_count() == len([t for t in threading.enumerate() if t.name != "prefetch"])


def test_an_unreadable_frame_is_reported_after_the_results_before_it(tiny_linear):
    def footage():
        yield frame(0)
        yield frame(1)
        raise ValueError("frame 2 is damaged")

    numbers = []
    stream = Session(tiny_linear).stream(footage())
    with pytest.raises(ValueError, match="frame 2 is damaged"):
        numbers.extend(result.number for result in stream)
    assert numbers == [0, 1]


def test_a_frame_that_does_not_fit_is_reported_in_its_place(tiny_linear):
    sliver = replace(frame(1), rgb=np.zeros((4, 640, 3), np.uint8))
    numbers = []
    with pytest.raises(ValueError, match="too narrow"):
        numbers.extend(result.number for result in Session(tiny_linear).stream([frame(0), sliver, frame(2)]))
    assert numbers == [0]


def test_a_source_that_does_not_answer_does_not_hold_up_whoever_leaves(tiny_linear, monkeypatch, caplog):
    monkeypatch.setattr(prefetch, "PATIENCE_S", 0.05)
    answer = threading.Event()

    def camera():
        yield frame(0)
        answer.wait()  # the network is gone

    stream = Session(tiny_linear).stream(camera())
    assert next(stream).number == 0
    start = time.monotonic()
    stream.close()
    assert time.monotonic() - start < 5
    assert "does not answer" in caplog.text
    answer.set()  # and the thread ends by itself


def test_the_first_result_comes_after_one_step(tiny_linear, monkeypatch):
    """Where nothing runs beside Python, a step ahead is only delay: 14 s instead of 7 for a big network on a CPU."""
    steps, step = [], tiny_linear.step
    monkeypatch.setattr(tiny_linear, "step", lambda *arguments: steps.append(1) or step(*arguments))
    stream = Session(tiny_linear).stream(frame(number) for number in range(6))
    for number in range(1, 4):
        next(stream)
        assert len(steps) == number
    stream.close()


def test_absorbing_a_stream_is_absorbing_its_frames(tiny_linear):
    plain = Session(tiny_linear)
    for each in frames_of_two_sizes():
        plain.absorb(each)
    for session in (Session(tiny_linear), recording(tiny_linear)):
        given = list(session.absorb_stream(frames_of_two_sizes(), lookahead=3))
        assert [each.index for each in given] == list(range(9))
        assert torch.equal(session.snapshot().state.tokens, plain.snapshot().state.tokens)
        assert session.frames_seen == 0


def test_the_work_of_a_thread_comes_in_order_and_ends_with_its_items():
    with Prefetch(range(100), lambda number: number**2, most=3) as squares:
        assert list(squares) == [number**2 for number in range(100)]
