"""Conversion as users run it: shards, several processes, interruption, failures, verification."""

import gzip
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cut3r.data.datasets import PROCESSED
from cut3r.data.datasets.tartanair import TartanAir
from datasets_preprocess import CONVERTERS
from datasets_preprocess.__main__ import main
from datasets_preprocess.runner import Converter, RawScene, Shard, read_records, require_rigid, run
from datasets_preprocess.verify import verify
from tests.data.datasets.raw_fixtures import center_tartanair, make_co3d, make_tartanair

ROOT = Path(__file__).parents[2]


def toy(convert, *, version=1, count=6):
    names = [RawScene(f"room/{i}") for i in range(count)]
    return Converter(TartanAir, version, lambda raw: reversed(names), convert)


def touch(raw, scene, writer):
    writer.npz("camera", scene.name, "0", number=1)
    return ["0"]


@pytest.fixture
def tartanair(tmp_path):
    make_tartanair(tmp_path / "raw")
    return tmp_path / "raw", tmp_path / "out"


def test_every_converter_has_a_reader_and_a_layout():
    assert CONVERTERS
    for name, converter in CONVERTERS.items():
        assert PROCESSED[name] is converter.reader


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


def test_what_another_run_does_while_we_still_plan_is_not_done_again(tmp_path):
    seen, others = [], []

    def convert(raw, scene, writer):
        seen.append(scene.name)
        return touch(raw, scene, writer)

    def sources(raw, scene):
        if not others and len(seen) == 1:  # looked at by the plan of the second run, after it has read the records
            others.append(None)
            others[0] = run(replace(toy(convert, count=3), sources=sources), raw, tmp_path / "out")
        return [raw / "made-from"]

    run(replace(toy(convert, count=3), sources=sources), tmp_path, tmp_path / "out", shard=Shard(1, 3))
    report = run(replace(toy(convert, count=3), sources=sources), tmp_path, tmp_path / "out")
    assert others[0].converted == 2
    assert (report.total, report.converted, report.skipped) == (3, 0, 3)
    assert sorted(seen) == [f"room/{i}" for i in range(3)]


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
    verification = verify("tartanair", out, compared=0)
    assert (verification.scenes, verification.frames, verification.problems) == (2, 12, [])


@pytest.mark.parametrize("kind", ["rgb.png", "depth.npy", "cam.npz"])
def test_verification_finds_a_truncated_file(tartanair, kind):
    raw, out = tartanair
    run(CONVERTERS["tartanair"], raw, out)
    center_tartanair(out)
    path = out / "abandoned" / "Hard" / "P000" / f"000003_{kind}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    problems = verify("tartanair", out, compared=0).problems
    assert len(problems) == 1 and problems[0].startswith("abandoned/Hard/P000/000003: ")


def test_verification_finds_a_frame_that_is_gone(tartanair):
    raw, out = tartanair
    run(CONVERTERS["tartanair"], raw, out)
    center_tartanair(out)
    (out / "abandoned" / "Hard" / "P000" / "000003_rgb.png").unlink()
    assert verify("tartanair", out, compared=0).problems == [
        "abandoned/Hard/P000: 1 of its files missing, first abandoned/Hard/P000/000003_rgb.png"
    ]


def test_a_scene_is_converted_again_when_its_raw_files_were_repaired(tartanair):
    raw, out = tartanair
    image = raw / "abandoned" / "Hard" / "P000" / "image_left" / "000003_left.png"
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    run(CONVERTERS["tartanair"], raw, out)
    center_tartanair(out)
    damaged = verify("tartanair", out, compared=0)
    assert len(damaged.problems) == 1
    assert "it notices which of them have changed; --again SCENE" in str(damaged)
    image.write_bytes(whole)
    report = run(CONVERTERS["tartanair"], raw, out)
    assert (report.converted, report.skipped) == (1, 1)
    center_tartanair(out)
    assert verify("tartanair", out, compared=0).problems == []
    assert run(CONVERTERS["tartanair"], raw, out).converted == 0


