"""A training that must be over at a time: stopped well, and by force if it must."""

import os
import signal
import subprocess
import sys
import time

import pytest

from cut3r.training.time_box import SmallFiles, TimeBox


def wait(box: TimeBox, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while box.goes_on and time.monotonic() < ends:
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_it_well(number):
    box, before = TimeBox(minutes=10.0), signal.getsignal(number)
    with box.watching():
        assert box.goes_on
        os.kill(os.getpid(), number)
        wait(box, 5)
        assert box.stopped and not box.goes_on
    assert signal.getsignal(number) is before


def test_a_fifth_of_a_short_time_and_20_seconds_of_a_long_one_are_for_the_end():
    assert TimeBox(minutes=0.5).end_s == pytest.approx(6)
    assert TimeBox(minutes=8.0).end_s == 20


def test_the_time_for_learning_runs_out():
    box = TimeBox(minutes=0.005)
    wait(box, 5)
    assert not box.goes_on and not box.stopped


def test_what_does_not_end_is_ended():
    code = (
        "import time; from cut3r.training.time_box import TimeBox\n"
        "with TimeBox(minutes=0.05).watching():\n"
        "    while True: time.sleep(1)\n"
    )
    began = time.monotonic()
    run = subprocess.run([sys.executable, "-c", code], check=False, timeout=120)
    assert run.returncode == 1 and time.monotonic() - began > 2


def test_a_log_is_begun_or_continued(tmp_path):
    files = SmallFiles(tmp_path / "out", anew=True)
    files.log("train", {"seconds": 60.0, "loss": 2.0})
    SmallFiles(tmp_path / "out", anew=False).log("gate", {"seconds": 120.0, "yaw": 0.1})
    assert (tmp_path / "out/log.jsonl").read_text().count("\n") == 2
    assert files.curve("train", "loss") == [(1.0, 2.0)] and files.curve("gate", "loss") == []
    SmallFiles(tmp_path / "out", anew=True).log("train", {"seconds": 0.0})
    assert (tmp_path / "out/log.jsonl").read_text().count("\n") == 1


def test_what_is_not_finished_lies_outside(tmp_path):
    files = SmallFiles(tmp_path / "out", anew=True)
    files.write("a.png", b"all")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    assert files.scratch.parent == tmp_path
    files.close()
    assert not files.scratch.exists()
