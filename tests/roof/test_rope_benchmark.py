"""The benchmark of the rotary embedding, run as a user runs it on a machine without a GPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = {
    "stream",
    "dtype",
    "pass",
    "path",
    "ms",
    "ms_p10",
    "ms_p90",
    "cpu_ms",
    "ms_per_frame",
    "gb_s",
    "error",
    "speedup",
}


def run_benchmark(*flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "benchmarks/rope.py", "--threads", "1", "--repeats", "2", "--warmup", "1", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def record_of(run: subprocess.CompletedProcess) -> dict:
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_it_ends_with_a_table_and_a_record():
    run = run_benchmark("--path", "plain", "--dtype", "fp32")
    rows = record_of(run)["rows"]
    assert "| encoder |  fp32 |  forward |" in run.stdout
    assert "without the kernel" in run.stdout
    assert [(row["stream"], row["pass"]) for row in rows] == [
        (stream, direction) for stream in ("encoder", "image", "state") for direction in ("forward", "training")
    ]
    for row in rows:
        assert set(row) == ROW
        assert (row["path"], row["error"], row["speedup"]) == ("plain", 0.0, 1.0)
        assert row["ms_per_frame"] == pytest.approx(24 * row["ms"])


@pytest.mark.slow
def test_it_compares_with_the_compiled_path():
    rows = record_of(run_benchmark("--stream", "state", "--dtype", "bf16"))["rows"]
    assert [row["path"] for row in rows] == ["plain", "compiled"] * 2
    assert all(row["error"] < 0.01 and row["speedup"] > 0 for row in rows)


def test_it_does_not_pretend_to_have_a_kernel():
    run = run_benchmark("--path", "kernel")
    assert run.returncode == 2
    assert "docs/curope.md" in run.stderr
