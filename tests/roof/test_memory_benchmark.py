"""The count of live tensors is exact, and a step of a recipe grows with its views along a straight line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cut3r.speed.live_bytes import LiveBytes

ROOT = Path(__file__).parents[2]


def test_bytes_count_from_the_operator_that_makes_them_until_nobody_holds_them():
    weight = torch.zeros(1000)
    with LiveBytes([weight]) as alive:
        first = weight + 1
        second = first[:500]  # a view is no memory
        del first
        assert alive.now == 4000
        del second
        weight.add_(1)
        assert (alive.now, alive.peak) == (0, 4000)
        third = [torch.ones(100) for _ in range(3)]
        assert (alive.now, alive.peak) == (1200, 4000)
        del third


def test_what_the_backward_pass_keeps_is_counted():
    weight = torch.zeros(100, 100, requires_grad=True)
    with LiveBytes([weight]) as alive:
        kept = torch.ones(50, 100).sin()
        loss = (kept @ weight).sum()
        del kept
        assert alive.now == 20_000 + 4  # the input of the product, and the loss
        loss.backward()
        assert alive.peak >= 60_000  # and the gradient of the weight


def run(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "benchmarks/memory.py", "smoke", *words, "--threads", "1"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def record_of(*words: str) -> dict:
    done = run(*words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_step_grows_nearly_along_a_straight_line_and_lora_needs_fewer_moments_and_gradients():
    plain, lora = record_of("--batches", "1x1", "1x2", "2x2"), record_of("run.lora.rank=4")
    for row in plain["rows"]:
        predicted = plain["once_gb"] + row["samples"] * row["views"] * plain["view_gb"]
        assert row["step_gb"] == pytest.approx(predicted, rel=0.1)  # gradients alone are more than one view
    assert plain["rest_gb"] == pytest.approx(12e-3 * plain["parameters_m"], rel=0.01)
    assert lora["rest_gb"] == pytest.approx(4e-3 * lora["parameters_m"] + 8e-3 * lora["learning_m"], rel=0.01)
    assert lora["once_gb"] < plain["once_gb"]


def test_batches_that_give_no_line_are_refused():
    done = run("--batches", "1x2", "2x1")
    assert done.returncode == 2 and "at least two different numbers" in done.stderr
