"""Streams in chunks: when a chunk ends, what the next one knows, and where it stands."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.inference import chunks
from cut3r.inference.chunks import ResetConfig
from cut3r.inference.joints import JointKind
from cut3r.inference.policy import Write
from cut3r.inference.preprocess import FitConfig
from cut3r.inference.session import Session
from cut3r.io.frames import Frame
from tests.inference.test_stream import assert_same, frame, recording
from tests.model.test_golden import golden_model
from tests.rules.recordings import recording as recorded
from tests.rules.recordings import rule_of_file

FRAMES = [frame(number) for number in range(14)]
EVERY_SIX = ResetConfig(every=6, evidence=False, overlap=3)


def stream(session: Session, frames=FRAMES):
    return list(session.stream(frames))


def assert_same_places(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert_same(a, b)
        assert a.chunk == b.chunk
        torch.testing.assert_close(a.world_from_cam, b.world_from_cam, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["cut3r_reset", "ttt3r_reset"])
def test_the_published_reset_gives_the_recorded_poses(name):
    rgb = recorded("streams")["reset_rgb"][0]
    session = Session(
        golden_model("linear"), fit=FitConfig(size=48), update=rule_of_file(name), resets=ResetConfig.published(4)
    )
    results = [session.push(Frame(picture, number, None, str(number))) for number, picture in enumerate(rgb)]
    assert [result.chunk for result in results] == [0] * 4 + [1] * 4 + [2]
    poses = torch.stack([result.world_from_cam for result in results])
    theirs = torch.from_numpy(recorded(name)["linear_world_from_cam"])
    assert float((poses - theirs).abs().max()) <= 2e-4 * (1 + float(theirs.abs().max()))


def test_each_chunk_ends_with_giving_back_what_was_freed(tiny_linear, monkeypatch):
    given_back = []
    monkeypatch.setattr(chunks, "give_back_freed", lambda: given_back.append(True))
    results = stream(Session(tiny_linear, resets=EVERY_SIX))
    assert len(given_back) == results[-1].chunk == 2


def test_each_chunk_stands_where_its_joints_say(tiny_linear):
    session = Session(tiny_linear, resets=EVERY_SIX)
    results = stream(session)
    assert [result.chunk for result in results] == [0] * 6 + [1] * 6 + [2] * 2
    place = torch.eye(4).double()
    for chunk, joint in enumerate(session.joints, start=1):
        place = place @ joint.place.matrix()
        assert (joint.chunk, joint.first, joint.frames) == (chunk, 6 * chunk, 3)
        own = next(result for result in results if result.chunk == chunk)
        assert own.world_from_chunk is not None
        torch.testing.assert_close(own.world_from_chunk.matrix(), place)
        torch.testing.assert_close(own.world_from_cam.double(), place @ own.chunk_from_cam.double(), atol=1e-5, rtol=0)


def test_a_new_chunk_has_seen_the_overlap_and_nothing_else(tiny_linear):
    session, by_hand = Session(tiny_linear, resets=EVERY_SIX), Session(tiny_linear)
    stream(session, FRAMES[:6])
    stream(by_hand, FRAMES[3:6])
    assert torch.equal(session.snapshot().state.tokens, by_hand.snapshot().state.tokens)


@pytest.mark.parametrize(("make", "lookahead"), [(Session, 0), (recording, 4)])
def test_a_rehearsed_chunk_is_what_it_would_be_without(tiny_linear, make, lookahead):
    at_once = stream(Session(tiny_linear, resets=replace(EVERY_SIX, shadow=False)))
    rehearsed = list(make(tiny_linear, resets=EVERY_SIX).stream(FRAMES, lookahead=lookahead))
    assert_same_places(rehearsed, at_once)


@pytest.mark.parametrize(("shadow", "most"), [(True, 2), (False, 4)])
def test_with_a_rehearsal_no_frame_waits_for_the_whole_overlap(tiny_linear, shadow, most):
    session = Session(tiny_linear, resets=replace(EVERY_SIX, shadow=shadow))
    steps, step = [], session._engine.step

    def counted(*args, **options):
        steps[-1] += 1
        return step(*args, **options)

    session._engine.step = counted
    for each in FRAMES:
        steps.append(0)
        session.push(each)
    assert max(steps) == most


@pytest.mark.parametrize("stop", [2, 5, 6])
def test_a_saved_session_goes_on_in_its_chunk(tiny_linear, tmp_path, stop):
    session, whole = Session(tiny_linear, resets=EVERY_SIX), stream(Session(tiny_linear, resets=EVERY_SIX))
    stream(session, FRAMES[:stop])
    session.save(tmp_path / "it.session")
    later = Session(tiny_linear, resets=EVERY_SIX)
    later.load(tmp_path / "it.session")
    assert_same_places(stream(later, FRAMES[stop:]), whole[stop:])
    assert [joint.first for joint in later.joints] == [6, 12]


def test_a_snapshot_in_the_middle_of_a_chunk_comes_back(tiny_linear):
    session = Session(tiny_linear, resets=EVERY_SIX)
    stream(session, FRAMES[:5])
    before = session.snapshot()
    first = stream(session, FRAMES[5:])
    session.restore(before)
    assert_same_places(stream(session, FRAMES[5:]), first)


def test_frames_that_are_only_looked_at_or_dropped_count_for_nothing(tiny_linear):
    session, plain = Session(tiny_linear, resets=EVERY_SIX), Session(tiny_linear, resets=EVERY_SIX)
    kept = [session.push(each) for each in FRAMES[:4]]
    session.push(FRAMES[9], update=False)
    kept += session.stream(FRAMES[4:8])
    plainly = [plain.push(each) for each in FRAMES[:8]]
    assert [result.chunk for result in kept] == [result.chunk for result in plainly]
    torch.testing.assert_close(kept[-1].world_from_cam, plainly[-1].world_from_cam)
    dropping = Session(tiny_linear, resets=EVERY_SIX)
    odd = list(dropping.stream(FRAMES, lambda result: Write.keep if result.number % 2 else Write.drop))
    assert [result.chunk for result in odd] == [0] * 12 + [1] * 2 and len(odd) == len(FRAMES)


def test_somebody_may_begin_a_chunk_at_any_time(tiny_linear):
    session = Session(tiny_linear, resets=ResetConfig(every=None, evidence=False, joint=JointKind.sim3))
    stream(session, FRAMES[:4])
    joint = session.begin_chunk("the door was closed")
    assert (joint.first, joint.frames, joint.reason) == (4, 4, "the door was closed")
    assert session.push(FRAMES[4]).chunk == 1
    with pytest.raises(ValueError, match="make it with resets="):
        Session(tiny_linear).begin_chunk()


def test_a_reset_is_still_a_world_of_its_own(tiny_linear):
    session = Session(tiny_linear, resets=EVERY_SIX)
    stream(session, FRAMES[:4])
    session.reset()
    result = session.push(FRAMES[4])
    assert result.chunk == 1 and result.world_from_chunk is None and session.joints == ()


def test_absorbing_is_refused_because_it_gives_no_results(tiny_linear):
    with pytest.raises(ValueError, match="joined by results"):
        Session(tiny_linear, resets=EVERY_SIX).absorb(FRAMES[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("off", None),
        ("auto", ResetConfig(every=100, evidence=True)),
        ("50", ResetConfig(every=50, evidence=False)),
    ],
)
def test_what_a_flag_says(text, expected):
    assert ResetConfig.of_text(text) == expected
    assert ResetConfig.of_text("50", joint="published") == ResetConfig.published(50)


@pytest.mark.parametrize("text", ["", "often", "-3", "8"])
def test_what_a_flag_cannot_say(text):
    with pytest.raises(ValueError, match=r"give a number of frames, auto or off|not more than the overlap"):
        ResetConfig.of_text(text)


def test_a_chunk_without_a_finite_pose_keeps_no_frame_to_join_by(tiny_linear):
    with torch.no_grad():
        for weight in tiny_linear.heads.parameters():
            weight.fill_(np.nan)
    session = Session(tiny_linear, resets=replace(EVERY_SIX, every=4))
    results = stream(session, FRAMES[:6])
    assert [result.chunk for result in results] == [0] * 4 + [1] * 2
    assert session.joints[0].frames == 0 and "no frame in common" in session.joints[0].doubt
