"""The training for a few minutes of a GPU, rehearsed: with next to nothing installed, stopped, continued."""

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cut3r
from cut3r.weights.parts import join
from tests.roof.bare import fill

ROOT = Path(__file__).parents[2]
INSTALLED = ("torch", "numpy", "safetensors", "PyYAML", "einops", "accelerate", "jaxtyping")
FILES = ["curves.svg", "ema-0.safetensors", "log.jsonl", "pairs.png", "raw-0.safetensors"]
BEGUN, TIME_S = "steps/s", 300


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the packages that the script may need."""
    return fill(tmp_path_factory.mktemp("site"), INSTALLED)


def start(bare: Path, out: Path, *flags: str) -> "subprocess.Popen[str]":
    """Start a toy without the packages of this environment, but for those in `bare`."""
    command = [
        sys.executable,
        "-S",
        "-m",
        "benchmarks.tiny_gpu",
        "--minutes",
        "10",
        "--out",
        str(out),
        "--device",
        "cpu",
    ]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{bare}", "PYTHONUNBUFFERED": "1"}
    flags = ("--toy", "--threads", "1", "--render_here", "--first_walks", "1", *flags)
    return subprocess.Popen(
        [*command, *flags], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(run: "subprocess.Popen[str]", text: str) -> list[str]:
    """Read what it prints up to a line."""
    assert run.stdout is not None and run.stderr is not None
    lines = []
    for line in run.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"it ended before {text!r}: {''.join(lines)} {run.stderr.read()}")


def test_the_bare_environment_is_bare(bare):
    tops = packages_distributions()
    assert {"torch", "numpy", "yaml", "einops", "jaxtyping"} <= set(tops)
    for name in ("PIL", "cv2", "scipy", "matplotlib", "hydra", "omegaconf", "av", "viser", "beartype"):
        assert not (bare / name).exists(), name


@pytest.mark.slow
def test_a_toy_ends_when_told_to_with_complete_files_and_goes_on(bare, tmp_path):
    out, more = tmp_path / "out", tmp_path / "more"
    run = start(bare, out)
    told = until(run, BEGUN)
    run.send_signal(signal.SIGTERM)
    rest, errors = run.communicate(timeout=TIME_S)
    assert run.returncode == 0, errors
    assert told[0].startswith("CPU, 1 threads, torch")
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [row["kind"] for row in rows][-1] == "gate" and rows[0]["kind"] == "train"
    assert json.loads(rest.splitlines()[-1]) == rows[-1]
    assert {"attention", "position_alone", "yaw", "other_yaw", "step", "samples"} <= rows[-1].keys()
    with Image.open(out / "pairs.png") as image:
        assert np.asarray(image).std() > 10
    weights = join(out / "ema")

    run = start(bare, more, "--from", str(out), "--begin", "0.9", "--seed", "1")
    assert "stage 4" in "".join(until(run, BEGUN))
    run.send_signal(signal.SIGTERM)
    _, errors = run.communicate(timeout=TIME_S)
    assert run.returncode == 0, errors
    row = json.loads((more / "log.jsonl").read_text().splitlines()[-1])
    assert row["stage"] == 4 and "abs_rel" in row
    assert join(more / "ema").config == weights.config
    subprocess.run(
        [sys.executable, "-m", "cut3r.weights.parts", str(more / "ema"), str(tmp_path / "toy.safetensors")], check=True
    )
    assert cut3r.load(tmp_path / "toy.safetensors").config == weights.config


@pytest.mark.slow
def test_the_network_is_the_one_that_was_meant():
    from benchmarks.tiny_gpu import TINY, network

    model = network(TINY, None)
    assert 20e6 < 2 * sum(entry.numel() for entry in model.state_dict().values()) < 25e6  # bytes in float16
    assert [stage.draw.views for stage in TINY.stages] == [2, 2, 4, 8]
    assert TINY.stages[-1].until == 1.0
