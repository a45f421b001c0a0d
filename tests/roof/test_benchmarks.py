"""The benchmarks, run as a user runs them, with the smallest network; and the count of operations behind them."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.flops import gflop_per_frame
from benchmarks.timing import time_ms
from cut3r.model.config import published_224_linear, published_512_dpt
from cut3r.model.prediction import Outputs

ROOT = Path(__file__).parents[2]
ROW = {
    "size",
    "heads",
    "dtype",
    "path",
    "ms",
    "ms_p10",
    "ms_p90",
    "fps",
    "stream_fps",
    "gflop",
    "gflops",
    "of_peak",
    "cpu_ms",
    "peak_memory_mb",
    "error",
    "pose_deg",
}
ENVIRONMENT = {"date", "command", "commit", "cpu", "cores", "gpu", "torch", "threads", "load_average"}


def run_benchmark(name: str, *flags: str) -> tuple[str, dict]:
    """Return what the benchmark prints, and its last line as a record."""
    command = [sys.executable, f"benchmarks/{name}.py", "--threads", "1", *flags]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout, json.loads(run.stdout.splitlines()[-1])


def test_latency_ends_with_a_table_and_a_record():
    printed, record = run_benchmark("latency", "--size", "48x64", "--heads", "points", "--repeats", "2")
    baseline, points = record["rows"]
    assert "| 48x64 | points |" in printed
    assert set(record["environment"]) >= ENVIRONMENT
    assert set(baseline) == ROW | {"speedup"}
    assert (baseline["dtype"], baseline["heads"], baseline["speedup"]) == ("fp32", "all", 1.0)
    assert (points["heads"], points["error"]) == ("points", 0.0)
    assert points["gflop"] < baseline["gflop"]
    assert points["gflops"] == pytest.approx(1e3 * points["gflop"] / points["ms"])
    assert points["of_peak"] == pytest.approx(points["gflops"] / record["matrix_peak_gflops"]["fp32"])
    assert points["speedup"] == pytest.approx(baseline["ms"] / points["ms"])


@pytest.mark.slow
def test_latency_tells_what_bfloat16_costs_in_accuracy():
    _, record = run_benchmark("latency", "--dtype", "bf16", "--dtype", "fp32", "--baseline", "none", "--repeats", "1")
    errors = {row["dtype"]: row["error"] for row in record["rows"]}
    assert errors["fp32"] < 1e-5 < errors["bf16"] < 0.05


@pytest.mark.parametrize("size", ["48", "48x60"])
def test_latency_refuses_a_size_that_the_network_cannot_have(size):
    command = [sys.executable, "benchmarks/latency.py", "--size", size]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "384x512" in run.stderr


@pytest.mark.slow
def test_alignment_compares_the_graph_with_the_poses_given_and_draws_it(tmp_path):
    printed, record = run_benchmark("alignment", "--frames", "20", "50", "--out", str(tmp_path / "run.json"))
    few, many = record["walks"]
    assert "50 frames: graph" in printed and (tmp_path / "run.png").stat().st_size > 1000
    assert few["ate_graph"] < 0.6 * few["ate_given"] and many["ate_graph"] < 0.6 * many["ate_given"]
    refining = {"full", "refining", "merging", "cleaning"}
    assert set(many["cpu_s"]) == {"planting", "links", "graph", "loops", "graph with loops"} | refining
    assert few["ate_full"] < 1.3 * few["ate_graph"] and many["ate_full"] < 1.3 * many["ate_loops"]
    assert "ate_loops" not in few, "all pairs are there"


def test_long_stream_keeps_its_record_and_a_plot(tmp_path):
    printed, record = run_benchmark("long_stream", "--frames", "60", "--out", str(tmp_path / "run.json"))
    assert "memory stays flat" in printed
    assert json.loads((tmp_path / "run.json").read_text()) == record
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    assert [row["frames"] for row in record["rows"]] == [20, 50, 60]
    assert set(record["rows"][0]) == {"frames", "ms", "cpu_ms", "memory_mb"}
    assert set(record["environment"]) >= ENVIRONMENT
    assert record["memory_growth_mb"] == record["last_memory_mb"] - record["first_memory_mb"]


def test_sinks_tell_what_each_thread_spends():
    printed, record = run_benchmark("sinks", "--frames", "3", "--save-frames", "none", "--save-frames", "all")
    none, everything = record["rows"]
    assert "| save_frames | driving_ms |" in printed
    assert set(record["environment"]) >= ENVIRONMENT
    assert (none["save_frames"], everything["save_frames"]) == ("none", "all")
    assert 0 < none["driving_ms"] < none["cpu_ms"]
    assert none["files_and_scene_ms"] < 1.2 * everything["files_and_scene_ms"]  # three frames: noise
    assert everything["fps_by_cpu"] <= 1e3 / everything["files_and_scene_ms"]


@pytest.mark.slow
def test_given_cameras_are_compared_with_none():
    _, record = run_benchmark("given", "--walks", "1", "--frames", "3")
    rows = {row["given"]: row for row in record["rows"]}
    assert rows["poses"]["ate_cm"] < 1e-3 < rows["nothing"]["ate_cm"]
    assert rows["depth"]["depth"] != rows["nothing"]["depth"]


@pytest.mark.parametrize(
    ("outputs", "published"),
    [(Outputs.all(), 1584), (Outputs(), 1185), (Outputs.none(), 999)],
    ids=["all", "points", "none"],
)
def test_a_frame_of_the_large_network_costs_what_is_published(outputs, published):
    # ours is slightly cheaper: the 1x1 convolutions of the dpt heads come before the up-sampling
    assert 0.97 * published < gflop_per_frame(published_512_dpt(), (384, 512), outputs) <= 1.001 * published


def test_a_frame_of_the_small_network_costs_what_is_published():
    assert gflop_per_frame(published_224_linear(), (224, 224), Outputs.all()) == pytest.approx(427, rel=0.005)


def test_warming_up_is_not_timed():
    naps = iter([0.2, 0.0, 0.0, 0.0])
    timing = time_ms(lambda: time.sleep(next(naps)), repeats=3, warmup=1, device=torch.device("cpu"))
    assert timing.p10 <= timing.median < 100
    assert next(naps, None) is None


def test_rules_are_compared_with_overwriting():
    printed, record = run_benchmark("rules", "--config", "tiny", "--rounds", "2", "--update", "ttt3r")
    baseline, rule = record["rows"]
    assert "|   tiny |" in printed
    assert (baseline["update"], baseline["ratio"], rule["update"]) == ("overwrite", 1.0, "ttt3r")
    assert rule["buffers_mb"] > baseline["buffers_mb"] == 0
