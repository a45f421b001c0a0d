"""The demo's output folder: what is somebody else's stays as it is, and what cannot be written is known at once."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import demo
from cut3r.files.disk import DiskFullError
from cut3r.inference import frame_folder
from cut3r.inference.frame_folder import read_frame_folder
from cut3r.inference.reconstruction import Reconstruction
from cut3r.io.trajectory import read_tum
from tests.roof.demo_runs import ROOT, contents, run_demo, written


def test_a_shorter_run_leaves_no_frames_of_a_longer_one(weights, photos, tmp_path):
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out"]
    assert run_demo(*flags) == 0
    assert run_demo(*flags, "--end", 2) == 0
    assert len(list(read_frame_folder(tmp_path / "out"))) == 2


def test_the_marker_tells_version_settings_and_how_the_run_ended(weights, photos, tmp_path):
    assert run_demo("--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out") == 0
    marker = json.loads((tmp_path / "out" / "cut3r.json").read_text())
    assert marker["version"] == demo.cut3r.__version__
    assert (marker["state"], marker["frames"], marker["settings"]["dtype"]) == ("finished", 6, "fp32")


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("source", ["scene/color", "scene/color/*.png", "list.txt", "link", "scene/color/000000.png"])
@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
def test_a_run_on_its_own_output_folder_harms_nothing(source, flags, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number, path in enumerate(sorted(photos.iterdir())):
        (tmp_path / "scene" / "color").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "scene" / "color" / f"{number:06d}.png")
    (tmp_path / "link").symlink_to("scene/color")
    (tmp_path / "list.txt").write_text(f"{photos / 'photo_0.png'}\nscene/color/000001.png\n")
    before = contents(tmp_path / "scene")
    assert run_demo("--seq_path", source, "--output_dir", "scene", *flags) == demo.WRONG_ARGUMENTS
    assert "which this run would write to; name another --output_dir than scene" in capsys.readouterr().err
    assert contents(tmp_path / "scene") == before


@pytest.mark.usefixtures("no_network")
def test_a_folder_with_depth_of_somebody_else_is_refused_untouched(photos, tmp_path, capsys):
    (tmp_path / "scene" / "depth").mkdir(parents=True)
    np.save(tmp_path / "scene" / "depth" / "000000.npy", np.ones(3))
    before = contents(tmp_path)
    assert run_demo("--seq_path", photos, "--output_dir", tmp_path / "scene") == demo.WRONG_ARGUMENTS
    assert "--overwrite" in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_the_output_of_an_earlier_run_as_input_is_not_harmed(weights, photos, tmp_path):
    out = tmp_path / "out"
    assert run_demo("--model_path", weights, "--seq_path", photos, "--output_dir", out) == 0
    before = contents(out)
    flags = ["--model_path", weights, "--seq_path", out / "color"]
    assert run_demo(*flags, "--output_dir", out) == demo.WRONG_ARGUMENTS
    assert contents(out) == before
    assert run_demo(*flags, "--output_dir", tmp_path / "again") == 0


@pytest.mark.parametrize("failure", ["unreadable picture", "damaged network", "nothing to read"])
def test_a_run_that_gives_no_frame_leaves_the_earlier_one_whole(failure, weights, photos, tmp_path):
    out, bad = tmp_path / "out", tmp_path / "bad"
    assert run_demo("--model_path", weights, "--seq_path", photos, "--output_dir", out) == 0
    before = contents(out)
    bad.mkdir()
    (bad / "page.jpg").write_text("<html>not found</html>")
    if failure == "damaged network":
        (tmp_path / "damaged.safetensors").write_text("hello")
        flags = ["--model_path", tmp_path / "damaged.safetensors", "--seq_path", photos]
    else:
        flags = ["--model_path", weights, "--seq_path", bad]
    flags += ["--skip-bad"] if failure == "nothing to read" else []
    assert run_demo(*flags, "--output_dir", out) == (
        demo.NO_INPUT if failure == "nothing to read" else demo.WRONG_ARGUMENTS
    )
    assert contents(out) == before
    frames = written(out)
    assert run_demo("--model_path", weights, "--seq_path", photos, "--output_dir", out, "--resume") == 0
    assert written(out) == frames


def test_a_failed_run_makes_no_folder(photos, tmp_path):
    (tmp_path / "damaged.safetensors").write_text("hello")
    flags = ["--model_path", tmp_path / "damaged.safetensors", "--seq_path", photos]
    assert run_demo(*flags, "--output_dir", tmp_path / "new" / "out") == demo.WRONG_ARGUMENTS
    assert not (tmp_path / "new").exists()


def test_the_marker_is_written_before_an_older_frame_is_removed(weights, photos, tmp_path, monkeypatch):
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out"]
    assert run_demo(*flags, "--end", 2) == 0

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(frame_folder.FrameFolder, "begin", killed)
    assert run_demo(*flags, "--every", 2) == demo.INTERRUPTED
    assert json.loads((tmp_path / "out" / "cut3r.json").read_text())["settings"]["every"] == "2"
    assert not (tmp_path / "out" / "resume.npz").exists()


@pytest.mark.slow
def test_a_second_run_in_the_same_folder_is_refused_while_the_first_lives(weights, photos, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "demo.py", "--model_path", weights, "--seq_path", photos, "--output_dir", out]
    command = [*map(str, command), "--no-viewer", "--device", "cpu"]
    first = subprocess.Popen([*command, "--revisit", "10000"], cwd=ROOT, stderr=subprocess.DEVNULL)
    while not (out / ".cut3r.lock").exists() or not (out / ".cut3r.lock").read_text():
        assert first.poll() is None, "the first run ended before the second began"
        time.sleep(0.05)
    second = subprocess.run(command, cwd=ROOT, check=False, stderr=subprocess.PIPE, text=True)
    assert second.returncode == demo.WRONG_ARGUMENTS
    assert f"another run (process {first.pid} on " in second.stderr.splitlines()[-1]
    first.kill()
    first.wait()
    assert subprocess.run(command, cwd=ROOT, check=False, stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("target", ["afile/scene.ply", "dir.ply", "/proc/scene.ply", "scene.obj", "out/resume.npz"])
def test_an_impossible_target_is_refused_before_the_first_frame(target, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("afile").touch()
    Path("dir.ply").mkdir()
    saves = ["--save", "good.tum", "--save", target]
    assert run_demo("--seq_path", photos, "--output_dir", "out", *saves) == demo.WRONG_ARGUMENTS
    assert target in capsys.readouterr().err.splitlines()[-1]
    assert not Path("out").exists()


def test_one_target_that_fails_in_the_end_does_not_keep_the_others_from_it(
    weights, photos, tmp_path, monkeypatch, capsys
):
    save = Reconstruction.save

    def fail(self: Reconstruction, path: Path) -> None:
        if Path(path).suffix == ".ply":
            raise DiskFullError(Path(path).parent)
        save(self, path)

    monkeypatch.setattr(Reconstruction, "save", fail)
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out"]
    saves = ["--save", tmp_path / "scene.ply", "--save", tmp_path / "traj.tum"]
    assert run_demo(*flags, *saves) == demo.FAILED
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"demo.py: {tmp_path / 'scene.ply'} could not be finished")
    assert "--resume and --save OTHER writes it" in last
    assert len(read_tum(tmp_path / "traj.tum")[0]) == 6
    monkeypatch.undo()
    assert run_demo(*flags, "--resume", "--save", tmp_path / "other.ply") == 0
    assert (tmp_path / "other.ply").stat().st_size > 100


def test_a_full_disk_is_called_so_with_what_is_kept_and_what_is_needed(weights, photos, tmp_path, monkeypatch, capsys):
    write_image = frame_folder.write_image

    def fill(path: Path, rgb: np.ndarray, **options: bool) -> None:
        if path.stem == "000004":
            raise DiskFullError(path.parent)
        write_image(path, rgb, **options)

    monkeypatch.setattr(frame_folder, "write_image", fill)
    out = tmp_path / "out"
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", out]
    assert run_demo(*flags, "--save", tmp_path / "traj.tum") == demo.FAILED
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"the disk of {out / 'color'} is full; 4 finished frames are kept in {out}" in last
    assert "so the 2 that are left about 0.1 MB: make room, then the same command with --resume goes on" in last
    assert len(list((out / "depth").iterdir())) == 4
    assert len(read_tum(tmp_path / "traj.tum")[0]) == 4
    monkeypatch.undo()
    assert run_demo(*flags, "--resume") == 0
    assert len(list(read_frame_folder(out))) == 6


def test_no_password_reaches_a_file(weights, tmp_path, monkeypatch):
    """Of a live source, whose address holds it; and there is nothing to resume."""
    from cut3r.io.frames import Frame, FrameStream

    pixels = np.zeros((48, 64, 3), np.uint8)
    frames = [Frame(pixels, number, float(number), f"rtsp://cam/stream#{number:06d}") for number in range(3)]
    stream = FrameStream(iter(frames), "live rtsp://cam/stream, 64x48", expected=None, skipped=[], live=True)
    monkeypatch.setattr("cut3r.run.footage.open_frames", lambda *_args, **_options: stream)
    out = tmp_path / "out"
    flags = ["--seq_path", "rtsp://admin:hunter2@cam/stream", "--output_dir", out, "--save", out / "all.npz"]
    assert run_demo("--model_path", weights, *flags) == 0
    assert not (out / "resume.npz").exists()
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 12
    for path in files:
        data = b"".join(np.load(path)[name].tobytes() for name in np.load(path)) if path.suffix == ".npz" else b""
        for secret in ("hunter2", "admin"):
            assert secret.encode() not in path.read_bytes() + data, path
            assert secret.encode("utf-32-le") not in data, path
