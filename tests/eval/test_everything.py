"""python -m eval all."""

import json

import pytest

from cut3r.weights.checkpoint import save
from eval.__main__ import main
from eval.launch import SEQUENCES_FAILED, WRONG_SETTINGS
from eval.sequences import PROTOCOLS, SETS
from tests.conftest import make_tiny
from tests.eval.small_rooms import small_rooms  # noqa: F401

pytestmark = pytest.mark.usefixtures("small_rooms")


def test_every_protocol_runs_on_rooms_with_one_network(tmp_path, capsys, monkeypatch):
    save(make_tiny("linear"), tmp_path / "net.safetensors")
    opened: list[str] = []
    monkeypatch.setattr("eval.build.pack", lambda model: opened.append("loaded"))
    words = ["all", "dataset=rooms", f"root={tmp_path}", f"weights={tmp_path}/net.safetensors", "device=cpu"]
    assert main([*words, f"out={tmp_path}/runs"]) == 0
    assert opened == ["loaded"]
    said = capsys.readouterr().out
    assert f"6 runs; for the report: python -m eval.report {tmp_path}/runs" in said and "skipped" not in said
    for protocol in PROTOCOLS:
        result = json.loads((tmp_path / "runs" / f"{protocol}_rooms" / "result.json").read_text())
        assert result["coverage"]["scored"] == 2, protocol
    assert main([*words, f"out={tmp_path}/runs", "every=2"]) == SEQUENCES_FAILED
    assert "skipped: relpose on rooms: " in capsys.readouterr().out


def test_what_is_not_there_is_skipped_with_the_reason(tmp_path, capsys):
    assert main(["all", f"root={tmp_path}", "weights=no_motion", f"out={tmp_path}/runs", "device=cpu"]) == 0
    said = capsys.readouterr().out
    assert "2 runs;" in said
    assert "skipped: monodepth on rooms: no_motion says nothing of depth" in said
    for protocol, sets in SETS.items():
        for name in set(sets) - {"rooms"}:
            assert f"skipped: {protocol} on {name}: " in said
    written = {path.parent.name for path in (tmp_path / "runs").glob("*/result.json")}
    assert written == {"relpose_rooms", "pose_pairs_rooms"}


def test_with_nothing_there_it_is_refused(tmp_path, capsys):
    assert main(["all", "dataset=sintel", f"root={tmp_path}", "weights=no_motion"]) == WRONG_SETTINGS
    assert "there is nothing to run: monodepth on sintel: " in capsys.readouterr().err


def test_lengths_are_for_long_sets(tmp_path, capsys):
    words = ["all", "dataset=rooms", f"root={tmp_path}", "weights=no_motion", "lengths=[5]", "device=cpu"]
    assert main(words) == WRONG_SETTINGS
    assert "rooms has no lengths for relpose" in capsys.readouterr().err
