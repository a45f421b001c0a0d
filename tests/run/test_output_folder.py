"""Nothing of the user's is removed or replaced: a folder must be ours, and one run at a time writes to it."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from cut3r.run.output_folder import LOCK, THE_INPUT, OutputFolder, RunState, read_marker

SETTINGS = {"every": "1", THE_INPUT: "3 files"}


def write(path: Path, text: str = "mine") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def claim(folder: Path, *, overwrite: bool = False) -> OutputFolder:
    output = OutputFolder(folder, overwrite=overwrite)
    output.check_owner()
    return output


def finished_run(folder: Path) -> None:
    with claim(folder) as output:
        output.begin("1.0", SETTINGS)
        for kind, suffix in (("depth", "npy"), ("conf", "npy"), ("color", "png"), ("camera", "npz")):
            write(folder / kind / f"000000.{suffix}", "ours")
        write(folder / "resume.npz", "ours")
        output.end(RunState.finished, 1)


@pytest.mark.parametrize("file", ["depth/000000.npy", "conf/x.txt", "color/000123.jpg", "camera/deeper/a.npz"])
def test_files_of_somebody_else_in_any_of_the_four_folders_are_refused(file, tmp_path):
    path = write(tmp_path / "scene" / file)
    with pytest.raises(ValueError, match=f"{tmp_path / 'scene'} holds files such as .* --output_dir, .* --overwrite"):
        claim(tmp_path / "scene")
    assert path.exists()
    assert not (tmp_path / "scene" / LOCK).exists()


def test_a_folder_without_such_files_is_taken(tmp_path):
    write(tmp_path / "rgb" / "000000.png")
    write(tmp_path / "color" / ".DS_Store")
    with claim(tmp_path) as output:
        output.begin("1.0", SETTINGS)
    assert (tmp_path / "rgb" / "000000.png").exists()


def test_the_marker_says_what_is_in_the_folder(tmp_path):
    finished_run(tmp_path)
    record = json.loads((tmp_path / "cut3r.json").read_text())
    assert record["version"] == "1.0"
    assert record["settings"] == SETTINGS
    assert (record["state"], record["frames"]) == ("finished", 1)
    assert read_marker(tmp_path / "cut3r.json").state is RunState.finished


def test_nothing_changes_before_the_new_run_begins_and_then_the_older_one_goes(tmp_path):
    finished_run(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with claim(tmp_path) as output:
        assert sorted(tmp_path.rglob("*")) == before
        output.begin("2.0", SETTINGS)
        assert not list(tmp_path.rglob("000000.*"))
        assert not (tmp_path / "resume.npz").exists()
        assert read_marker(tmp_path / "cut3r.json").state is RunState.running


def test_a_run_that_goes_on_keeps_the_frames_before_and_the_time_of_its_beginning(tmp_path):
    finished_run(tmp_path)
    write(tmp_path / "depth" / "000001.npy", "half done")
    created = read_marker(tmp_path / "cut3r.json").created
    with claim(tmp_path) as output:
        output.begin("1.0", SETTINGS, first=1)
        assert output.marker.created == created
    assert len(list(tmp_path.rglob("000000.*"))) == 4
    assert not (tmp_path / "depth" / "000001.npy").exists()
    assert (tmp_path / "resume.npz").exists()


def test_with_overwrite_nothing_of_somebody_else_is_removed_now_or_later(tmp_path):
    path = write(tmp_path / "depth" / "000007.npy")
    for _ in range(2):
        with claim(tmp_path, overwrite=True) as output:
            output.begin("1.0", SETTINGS)
            output.end(RunState.finished, 1)
        assert path.read_text() == "mine"
        with pytest.raises(ValueError, match="--overwrite"):
            claim(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"name": "my-package"}', '{"settings": 1}'])
def test_a_marker_that_is_not_ours_is_refused_even_with_overwrite(text, tmp_path):
    write(tmp_path / "cut3r.json", text)
    with pytest.raises(ValueError, match=r"cut3r.json is not what a run writes there"):
        claim(tmp_path, overwrite=True)


def test_a_folder_of_a_version_without_markers_is_known_by_its_resume_file(tmp_path):
    path = write(tmp_path / "depth" / "000000.npy", "ours")
    np.savez(tmp_path / "resume.npz", record=np.array(json.dumps({"settings": {}, "session": {}})))
    with claim(tmp_path) as output:
        output.begin("1.0", SETTINGS)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["text", "archive"])
def test_a_resume_file_of_somebody_else_is_refused(kind, tmp_path):
    if kind == "text":
        write(tmp_path / "resume.npz")
    else:
        np.savez(tmp_path / "resume.npz", record=np.zeros(3), jobs=np.zeros(3))
    with pytest.raises(ValueError, match="was not written by a run of this program"):
        claim(tmp_path, overwrite=True)


def test_a_second_run_is_refused_while_the_first_is_there(tmp_path):
    with claim(tmp_path), pytest.raises(ValueError, match=rf"another run \(process {os.getpid()} .*wait until it ends"):
        claim(tmp_path).__enter__()
    with claim(tmp_path):
        pass


def hold(folder: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with claim(folder):
        ready.set()
        signal.pause()


def test_a_killed_run_locks_nobody_out(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    with pytest.raises(ValueError, match=f"process {process.pid} "):
        claim(tmp_path).__enter__()
    process.kill()
    process.join()
    with claim(tmp_path):
        pass


def test_a_run_that_never_began_leaves_nothing_behind(tmp_path):
    with claim(tmp_path / "deep" / "out"):
        assert (tmp_path / "deep" / "out" / LOCK).exists()
    assert not os.listdir(tmp_path)
    finished_run(tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with claim(tmp_path / "out"):
        pass
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_another_input_with_the_same_flags_is_refused_and_other_flags_are_left_to_the_resume_point(tmp_path):
    finished_run(tmp_path)
    output = claim(tmp_path)
    output.check_input(SETTINGS)
    output.check_input(SETTINGS | {"every": "2", THE_INPUT: "2 files"})
    with pytest.raises(ValueError, match=r"the input is not the one .* \(3 files then, 4 files now\); bring it back"):
        output.check_input(SETTINGS | {THE_INPUT: "4 files"})