def test_a_failed_scene_is_tried_again_when_its_raw_files_were_repaired(tartanair):
    raw, out = tartanair
    poses = raw / "abandoned" / "Hard" / "P000" / "pose_left.txt"
    whole = poses.read_text()
    poses.write_text("\n".join(whole.splitlines()[:3]))
    assert len(run(CONVERTERS["tartanair"], raw, out).failures) == 1
    poses.write_text(whole)
    report = run(CONVERTERS["tartanair"], raw, out)
    assert (report.converted, report.failures) == (1, [])


def test_what_file_managers_leave_is_no_change(tartanair):
    raw, out = tartanair
    run(CONVERTERS["tartanair"], raw, out)
    for name in ("._000003_left.png", ".DS_Store"):
        (raw / "abandoned" / "Hard" / "P000" / "image_left" / name).write_bytes(b"\0")
    (raw / "._abandoned").write_bytes(b"\0")
    assert run(CONVERTERS["tartanair"], raw, out).converted == 0


def test_scenes_are_converted_again_by_name(tmp_path):
    run(toy(touch), tmp_path, tmp_path / "out")
    assert run(toy(touch), tmp_path, tmp_path / "out", again=["room/2", "5"]).converted == 2
    with pytest.raises(ValueError, match="there is no scene room/7 to convert again"):
        run(toy(touch), tmp_path, tmp_path / "out", again=["room/7"])


def test_records_of_older_versions_are_kept(tmp_path):
    for number, done in enumerate((True, True, False)):
        path = tmp_path / "out" / ".status" / "room" / f"{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        old = {"scene": f"room/{number}", "done": done, "frames": ["0"], "reason": "" if done else "it is upside down"}
        path.write_text(json.dumps({**old, "seconds": 1.0, "version": 1, "parity": False}))
    report = run(toy(touch), tmp_path, tmp_path / "out")
    assert (report.converted, report.skipped) == (3, 2)
    assert [record.reason for record in report.failures] == ["it is upside down"]


@pytest.mark.parametrize("pose", ["1 2 3 0 0 0 0", "1 2 3 nan 0 0 1", "1 -1.#IND 3 0 0 0 1", "1 2 3 0 0 x 1", "1 2 3"])
def test_a_pose_that_is_no_rotation_fails_its_scene_by_file_and_line(tartanair, pose):
    raw, out = tartanair
    poses = raw / "abandoned" / "Hard" / "P000" / "pose_left.txt"
    lines = poses.read_text().splitlines()
    lines[2] = pose
    poses.write_text("\n".join(lines))
    report = run(CONVERTERS["tartanair"], raw, out)
    (failure,) = report.failures
    assert failure.scene == "abandoned/Hard/P000"
    assert "pose_left.txt, line 3: " in failure.reason
    assert report.converted == 1


def test_a_depth_map_without_a_finite_value_is_a_problem(tartanair):
    raw, out = tartanair
    path = raw / "abandoned" / "Easy" / "P000" / "depth_left" / "000002_left_depth.npy"
    np.save(path, np.full((48, 64), np.nan, np.float32))
    run(CONVERTERS["tartanair"], raw, out)
    center_tartanair(out)
    (problem,) = verify("tartanair", out, compared=0).problems
    assert "abandoned/Easy/P000/000002: " in problem
    assert "000002_depth.npy holds no finite depth" in problem


def test_frames_that_show_no_depth_are_said_but_may_be_right(tmp_path):
    make_co3d(tmp_path / "raw")
    run(CONVERTERS["co3d"], tmp_path / "raw", tmp_path / "out")
    verification = verify("co3d", tmp_path / "out", compared=0)
    assert verification.problems == []
    assert "frames that show no depth at all: 1, first apple/102_5_6/frame000007" in str(verification)


