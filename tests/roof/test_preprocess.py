"""Conversion as users run it: shards, several processes, interruption, failures, verification."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from datasets_preprocess import CONVERTERS
from datasets_preprocess.__main__ import main
from datasets_preprocess.runner import Converter, RawScene, Shard, read_records, require_rigid, run
from datasets_preprocess.verify import verify
from tests.data.datasets.raw_fixtures import center_tartanair, make_co3d, make_tartanair

ROOT = Path(__file__).parents[2]


def toy(convert, *, version=1, count=6):
    names = [RawScene(f"room/{i}") for i in range(count)]
    return Converter("tartanair", "a toy", version, lambda raw: reversed(names), convert)


def touch(raw, scene, writer):
    writer.npz("camera", scene.name, "0", number=1)
    return ["0"]


@pytest.fixture
def tartanair(tmp_path):
    make_tartanair(tmp_path / "raw")
    return tmp_path / "raw", tmp_path / "out"


def test_every_converter_has_a_reader_and_a_layout():
    from cut3r.data.datasets import DATASETS
    from cut3r.data.layout import LAYOUTS

    assert set(CONVERTERS) == set(LAYOUTS) <= set(DATASETS)


def test_scenes_are_converted_once(tmp_path):
    seen = []

    def convert(raw, scene, writer):
        seen.append(scene.name)
        return touch(raw, scene, writer)

    first = run(toy(convert), tmp_path, tmp_path / "out")
    assert (first.total, first.converted, first.skipped) == (6, 6, 0)
    again = run(toy(convert), tmp_path, tmp_path / "out")
    assert (again.total, again.converted, again.skipped) == (6, 0, 6)
    assert seen == [f"room/{i}" for i in range(6)]


def test_shards_share_the_scenes(tmp_path):
    for number in (1, 2, 3):
        before = {record.scene for record in read_records(tmp_path / "out")}
        report = run(toy(touch, count=7), tmp_path, tmp_path / "out", shard=Shard(number, 3))
        mine = {record.scene for record in read_records(tmp_path / "out")} - before
        assert mine == {f"room/{i}" for i in range(number - 1, 7, 3)} and report.total == len(mine)
    assert len(read_records(tmp_path / "out")) == 7


def test_shards_are_counted_from_one():
    assert Shard.parse("3/8") == Shard(3, 8)
    with pytest.raises(ValueError, match="no shard 0/8"):
        Shard.parse("0/8")
    with pytest.raises(ValueError, match="write 3/8"):
        Shard.parse("third")


def test_a_failure_is_recorded_with_its_reason_and_stops_nothing(tmp_path):
    def convert(raw, scene, writer):
        if scene.name == "room/2":
            raise ValueError("the depth map is upside down")
        return touch(raw, scene, writer)

    report = run(toy(convert), tmp_path, tmp_path / "out")
    assert report.converted == 5
    assert [(record.scene, record.reason) for record in report.failures] == [
        ("room/2", "ValueError: the depth map is upside down")
    ]
    assert "room/2: ValueError: the depth map is upside down" in str(report)
    unchanged = run(toy(touch), tmp_path, tmp_path / "out")
    assert (unchanged.converted, unchanged.skipped, len(unchanged.failures)) == (0, 5, 1)
    repaired = run(toy(touch), tmp_path, tmp_path / "out", retry_failed=True)
    assert (repaired.converted, repaired.skipped, len(repaired.failures)) == (1, 5, 0)


@pytest.mark.parametrize("change", ["version", "parity"])
def test_another_version_or_other_options_convert_again(tmp_path, change):
    run(toy(touch), tmp_path, tmp_path / "out")
    changed = toy(touch, version=2 if change == "version" else 1)
    assert run(changed, tmp_path, tmp_path / "out", parity=change == "parity").converted == 6


def test_a_missing_download_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="download tartanair first"):
        run(CONVERTERS["tartanair"], tmp_path / "raw", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no tartanair scene in"):
        run(CONVERTERS["tartanair"], tmp_path, tmp_path / "out")


def test_a_pose_that_is_no_rigid_motion_is_refused():
    require_rigid(np.eye(4), "frame")
    for wrong in (np.diag([1.0, 1, -1, 1]), np.diag([2.0, 2, 2, 1]), np.full((4, 4), np.nan)):
        with pytest.raises(ValueError, match="no rigid motion"):
            require_rigid(wrong, "frame")


def test_verification_reads_every_frame(tartanair):
    raw, out = tartanair
    run(CONVERTERS["tartanair"], raw, out)
    center_tartanair(out)
    verification = verify("tartanair", out)
    assert (verification.scenes, verification.frames, verification.problems) == (2, 12, [])


@pytest.mark.parametrize("kind", ["rgb.png", "depth.npy", "cam.npz"])
def test_verification_finds_a_truncated_file(tartanair, kind):
    raw, out = tartanair
    run(CONVERTERS["tartanair"], raw, out)
    center_tartanair(out)
    path = out / "abandoned" / "Hard" / "P000" / f"000003_{kind}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    problems = verify("tartanair", out).problems
    assert len(problems) == 1 and problems[0].startswith("abandoned/Hard/P000/000003: ")


def test_verification_finds_a_frame_that_is_gone(tartanair):
    raw, out = tartanair
    run(CONVERTERS["tartanair"], raw, out)
    center_tartanair(out)
    (out / "abandoned" / "Hard" / "P000" / "000003_rgb.png").unlink()
    assert verify("tartanair", out).problems == [
        "the converter recorded 12 frames and the reader finds 11; convert again"
    ]


def test_verification_of_every_split_allows_an_empty_one(tmp_path):
    make_co3d(tmp_path / "raw")
    run(CONVERTERS["co3d"], tmp_path / "raw", tmp_path / "out")
    assert verify("co3d", tmp_path / "out").problems == []
    (tmp_path / "out" / "selected_seqs_train.json").unlink()
    assert "split train: FileNotFoundError" in verify("co3d", tmp_path / "out").problems[0]


def test_a_folder_without_scenes_is_a_problem(tmp_path):
    assert verify("tartanair", tmp_path).problems == [f"no scene of tartanair in {tmp_path}"]


def test_a_killed_run_leaves_nothing_half_done_and_goes_on_later(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    for number in range(6):
        make_tartanair(raw, frames=40, environment=f"place{number}")
    command = [sys.executable, "-m", "datasets_preprocess", "tartanair", "--raw", raw, "--out", out, "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not read_records(out) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    time.sleep(0.5)  # the workers notice that their parent is gone
    done = {record.scene: path_times(out / record.scene) for record in read_records(out)}
    assert 0 < len(done) < 12, "killed in the middle"

    report = run(CONVERTERS["tartanair"], raw, out)
    assert (report.converted, report.skipped, report.failures) == (12 - len(done), len(done), [])
    for scene, times in done.items():
        assert path_times(out / scene) == times, "finished scenes are not touched"
    center_tartanair(out)
    verification = verify("tartanair", out)
    assert (verification.scenes, verification.frames, verification.problems) == (12, 480, [])


def path_times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_the_command_line_lists_converts_verifies_and_tells_failures(tartanair, caplog):
    raw, out = map(str, tartanair)
    (tartanair[0] / "abandoned" / "Hard" / "P000" / "pose_left.txt").write_text("1 2 3 0 0 0 1\n")
    caplog.set_level(logging.INFO)
    assert main(["list"]) == 0
    assert all(name in caplog.text for name in ("co3d", "scannetpp", "tartanair"))
    assert main(["tartanair", "--raw", raw, "--out", out, "--shard", "1/1"]) == 1
    assert "abandoned/Hard/P000: ValueError: 6 images, 6 depth maps and 1 poses" in caplog.text
    assert json.loads((tartanair[1] / ".status/abandoned/Easy/P000.json").read_text())["done"] is True
    caplog.clear()
    assert main(["verify", "tartanair", "--out", out]) == 1
    assert "abandoned/Hard/P000: not converted" in caplog.text
    assert main(["co3d", "--raw", raw, "--out", out]) == 2
    assert f"no co3d scene in {raw}" in caplog.text
