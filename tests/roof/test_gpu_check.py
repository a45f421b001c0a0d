"""The time-boxed check: steps end in time, each result is written before the next step, and failures are named."""

import json
import time

import pytest
import torch

from benchmarks import gpu_check
from benchmarks.gpu_check import Step, check, last_record

CPU = torch.device("cpu")
SLOW = "import time; print('began', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
)
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLOW!r}])"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(gpu_check, "KILL_AFTER_S", 1.0)
    monkeypatch.setattr(gpu_check, "SHORTEST_S", 0.5)
    monkeypatch.syspath_prepend(gpu_check.ROOT / "benchmarks")  # as for a script


def step(name, code, seconds=480.0):
    return Step(name, ("-c", code), seconds)


def test_every_step_ends_and_says_how(tmp_path):
    todo = [
        step("good", "import json; print('table'); print(json.dumps({'fps': 12}))"),
        step("bad", "raise SystemExit('no such kernel')"),
        step("slow", SLOW, seconds=80),
        step("stubborn", STUBBORN, seconds=80),
        step("parent", CHILD, seconds=80),
        step("last", "print('trained')"),
    ]
    began = time.monotonic()
    records = check(todo, 0.4, tmp_path, CPU)  # 80 of 480 s is 4 s of a box of 24 s
    assert time.monotonic() - began < 24
    assert [record["ended"] for record in records] == ["ok", "failed", "timed out", "timed out", "timed out", "ok"]
    assert records[0]["record"] == {"fps": 12} and "no such kernel" in records[1]["output"]
    assert json.loads((tmp_path / "check.json").read_text())["steps"] == json.loads(json.dumps(records))
    log = (tmp_path / "check.log").read_text()
    assert all(f"===== {name}" in log for name in ("good", "bad", "slow", "last")) and "trained" in log


def test_what_is_known_is_written_before_the_next_step(tmp_path):
    show = f"print('seen', len(__import__('json').load(open({str(tmp_path / 'check.json')!r}))['steps']))"
    check([step("first", "print(1)"), step("second", show), step("third", show)], 1.0, tmp_path, CPU)
    assert [line for line in (tmp_path / "check.log").read_text().splitlines() if line.startswith("seen")] == [
        "seen 1",
        "seen 2",
    ]


def test_a_step_without_time_is_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "SHORTEST_S", 3.0)
    records = check([step("slow", SLOW), step("last", "print('never')")], 0.06, tmp_path, CPU)
    assert [record["ended"] for record in records] == ["timed out", "left out"]
    assert "were left" in records[1]["output"][0]


def test_the_programs_of_the_steps_exist():
    for name in gpu_check.steps("cuda", gpu_check.ROOT / "runs", toy=False):
        module, script = name.command[:2] if name.command[0] == "-m" else ("", name.command[0])
        if module:
            script = "benchmarks/tiny_gpu.py" if script.startswith("benchmarks") else None
        assert script is None or (gpu_check.ROOT / script).is_file(), script


def test_without_a_gpu_it_says_so(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu_check.main([])
    assert "--device cpu --toy" in capsys.readouterr().err


def test_the_record_is_the_last_line_of_json():
    assert last_record(["{'no'", '{"a": 1}', "wrote x"]) == {"a": 1}
    assert last_record(['{"a": 1}', "{broken"]) is None
    assert last_record(["nothing"]) is None
