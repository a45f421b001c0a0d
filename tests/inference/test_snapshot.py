"""A session's file is not trusted: each damage gets one sentence, and the session stays as it was."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cut3r.inference.engine import Engine
from cut3r.inference.session import Session
from cut3r.inference.snapshot import RECORD, checksum, pack, unpack
from cut3r.rules.filt3r import FILT3R
from cut3r.rules.ttt3r import TTT3R


def forged(session: Session, *, tensors: dict | None = None, **record: object) -> tuple[dict, dict]:
    """What a file of this session would hold with other content and a checksum that agrees with it."""
    whole, metadata = pack(session.snapshot(), session.model)
    whole = {name: tensor for name, tensor in (whole | (tensors or {})).items() if tensor is not None}
    fields = {key: value for key, value in (json.loads(metadata[RECORD]) | record).items() if key != "checksum"}
    return whole, {RECORD: json.dumps(fields | {"checksum": checksum(whole, fields)})}


def test_what_pack_gives_comes_back(tiny_linear):
    session = Session(tiny_linear)
    before = replace(session.snapshot(), number=3, chunk=1, focals=(0.8, 0.9))
    after = unpack(*pack(before, tiny_linear), tiny_linear, name="it")
    assert (after.number, after.chunk, after.focals) == (3, 1, (0.8, 0.9))
    assert torch.equal(after.state.tokens, before.state.tokens)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"session.memory": None}, r"session\.memory is missing"),
        ({"session.tokens": torch.zeros(1, 5, 32)}, r"session\.tokens is torch\.float32 \[1, 5, 32\] instead of"),
        ({"session.tokens": torch.zeros(2, 12, 32)}, r"session\.tokens is torch\.float32 \[2, 12, 32\] instead of"),
        ({"session.tokens": torch.zeros(1, 12, 32).half()}, r"session\.tokens is torch\.float16"),
        ({"session.tokens": torch.full((1, 12, 32), torch.nan)}, r"session\.tokens holds numbers that are not finite"),
        ({"session.memory": torch.full((1, 6, 64), torch.inf)}, r"session\.memory holds numbers that are not finite"),
        ({"session.is_new": torch.zeros(1)}, r"session\.is_new is torch\.float32"),
        ({"session.focals": torch.tensor([0.8, torch.nan]).double()}, r"session\.focals holds numbers that are not"),
        (
            {"session.focals": torch.tensor([-1.0]).double()},
            r"session\.focals holds focal lengths that are not positive",
        ),
        ({"session.focals": torch.tensor(1.0).double()}, r"session\.focals is torch\.float64 \[\] instead of"),
    ],
)
def test_a_state_that_this_network_cannot_have_is_refused(tiny_linear, tensors, message):
    with pytest.raises(ValueError, match=f"it is a damaged saved session: {message}"):
        unpack(*forged(Session(tiny_linear), tensors=tensors), tiny_linear, name="it")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"number": -1}, "its number is -1 and not a count"),
        ({"number": "7"}, "its number is '7'"),
        ({"number": True}, "its number is True"),
        ({"number": 10**400}, "its number is a number of"),
        ({"chunk": "x"}, "its chunk is 'x'"),
        ({"chunk": None}, "its chunk is None"),
        ({"chunk": 1.5}, r"its chunk is 1\.5"),
        ({"network": 3}, "of another network"),
    ],
)
def test_a_record_that_no_session_writes_is_refused(tiny_linear, record, message):
    with pytest.raises(ValueError, match=message):
        unpack(*forged(Session(tiny_linear), **record), tiny_linear, name="it")


@pytest.mark.parametrize("text", ["", "[", "[]", "3", "null", "{}", "[" * 100_000])
def test_a_record_that_is_none_is_refused(tiny_linear, text):
    tensors, _ = pack(Session(tiny_linear).snapshot(), tiny_linear)
    with pytest.raises(ValueError, match="it is a damaged saved session"):
        unpack(tensors, {RECORD: text}, tiny_linear, name="it")


def test_a_single_changed_number_is_noticed(tiny_linear):
    tensors, metadata = pack(Session(tiny_linear).snapshot(), tiny_linear)
    tensors["session.tokens"][0, 3, 4] += 1e-3
    with pytest.raises(ValueError, match="does not have the checksum that it was saved with"):
        unpack(tensors, metadata, tiny_linear, name="it")


def test_a_refused_file_leaves_the_session_as_it_was(tiny_linear, tmp_path):
    session, path = Session(tiny_linear), tmp_path / "session.safetensors"
    before = session.snapshot()
    save_file(*forged(session, number=-1)[:1], path, forged(session, number=-1)[1])
    with pytest.raises(ValueError, match="its number is -1"):
        session.load(path)
    assert session.snapshot() is before


def test_a_file_cut_anywhere_is_refused(tiny_linear, tmp_path):
    session, path = Session(tiny_linear), tmp_path / "session.safetensors"
    session.save(path)
    content = path.read_bytes()
    for keep in range(0, len(content), 211):
        path.write_bytes(content[:keep])
        with pytest.raises(ValueError, match="is not a saved session"):
            session.load(path)


def test_a_session_file_follows_the_umask(tiny_linear, tmp_path):
    Session(tiny_linear).save(tmp_path / "session.safetensors")
    (tmp_path / "plain").touch()
    assert (tmp_path / "session.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_buffers_of_a_rule_are_saved_with_the_state(tiny_linear, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (4, 32, 48, 3), dtype=np.uint8)
    session, other = (Session(tiny_linear, update=FILT3R()) for _ in range(2))
    for picture in pictures[:3]:
        session.push(picture)
    session.save(tmp_path / "session.safetensors")
    other.load(tmp_path / "session.safetensors")
    assert torch.equal(*(each.push(pictures[3]).world_from_cam for each in (session, other)))
    before, after = (each.snapshot().state.tensors() for each in (session, other))
    assert before.keys() == after.keys() and "buffer.variance" in before
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("other", [TTT3R(), FILT3R(r=0.8), None])
def test_a_session_that_writes_otherwise_is_refused(tiny_linear, tmp_path, other):
    Session(tiny_linear, update=FILT3R()).save(tmp_path / "session.safetensors")
    with pytest.raises(ValueError, match=r"writes by FILT3R\(p_init=1\.5.*and this one by"):
        Session(tiny_linear, update=other).load(tmp_path / "session.safetensors")


def test_a_buffer_that_no_rule_has_is_refused(tiny_linear):
    forgery = forged(Session(tiny_linear), tensors={"session.buffer.extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"session\.buffer\.extra.*, which no session has"):
        unpack(*forgery, tiny_linear, name="it")


def test_the_rule_of_a_shared_engine_is_that_of_the_session(tiny_linear):
    engine = Engine(tiny_linear, rule=TTT3R())
    assert "buffer.written" in Session(tiny_linear, engine=engine).snapshot().state.tensors()
    with pytest.raises(ValueError, match="the engine writes by TTT3R"):
        Session(tiny_linear, update=FILT3R(), engine=engine)
