"""A session writes by a rule: its buffers go wherever the state goes, and only written frames change them."""

import numpy as np
import pytest
import torch

from cut3r.geometry.cameras import pinhole
from cut3r.inference.engine import Engine
from cut3r.inference.session import Session
from cut3r.model.update import OVERWRITE
from cut3r.rules.filt3r import FILT3R
from cut3r.rules.ttt3r import TTT3R
from tests.inference.test_stream import assert_same, frame, frames_of_two_sizes, recording

NAMES = ["overwrite", "ttt3r", "ttsa3r", "filt3r:r=0.8", "recal3r", "memix:share=0.5", "memix+ttsa3r", "memix+recal3r"]
NAMES += ["memix+frame+ttt3r:window=2"]


def same(one: Session, other: Session) -> bool:
    ours, theirs = (session.snapshot().state.tensors() for session in (one, other))
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize("name", NAMES)
def test_replaying_and_reading_ahead_change_nothing(tiny_linear, name):
    pushed = Session(tiny_linear, update=name)
    replayed = recording(tiny_linear, rule=pushed.rule)
    results = [pushed.push(each) for each in frames_of_two_sizes()]
    for ours, theirs in zip(replayed.stream(frames_of_two_sizes()), results, strict=True):
        assert_same(ours, theirs)
    assert same(pushed, replayed)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_session_goes_on_with_the_buffers(tiny_linear, tmp_path, name):
    session, other = (Session(tiny_linear, update=name) for _ in range(2))
    for number in range(3):
        session.push(frame(number))
    session.save(tmp_path / "session.safetensors")
    other.load(tmp_path / "session.safetensors")
    for number in (3, 4):
        assert_same(other.push(frame(number)), session.push(frame(number)))
    assert same(session, other)


@pytest.mark.parametrize("name", NAMES)
def test_looking_changes_no_buffer_and_a_reset_is_a_new_session(tiny_linear, name):
    session, fresh = (Session(tiny_linear, update=name) for _ in range(2))
    for number in range(3):
        session.push(frame(number))
    before = session.snapshot()
    session.push(frame(3), update=False)
    session.query(torch.eye(4), pinhole((48, 64), 60.0))
    after, kept = session.snapshot().state.tensors(), before.state.tensors()
    assert all(torch.equal(value, after[key]) for key, value in kept.items() if key != "is_new")
    session.reset()
    for number in (5, 6):
        session.push(frame(number))
        fresh.push(frame(number))
    assert same(session, fresh)
    session.restore(before)
    assert all(torch.equal(value, kept[key]) for key, value in session.snapshot().state.tensors().items())


def test_values_of_the_rule_are_told_for_diagnosis(tiny_linear):
    session = Session(tiny_linear, update="recal3r")
    assert session.update_values()["gate"].tolist() == [0.0] * 12
    session.push(frame(0))
    assert session.update_values()["gate"].tolist() == [1.0] * 12
    session.push(frame(1))
    values = session.update_values()
    assert set(values) == {"gate", "written", "not_a_number", "pressure", "reference"}
    assert values["pressure"].shape == values["gate"].shape == (12,)
    assert 0 < values["gate"].max() < 1
    values["gate"].zero_()
    assert session.update_values()["gate"].max() > 0, "it is a copy"


def test_overwriting_tells_a_gate_too(tiny_linear):
    session = Session(tiny_linear)
    assert session.update_values()["gate"].tolist() == [0.0] * 12
    session.push(frame(0))
    assert set(session.update_values()) == {"gate"}
    assert session.update_values()["gate"].tolist() == [1.0] * 12


def test_names_and_rules_say_the_same(tiny_linear):
    assert Session(tiny_linear, update="filt3r:r=0.8").rule == FILT3R(r=0.8)
    assert Session(tiny_linear, update=TTT3R()).rule == Session(tiny_linear, update="ttt3r").rule
    assert Session(tiny_linear).rule == OVERWRITE
    engine = Engine(tiny_linear, rule=TTT3R())
    assert Session(tiny_linear, engine=engine).rule == TTT3R()
    with pytest.raises(ValueError, match="there is no update rule 'tt3r'"):
        Session(tiny_linear, update="tt3r")


@pytest.mark.parametrize("other", [None, "filt3r", "ttt3r"])
def test_a_snapshot_of_a_session_that_writes_otherwise_is_refused(tiny_linear, other):
    snapshot = Session(tiny_linear, update="filt3r:r=0.8").snapshot()
    session = Session(tiny_linear, update=other)
    before = session.snapshot()
    with pytest.raises(ValueError, match=r"a session that writes by FILT3R.*r=0\.8.*and this one by"):
        session.restore(snapshot)
    assert session.snapshot() is before


def test_a_rule_changes_what_comes_after_the_second_frame(tiny_linear):
    pictures = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), dtype=np.uint8)
    plain, gated = (Session(tiny_linear, update=name) for name in ("overwrite", "ttt3r"))
    same_poses = []
    for picture in pictures:
        ours, theirs = (session.push(picture).world_from_cam for session in (plain, gated))
        same_poses.append(torch.equal(ours, theirs))
    assert same_poses == [True, True, False]
