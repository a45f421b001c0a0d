"""Prerendered pairs, and the ablation that is made of them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.pairs import draw_pairs
from cut3r.data.synthetic import walk_file
from cut3r.data.walks import WalkConfig
from cut3r.geometry.cameras import project
from cut3r.geometry.poses import invert, transform

ROOT = Path(__file__).parents[2]
CONFIG = WalkConfig(size=(12, 16), frames=4)


@pytest.fixture(scope="module")
def walks(tmp_path_factory) -> np.ndarray:
    return walk_file(tmp_path_factory.mktemp("walks"), 3, CONFIG).first(2)


def test_the_two_views_of_a_pair_belong_together(walks):
    first, second = draw_pairs(walks, np.random.default_rng(0), 8)
    assert first.image.shape == (8, 3, 12, 16)
    assert not torch.equal(first.world_from_cam, second.world_from_cam)
    assert first.world_from_cam[:, :3, 3].abs().max() == 0
    pixels, depth = project(transform(invert(second.world_from_cam), second.points), second.intrinsics)
    torch.testing.assert_close(depth, second.depth, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(pixels[0, 5, 7], torch.tensor([7.0, 5.0]), atol=1e-2, rtol=0)


@pytest.mark.slow
def test_the_ablation_reports_the_gate(tmp_path):
    sizes = ["--minutes", "0.02", "--reports", "1", "--walks", "2", "--pairs", "8"]
    flags = ["--setting", "guided-own_place-muon", "--setting", "alone-published-adamw", "--folder", str(tmp_path)]
    command = [sys.executable, "benchmarks/guidance.py", *sizes, *flags, "--out", str(tmp_path / "record.json")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    record = json.loads(run.stdout.splitlines()[-1])
    assert json.loads((tmp_path / "record.json").read_text()) == record
    assert (tmp_path / "record.png").read_bytes().startswith(b"\x89PNG")
    assert "attention by position alone" in run.stdout
    assert list(record["curves"]) == ["guided-own_place-muon", "alone-published-adamw"]
    for (row,) in record["curves"].values():
        assert row["pairs"] >= 32
        assert {"attention", "yaw", "tx", "tz", "other_yaw", "other_tx", "other_tz"} <= row.keys()