def copy_category(raw, name):
    """A second category with the files of the first."""
    shutil.copytree(raw / "apple", raw / name)
    for path in [*(raw / name).glob("*.jgz"), *(raw / name).glob("set_lists/*.json")]:
        opened = gzip.open if path.suffix == ".jgz" else open
        with opened(path, "rt") as file:
            text = file.read()
        with opened(path, "wt") as file:
            file.write(text.replace("apple/", f"{name}/"))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("sequence_annotations.jgz", None),
        ("sequence_annotations.jgz", b""),
        ("sequence_annotations.jgz", gzip.compress(b"[{}]", mtime=0)),
        ("sequence_annotations.jgz", gzip.compress(b"[1]", mtime=0)),
        ("set_lists/set_lists_fewview_train.json", None),
        ("set_lists/set_lists_fewview_train.json", b"{}"),
        ("set_lists/set_lists_fewview_train.json", b"[1]"),
    ],
)
def test_a_category_with_a_damaged_file_is_named_and_the_others_are_converted(tmp_path, caplog, file, content):
    raw, out = tmp_path / "raw", tmp_path / "out"
    make_co3d(raw)
    copy_category(raw, "ball")
    path = raw / "ball" / file
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    caplog.set_level(logging.INFO)
    assert main(["co3d", "--raw", str(raw), "--out", str(out)]) == 1
    assert f"the scenes of ball are not converted: {path} cannot be read" in caplog.text
    assert {record.scene for record in read_records(out)} == {"train/apple/100_1_2", "train/apple/102_5_6"}
    path.write_bytes(whole)
    assert main(["co3d", "--raw", str(raw), "--out", str(out)]) == 0
    assert "train/ball/100_1_2" in {record.scene for record in read_records(out)}


def test_damaged_frame_annotations_fail_their_sequences_by_name(tmp_path):
    make_co3d(tmp_path / "raw")
    path = tmp_path / "raw" / "apple" / "frame_annotations.jgz"
    path.write_bytes(path.read_bytes()[:100])
    report = run(CONVERTERS["co3d"], tmp_path / "raw", tmp_path / "out")
    assert len(report.failures) == 2
    assert all(f"{path} cannot be read" in failure.reason for failure in report.failures)


def test_verification_of_every_split_allows_an_empty_one(tmp_path):
    make_co3d(tmp_path / "raw")
    run(CONVERTERS["co3d"], tmp_path / "raw", tmp_path / "out")
    assert verify("co3d", tmp_path / "out", compared=0).problems == []
    (tmp_path / "out" / "selected_seqs_train.json").unlink()
    assert verify("co3d", tmp_path / "out", compared=0).problems == [f"no scene of co3d in {tmp_path / 'out'}"]
    assert verify("co3d", tmp_path / "out", converter=CONVERTERS["co3d"], compared=0).problems == []


def test_a_folder_without_scenes_is_a_problem(tmp_path):
    assert verify("tartanair", tmp_path, compared=0).problems == [f"no scene of tartanair in {tmp_path}"]


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
    assert report.skipped >= len(done), "claims may hold more that were done"
    assert (report.converted + report.skipped, report.failures) == (12, [])
    for scene, times in done.items():
        assert path_times(out / scene) == times, "finished scenes are not touched"
    center_tartanair(out)
    verification = verify("tartanair", out, compared=0)
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
    assert [record.scene for record in read_records(tartanair[1]) if record.done] == ["abandoned/Easy/P000"]
    caplog.clear()
    assert main(["verify", "tartanair", "--out", out]) == 1
    assert "abandoned/Hard/P000: not converted" in caplog.text
    assert main(["co3d", "--raw", raw, "--out", out]) == 2
    assert f"no co3d scene in {raw}" in caplog.text


def test_scenes_are_listed_again_only_if_some_were_converted(tartanair):
    raw, out = tartanair
    run(CONVERTERS["tartanair"], raw, out)
    made = (out / "index.npz").stat().st_mtime_ns
    run(CONVERTERS["tartanair"], raw, out)
    assert (out / "index.npz").stat().st_mtime_ns == made
    run(CONVERTERS["tartanair"], raw, out, again=["Easy/P000"])
    assert (out / "index.npz").stat().st_mtime_ns > made
