"""`cut3r doctor`: one line for each finding, with the remedy where something is in the way."""

import importlib.metadata
import socket
from importlib.metadata import PackageNotFoundError

import pytest
import torch

from cut3r.io import codecs
from cut3r.run import doctor
from cut3r.run.command import main
from cut3r.run.console import FAILED, WRONG_ARGUMENTS
from cut3r.run.doctor import Verdict
from cut3r.speed.memory import FrameMemory

CPU = torch.device("cpu")


def need(weights_gb: float) -> FrameMemory:
    return FrameMemory(int(weights_gb * 1e9), 0)


def test_the_command_prints_a_line_for_each_subject(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "memory_of_frame", lambda *_: need(0.0))  # counted in tests/speed/test_memory.py
    monkeypatch.setattr(doctor, "_has_nvidia_gpu", lambda: False)
    assert main(["doctor", "--device", "cpu", "--port", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    subjects = {line[5:16].strip() for line in lines}
    assert subjects >= {"versions", "extras", "device", "precision", "memory", "codecs", "page", "networks"}
    assert {line[:5].strip() for line in lines} <= {"ok", "note"}


def test_a_gpu_that_this_torch_cannot_use_is_bad(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_has_nvidia_gpu", lambda: True)
    found = doctor.look_at_device(CPU)
    assert found.verdict is Verdict.bad and "pytorch.org" in found.remedy
    monkeypatch.setattr(doctor, "examine", lambda **_: iter([found]))
    assert main(["doctor"]) == FAILED
    assert capsys.readouterr().out == f"{found.line()}\n"


@pytest.mark.parametrize(
    ("free_gb", "verdict", "part"),
    [(5.0, Verdict.good, "fits"), (3.0, Verdict.note, "only bf16 fits"), (1.0, Verdict.bad, "does not fit")],
)
def test_what_fits_depends_on_what_is_free(free_gb, verdict, part, monkeypatch):
    by_type = {torch.float32: need(3.2), torch.bfloat16: need(1.6)}
    monkeypatch.setattr(doctor, "memory_of_frame", lambda _config, _size, dtype: by_type[dtype])
    monkeypatch.setattr(doctor, "free_on_host", lambda: int(free_gb * 1e9))
    for found in list(doctor.look_at_memory(CPU))[1:]:
        assert found.verdict is verdict and part in found.text and bool(found.remedy) == (verdict is not Verdict.good)


def test_a_port_in_use_is_said(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        found = doctor.look_at_page(port)
        assert found.verdict is Verdict.note and f"port {port} cannot be used" in found.text
    assert doctor.look_at_page(port).verdict is Verdict.good


def test_missing_extras_come_with_the_command(monkeypatch):
    lines = ["torch>=2.6", 'viser>=1.1; extra == "viewer"', 'evo>=1.38; extra == "eval"', 'ruff>=0.8; extra == "dev"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: lines)
    monkeypatch.setattr(doctor, "_is_installed", lambda name: name == "evo")
    whole, missing = doctor.look_at_extras()
    assert whole.text == "installed: eval"
    assert missing.line() == "note extras     viewer needs viser: pip install 'cut3r[viewer]'"

    def unknown(_: str) -> None:
        raise PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "requires", unknown)
    (found,) = doctor.look_at_extras()
    assert found.verdict is Verdict.note and "not installed" in found.text


def test_a_missing_codec_is_said(monkeypatch):
    assert doctor.look_at_codecs().verdict is Verdict.good
    monkeypatch.setattr(codecs, "codecs_available", {"h264", "mpeg4"})
    found = doctor.look_at_codecs()
    assert found.verdict is Verdict.note and "hevc, av1, vp9, mjpeg, prores" in found.text


def test_the_precision_comes_with_its_reason(monkeypatch):
    monkeypatch.setattr(doctor, "fastest_dtype", lambda _: torch.float32)
    assert doctor.look_at_precision(CPU).text.startswith("fp32, for the processor has no amx_bf16")
    monkeypatch.setattr(doctor, "fastest_dtype", lambda _: torch.bfloat16)
    monkeypatch.setattr(doctor, "cpu_features", lambda: {"amx_bf16", "avx2"})
    assert doctor.look_at_precision(CPU).text.endswith("for the processor has amx_bf16; tiny: fp32")


def test_without_official_networks_it_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setenv("CUT3R_HOME", str(tmp_path / "new"))
    found = next(doctor.look_at_networks())
    assert found.verdict is Verdict.note and found.remedy.startswith("cut3r models download 512-dpt")


def test_a_device_that_is_not_there_is_one_sentence(capsys):
    assert main(["doctor", "--device", "cuda:99"]) == WRONG_ARGUMENTS
    assert capsys.readouterr().err.startswith("cut3r doctor: the device 'cuda:99'")


def test_on_apples_gpu_it_says_what_is_known():
    mps = torch.device("mps")
    assert doctor.look_at_device(mps).verdict is Verdict.note
    assert doctor.look_at_precision(mps).text.startswith("fp32, for nobody has measured")
    first = next(doctor.look_at_memory(mps))
    assert "of the GPU" not in first.text, "it shares the memory of the machine"
