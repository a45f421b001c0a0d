"""Preparation as users run it: whole folders only, resumed, failures named."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from eval.prepare.__main__ import main
from eval.prepare.runner import Job, Order, Preparer, run
from eval.sequences.tum import SEQUENCES
from tests.eval.sequences.trees import touch, write

ROOT = Path(__file__).parents[3]


def make(order, name, hidden):
    folder, note = hidden
    folder.mkdir()
    (folder / "a").write_text(str(order.parity))
    note.write_text(name)
    if name == "bad":
        raise ValueError("its depth is upside down")
    return "fine"


def preparer(*names):
    def jobs(order):
        for name in names:
            targets = (order.out / "set" / name, order.out / "set" / f"{name}.txt")
            yield Job(name, targets, lambda hidden, name=name: make(order, name, hidden))

    return Preparer("toy", "a toy", "its zip", jobs)


def write_tum(raw):
    for name in SEQUENCES:
        stamps = [f"{100 + i / 10:.4f}" for i in range(280)]
        write(raw / name / "rgb.txt", "".join(f"{stamp} rgb/{stamp}.png\n" for stamp in stamps))
        write(raw / name / "groundtruth.txt", "".join(f"{stamp} 0 0 0 0 0 0 1\n" for stamp in stamps))
        for stamp in stamps:
            touch(raw / name / f"rgb/{stamp}.png")


def visible(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if "/." not in f"/{path}")


def test_sequences_are_made_once(tmp_path):
    order = Order(tmp_path, tmp_path / "out")
    first, second = run(preparer("one", "two"), order), run(preparer("one", "two"), order)
    assert (first.total, first.made) == (2, 2) and (second.total, second.made) == (2, 0)
    assert "2 sequences: 0 made now, 2 already there, 0 failed" in str(second)


def test_a_failure_is_named_and_leaves_nothing_behind(tmp_path):
    report = run(preparer("one", "bad", "two"), Order(tmp_path, tmp_path / "out"))
    assert report.failures == (("bad", "ValueError: its depth is upside down"),) and report.made == 2
    assert "  bad: ValueError: its depth is upside down" in str(report)
    assert sorted(os.listdir(tmp_path / "out/set")) == ["one", "one.txt", "two", "two.txt"]


def test_the_other_rule_makes_it_anew(tmp_path):
    for parity in (True, False):
        assert run(preparer("one"), Order(tmp_path, tmp_path / "out", parity=parity)).made == 1
        assert (tmp_path / "out/set/one/a").read_text() == str(parity)


def test_what_was_made_elsewhere_is_left_alone(tmp_path):
    write(tmp_path / "out/set/one/a", "of the reference")
    write(tmp_path / "out/set/one.txt", "")
    assert run(preparer("one"), Order(tmp_path, tmp_path / "out")).made == 0
    assert (tmp_path / "out/set/one/a").read_text() == "of the reference"


def test_half_a_sequence_is_made_anew(tmp_path):
    write(tmp_path / "out/set/one/old", "")
    write(tmp_path / "out/set/.partial-one/old", "")
    assert run(preparer("one"), Order(tmp_path, tmp_path / "out")).made == 1
    assert sorted(os.listdir(tmp_path / "out/set")) == ["one", "one.txt"]
    assert os.listdir(tmp_path / "out/set/one") == ["a"]


KILLED = """
import sys, time
from pathlib import Path
from eval.prepare.runner import Job, Order, Preparer, run
out = Path(sys.argv[1])
def make(name, hidden):
    hidden[0].mkdir()
    (hidden[0] / "a").touch()
    if name == "second":
        print("started", flush=True)
        time.sleep(60)
    return ""
jobs = lambda order: [Job(n, (out / n,), lambda hidden, n=n: make(n, hidden)) for n in ("first", "second")]
run(Preparer("toy", "", "", jobs), Order(out.parent, out))
"""


def test_a_kill_leaves_only_whole_sequences(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
    )
    with process:
        assert process.stdout.readline() == b"started\n"
        process.send_signal(signal.SIGKILL)
    assert [name for name in os.listdir(tmp_path / "out") if not name.startswith(".")] == ["first"]


def test_the_command_line_says_what_is_wrong(tmp_path, capsys):
    assert main(["bonn", "--raw", str(tmp_path / "none"), "--out", str(tmp_path)]) == 2
    assert main(["bonn", "--raw", str(tmp_path), "--out", str(tmp_path), "--frames", "501"]) == 2
    assert main(["check", "sintel", "--out", str(tmp_path)]) == 2
    with pytest.raises(SystemExit):
        main(["sevenscenes", "--raw", str(tmp_path), "--out", str(tmp_path), "--frames", "50"])


def test_a_missing_download_fails_every_sequence(tmp_path, caplog):
    caplog.set_level("INFO")
    assert main(["tum", "--raw", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "8 sequences: 0 made now, 0 already there, 8 failed" in caplog.text
    assert "rgbd_dataset_freiburg3_walking_rpy: FileNotFoundError: neither a folder" in caplog.text


def test_the_list_says_what_to_download(caplog):
    caplog.set_level("INFO")
    assert main(["list"]) == 0
    for name in ("bonn", "kitti", "nyu", "scannet", "sevenscenes", "tum", "sintel", "nrgbd", "kitti_odometry"):
        assert f"{name} " in caplog.text


def test_sequences_are_made_by_several_processes(tmp_path):
    write_tum(tmp_path / "raw")
    assert main(["tum", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "out"), "--workers", "2"]) == 0
    folder = tmp_path / "out" / "tum"
    made = [path for path in folder.rglob("rgb_90") if path.is_dir()]
    assert len(made) == len(SEQUENCES) and all(len(os.listdir(path)) == 90 for path in made)
    assert not list((tmp_path / "out").rglob("*.claim"))


def test_a_dry_run_says_what_there_is_to_do_and_writes_nothing(tmp_path, caplog):
    caplog.set_level("INFO")
    assert main(["tum", "--raw", str(tmp_path), "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    assert "8 sequences: 0 already there, 8 to make: rgbd_dataset_freiburg3_" in caplog.text
    assert not (tmp_path / "out").exists()


def test_sequences_are_made_again_by_name(tmp_path):
    order = Order(tmp_path, tmp_path / "out")
    run(preparer("one", "two"), order)
    write(tmp_path / "out/set/one/a", "spoiled")
    assert run(preparer("one", "two"), order, again=["one"]).made == 1
    assert (tmp_path / "out/set/one/a").read_text() == "False"
    with pytest.raises(ValueError, match="there is no sequence three to make again; the first of 2 is one"):
        run(preparer("one", "two"), order, again=["three"])


def test_two_runs_at_once_share_the_sequences(tmp_path):
    names, reports = [f"s{i}" for i in range(12)], []
    order = Order(tmp_path, tmp_path / "out")
    threads = [threading.Thread(target=lambda: reports.append(run(preparer(*names), order))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report.made for report in reports) == 12 and not any(report.failures for report in reports)
