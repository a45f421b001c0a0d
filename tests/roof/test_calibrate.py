"""Confidence that says how large errors are: found on what a network has not seen, and written into its last layers."""

import sys
from pathlib import Path

import pytest
import torch

from cut3r.model.encoder import ViewInput
from cut3r.model.prediction import Outputs
from cut3r.weights.checkpoint import confidence_threshold, load, save
from tests.conftest import make_tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture
def calibrate(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # as for a script
    import calibrate

    return calibrate


def test_the_factor_is_found_with_which_a_confidence_was_spoiled(calibrate):
    draw = torch.Generator().manual_seed(0)
    honest = 1 + 4 * torch.rand(20_000, generator=draw).double()
    error = calibrate.ALPHA / honest * (0.5 + torch.rand(20_000, generator=draw).double())  # right on average
    for factor in (0.2, 1.0, 5.0):
        assert calibrate.best_factor(error, 1 + (honest - 1) / factor) == pytest.approx(factor, rel=0.1)


def test_a_scaled_head_says_so_and_nothing_else_changes(calibrate):
    model, scaled = make_tiny("linear"), make_tiny("linear")
    calibrate.scale_confidence(scaled, "points_cam", 3.0)
    view = ViewInput(torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0)))
    with torch.inference_mode():
        ours, theirs = (each.rollout([view], outputs=Outputs.all()).predictions[0] for each in (scaled, model))
    torch.testing.assert_close(ours.conf_cam - 1, 3 * (theirs.conf_cam - 1), rtol=1e-4, atol=1e-5)
    for name in ("points_cam", "points_world", "conf_world", "pose_encoding"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
    with pytest.raises(ValueError, match="linear heads"):
        calibrate.scale_confidence(make_tiny("dpt"), "points_cam", 2.0)


def test_a_network_is_calibrated_and_written(calibrate, tmp_path, monkeypatch, capsys):
    save(make_tiny("linear"), tmp_path / "net.safetensors")
    arguments = [str(tmp_path / "net.safetensors"), str(tmp_path / "out.safetensors"), "--walks", "2", "--views", "2"]
    monkeypatch.setattr(sys, "argv", ["calibrate.py", *arguments])
    calibrate.main()
    assert "promised" in capsys.readouterr().out
    assert confidence_threshold(tmp_path / "out.safetensors") == 1.5
    assert load(tmp_path / "out.safetensors").config == make_tiny("linear").config
