"""The demo on a forged `mps`: the same files as on a CPU, also by a run that was stopped, and the same answer."""

import signal

import numpy as np
import pytest

import demo
from cut3r.inference.frame_folder import read_frame_folder
from cut3r.run.command import main
from tests.roof.demo_runs import run_demo
from tests.roof.test_demo_resume import interrupt_at
from tests.speed.fake_mps import fake_mps


def test_run_resume_and_query(weights, photos, tmp_path, monkeypatch):
    flags = ["--model_path", weights, "--seq_path", photos]
    assert run_demo(*flags, "--output_dir", tmp_path / "cpu") == 0
    out = ["--output_dir", tmp_path / "mps", "--no-viewer", "--device", "mps"]
    with fake_mps(monkeypatch) as device:
        with pytest.MonkeyPatch.context() as at:
            interrupt_at(at, 2, signal.SIGTERM)
            assert demo.main([*map(str, [*flags, *out])]) == demo.INTERRUPTED
        assert demo.main([*map(str, [*flags, *out, "--resume"])]) == 0
        assert main(["query", str(tmp_path / "mps"), "--frame", "1", "--device", "mps"]) == 0
    assert "aten.linear.default" in device.operators
    ours, theirs = (list(read_frame_folder(tmp_path / name)) for name in ("mps", "cpu"))
    assert len(ours) == len(theirs) == 6
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found.depth, expected.depth, rtol=0, atol=1e-6)
        np.testing.assert_allclose(found.world_from_cam, expected.world_from_cam, rtol=0, atol=1e-6)
