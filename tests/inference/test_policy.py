"""A policy decides after each result what becomes of the state."""

import pytest
import torch

from cut3r.inference.policy import Write
from cut3r.inference.session import Session
from tests.inference.test_stream import assert_same, frame, recording

FRAMES = [frame(number) for number in range(6)]


def every_third_kept(result):
    return Write.keep if result.number % 3 == 0 else Write.drop


@pytest.mark.parametrize("make", [Session, recording])
@pytest.mark.parametrize("lookahead", [0, 4])
def test_a_dropped_frame_has_a_result_and_leaves_the_state(tiny_linear, make, lookahead):
    session, by_hand = make(tiny_linear), Session(tiny_linear)
    streamed = list(session.stream(FRAMES, every_third_kept, lookahead=lookahead))
    pushed = [by_hand.push(each, update=number % 3 == 0) for number, each in enumerate(FRAMES)]
    for ours, theirs in zip(streamed, pushed, strict=True):
        assert_same(ours, theirs)
    assert torch.equal(session.snapshot().state.tokens, by_hand.snapshot().state.tokens)


@pytest.mark.parametrize("make", [Session, recording])
def test_a_reset_begins_a_new_chunk_with_the_next_frame(tiny_linear, make):
    streamed = list(make(tiny_linear).stream(FRAMES, lambda result: Write.reset if result.number == 2 else Write.keep))
    session, pushed = Session(tiny_linear), []
    for number, each in enumerate(FRAMES):
        pushed.append(session.push(each))
        if number == 2:
            session.reset()
    assert [result.chunk for result in streamed] == [0, 0, 0, 1, 1, 1] == [result.chunk for result in pushed]
    for ours, theirs in zip(streamed, pushed, strict=True):
        assert_same(ours, theirs)


def test_a_policy_sees_each_result_before_the_next_step(tiny_linear):
    seen, session = [], recording(tiny_linear)

    def note(result):
        seen.append((result.number, session.frames_seen))
        return Write.keep

    list(session.stream(FRAMES, note))
    assert seen == [(number, number + 1) for number in range(6)]


def test_what_a_policy_raises_reaches_the_caller(tiny_linear):
    def refuse(result):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        list(Session(tiny_linear).stream(FRAMES, refuse))
