"""cut3r run with several sources: a run for each, named failures, and the same command goes on."""

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cut3r.inference.frame_folder import read_frame_folder
from cut3r.io.images import write_image
from cut3r.weights.checkpoint import save
from tests.roof.demo_runs import run_demo

SOURCE = Path(__file__).parents[2] / "src"


@pytest.mark.slow
def test_each_has_a_run_and_the_same_command_goes_on(tiny_linear, photos, tmp_path, capfd):
    save(tiny_linear, tmp_path / "network.safetensors")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    words = [photos, broken, "--model_path", tmp_path / "network.safetensors", "--output_dir", tmp_path / "out"]
    words += ["--size", 64, "--save", "scene.ply", "--vis_threshold", 0]
    assert run_demo(*words) == 1
    said = capfd.readouterr().err
    assert "broken FAILED" in said and "1 of 2 are finished" in said and "(all of it: " in said
    out = tmp_path / "out"
    marker = json.loads((out / photos.name / "cut3r.json").read_text())
    assert marker["state"] == "finished" and (out / photos.name / "scene.ply").is_file()
    assert "wrote" in (out / f"{photos.name}.log").read_text()
    made = (out / photos.name / "cut3r.json").stat().st_mtime_ns
    broken.unlink()
    assert run_demo(*words) == 3  # it is not there any more, which is said before anything is done
    broken.symlink_to(photos, target_is_directory=True)
    assert run_demo(*words) == 0
    said = capfd.readouterr().err
    assert "1 of 2 are finished already" in said
    assert json.loads((out / "broken.mp4" / "cut3r.json").read_text())["state"] == "finished"
    assert (out / photos.name / "cut3r.json").stat().st_mtime_ns == made


def kill_a_worker_in_the_middle(out: Path, killed: list[int]) -> None:
    """Of a Dask cluster, when one of its runs has finished some frames."""
    until = time.monotonic() + 120
    while time.monotonic() < until and not killed:
        for lock in out.glob("*/.cut3r.lock"):
            run = re.match(r"process (\d+) ", lock.read_text())
            if run and len(list((lock.parent / "camera").glob("*.npz"))) >= 3:
                status = Path(f"/proc/{run[1]}/status").read_text()
                worker = int(re.search(r"PPid:\s+(\d+)", status)[1])
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)
                return
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="who a run belongs to is read from /proc")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of sockets to the killed worker
def test_of_two_dask_workers_one_is_killed_and_the_batch_is_completed(tiny_linear, tmp_path, monkeypatch, capfd):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")]))
    save(tiny_linear, tmp_path / "network.safetensors")
    sources, random = [], np.random.default_rng(0)
    for name in ("hall", "kitchen", "attic"):
        (tmp_path / name).mkdir()
        sources.append(tmp_path / name)
        for number in range(40):
            write_image(tmp_path / name / f"{number:02d}.png", random.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    out, killed = tmp_path / "out", []
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(n_workers=2, **options) as cluster:
        killer = threading.Thread(target=kill_a_worker_in_the_middle, args=(out, killed))
        killer.start()
        words = [*sources, "--model_path", tmp_path / "network.safetensors", "--output_dir", out, "--size", 64]
        code = run_demo(*words, "--dask", cluster.scheduler_address)
        killer.join()
    said = capfd.readouterr().err
    assert killed, "a worker was killed"
    assert code == 0 and "3 of 3 are finished" in said
    for source in sources:
        assert json.loads((out / source.name / "cut3r.json").read_text())["state"] == "finished"
        assert len(list(read_frame_folder(out / source.name))) == 40
    logs = "".join((out / f"{source.name}.log").read_text() for source in sources)
    assert logs.count("whoever began this run is gone") == 1
