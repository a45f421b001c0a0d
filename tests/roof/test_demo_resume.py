"""A run that stopped, for whatever reason, keeps what was finished and can go on from there."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import demo
from cut3r.inference.frame_folder import FrameFolder, read_frame_folder
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.result import FrameResult
from cut3r.inference.snapshot import Packed
from cut3r.io.frames import FrameStream
from cut3r.io.trajectory import read_tum
from cut3r.rules import rule_of, text_of
from cut3r.run.resume import ResumePoint
from cut3r.run.writer import RunWriter
from tests.roof.demo_runs import ROOT, contents, run_demo, written


def interrupt_at(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException | int) -> None:
    """Let writing a frame end in an error; or let the user press Ctrl-C, or somebody send a signal, at that frame."""
    place = FrameFolder if isinstance(error, Exception) else RunWriter  # in the writing thread, or in the main one
    add = place.add

    def interrupted(self: FrameFolder | RunWriter, result: FrameResult) -> None:
        if result.number == number and isinstance(error, BaseException):
            raise error
        if result.number == number:
            os.kill(os.getpid(), error)
        add(self, result)

    monkeypatch.setattr(place, "add", interrupted)


@pytest.mark.parametrize("passes", [1, 2])
def test_an_interrupted_run_goes_on_with_the_same_result(weights, photos, tmp_path, monkeypatch, passes):
    flags = ["--model_path", weights, "--seq_path", photos, "--revisit", passes]
    assert run_demo(*flags, "--output_dir", tmp_path / "whole", "--save", tmp_path / "whole.npz") == 0
    interrupt_at(monkeypatch, 2, signal.SIGTERM)  # in the middle of a frame, which is finished all the same
    assert run_demo(*flags, "--output_dir", tmp_path / "parts") == demo.INTERRUPTED
    monkeypatch.undo()
    assert len(list(read_frame_folder(tmp_path / "parts"))) == 3
    assert run_demo(*flags, "--output_dir", tmp_path / "parts", "--resume", "--save", tmp_path / "parts.npz") == 0
    assert written(tmp_path / "parts") == written(tmp_path / "whole")
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "parts.npz") as parts:
        assert all(whole[name].tobytes() == parts[name].tobytes() for name in whole.files)


@pytest.mark.parametrize("rule", ["filt3r:r=0.8", "memix+ttsa3r"])
def test_a_run_that_writes_by_a_rule_goes_on_with_its_buffers(weights, photos, tmp_path, monkeypatch, capsys, rule):
    flags = ["--model_path", weights, "--seq_path", photos, "--save-frames", "none", "--update", rule]
    assert run_demo(*flags, "--output_dir", tmp_path / "whole", "--save", tmp_path / "whole.npz") == 0
    interrupt_at(monkeypatch, 2, signal.SIGTERM)
    parts = ["--output_dir", tmp_path / "parts"]
    assert run_demo(*flags, *parts) == demo.INTERRUPTED
    monkeypatch.undo()
    marker = json.loads((tmp_path / "parts" / "cut3r.json").read_text())
    assert marker["settings"]["update"] == text_of(rule_of(rule))
    assert run_demo(*flags[:-2], *parts, "--update", "filt3r", "--resume") == demo.WRONG_ARGUMENTS
    assert "update was" in capsys.readouterr().err
    assert run_demo(*flags, *parts, "--resume", "--save", tmp_path / "parts.npz") == 0
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "parts.npz") as parts_file:
        assert all(whole[name].tobytes() == parts_file[name].tobytes() for name in whole.files)


def test_a_rule_that_does_not_exist_is_refused_before_anything_is_made(weights, photos, tmp_path, capsys):
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out", "--update", "tt3r"]
    assert run_demo(*flags) == demo.WRONG_ARGUMENTS
    assert "there is no update rule 'tt3r'; choose from overwrite, ttt3r" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_killed_run_keeps_finished_frames_and_resumes(weights, photos, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "demo.py", "--model_path", weights, "--seq_path", photos, "--output_dir", out]
    command = [*map(str, command), "--no-viewer", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not (out / "camera" / "000001.npz").exists():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert len(list(read_frame_folder(out))) >= 2
    assert subprocess.run([*command, "--resume"], cwd=ROOT, check=False, stderr=subprocess.DEVNULL).returncode == 0
    assert len(list(read_frame_folder(out))) == 6


def test_resuming_with_other_flags_is_refused(weights, photos, tmp_path, capsys):
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out"]
    assert run_demo(*flags) == 0
    assert run_demo(*flags, "--resume", "--every", 2) == demo.WRONG_ARGUMENTS
    assert "every was 1 and is 2" in capsys.readouterr().err


def test_resuming_a_finished_run_changes_nothing(weights, photos, tmp_path):
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out"]
    assert run_demo(*flags) == 0
    before = written(tmp_path / "out")
    assert run_demo(*flags, "--resume") == 0
    assert written(tmp_path / "out") == before


BREAKS = {
    "disk error": (OSError(5, "Input/output error"), demo.FAILED, "Input/output error"),
    "device out of memory": (RuntimeError("CUDA out of memory. Tried to"), demo.FAILED, "the device is out of memory"),
    "machine out of memory": (MemoryError("Unable to allocate"), demo.FAILED, "the machine is out of memory"),
    "device gone": (RuntimeError("CUDA error: unspecified\nmore"), demo.FAILED, "failed (CUDA error: unspecified)"),
    "two times Ctrl-C": (KeyboardInterrupt(), demo.INTERRUPTED, ""),
}


@pytest.mark.parametrize("case", BREAKS)
def test_an_error_in_the_middle_saves_what_exists_and_the_run_goes_on_later(
    case, weights, photos, tmp_path, monkeypatch, capsys
):
    error, code, said = BREAKS[case]
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out"]
    interrupt_at(monkeypatch, 3, error)
    assert run_demo(*flags, "--save", tmp_path / "traj.tum") == code
    output = capsys.readouterr().err
    assert said in output.splitlines()[-1]
    assert "3 finished frames are kept" in output
    assert "--resume goes on" in output
    assert len(read_tum(tmp_path / "traj.tum")[0]) == len(list(read_frame_folder(tmp_path / "out"))) == 3
    assert json.loads((tmp_path / "out" / "cut3r.json").read_text())["state"] == "stopped"
    monkeypatch.undo()
    assert run_demo(*flags, "--resume", "--save", tmp_path / "parts.npz") == 0
    assert run_demo(*flags[:-1], tmp_path / "whole", "--save", tmp_path / "whole.npz") == 0
    assert written(tmp_path / "out") == written(tmp_path / "whole")
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "parts.npz") as parts:
        assert all(whole[name].tobytes() == parts[name].tobytes() for name in whole.files)


def test_an_error_of_ours_keeps_its_traceback_and_what_exists(weights, photos, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 3, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        run_demo("--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out")
    assert len(list(read_frame_folder(tmp_path / "out"))) == 3
    assert (tmp_path / "out" / "resume.npz").exists()


def test_an_unreadable_frame_in_the_middle_can_be_left_out_by_the_resumed_run(weights, photos, tmp_path):
    (photos / "photo_3.png").write_bytes(b"damaged")
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out"]
    assert run_demo(*flags, "--save", tmp_path / "traj.tum") == demo.WRONG_ARGUMENTS
    assert len(read_tum(tmp_path / "traj.tum")[0]) == 3
    assert run_demo(*flags, "--resume", "--skip-bad") == 0
    assert [frame.name for frame in read_frame_folder(tmp_path / "out")] == [f"photo_{n}.png" for n in (0, 1, 2, 4, 5)]


def test_frames_that_were_skipped_must_go_on_being_skipped(weights, photos, tmp_path, monkeypatch, capsys):
    (photos / "photo_1.png").write_bytes(b"damaged")
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out"]
    interrupt_at(monkeypatch, 2, signal.SIGTERM)
    assert run_demo(*flags, "--skip-bad") == demo.INTERRUPTED
    monkeypatch.undo()
    assert run_demo(*flags, "--resume") == demo.WRONG_ARGUMENTS
    assert "skip_bad was True and is False" in capsys.readouterr().err


CHANGES = {
    "added": lambda photos: shutil.copy(photos / "photo_5.png", photos / "photo_0b.png"),
    "removed": lambda photos: (photos / "photo_0.png").unlink(),
    "renamed": lambda photos: (photos / "photo_1.png").rename(photos / "photo_7.png"),
    "replaced": lambda photos: shutil.copyfile(photos / "photo_4.png", photos / "photo_1.png"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_going_on_with_another_input_is_refused(change, weights, photos, tmp_path, monkeypatch, capsys):
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out"]
    interrupt_at(monkeypatch, 2, signal.SIGTERM)
    assert run_demo(*flags) == demo.INTERRUPTED
    monkeypatch.undo()
    CHANGES[change](photos)
    before = contents(tmp_path / "out")
    assert run_demo(*flags, "--resume") == demo.WRONG_ARGUMENTS
    assert "the input is not the one" in capsys.readouterr().err.splitlines()[-1]
    assert contents(tmp_path / "out") == before


def test_a_resumed_run_keeps_the_precision_that_was_chosen(weights, photos, tmp_path, monkeypatch, capsys):
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out"]
    monkeypatch.setattr("cut3r.run.from_flags.pack", lambda _: None)  # not every processor can
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2, signal.SIGTERM)
        assert run_demo(*flags, "--dtype", "bf16") == demo.INTERRUPTED
    assert run_demo(*flags, "--dtype", "fp32", "--resume") == demo.WRONG_ARGUMENTS
    assert "dtype was bf16 and is fp32" in capsys.readouterr().err
    assert run_demo(*flags, "--resume") == 0
    assert "matrix products in bfloat16" in capsys.readouterr().err


def test_nothing_to_go_on_with_is_said(weights, photos, tmp_path, capsys):
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out"]
    assert run_demo(*flags, "--resume") == 0
    assert "begins with the first frame" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--resume"], ["--revisit", 2]])
def test_a_live_source_cannot_be_read_again(flags, weights, tmp_path, monkeypatch, capsys):
    stream = FrameStream(iter(()), "live camera:0, 64x48", expected=None, skipped=[], live=True)
    monkeypatch.setattr("cut3r.run.footage.open_frames", lambda *_args, **_options: stream)
    flags = ["--model_path", weights, "--seq_path", "camera:0", "--output_dir", tmp_path / "out", *flags]
    assert run_demo(*flags) == demo.WRONG_ARGUMENTS
    assert "live camera:0, 64x48 cannot be read a second time" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "waits"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_the_page_stays_after_ctrl_c_and_goes_after_a_kill(number, waits, weights, photos, tmp_path, monkeypatch):
    from cut3r.viewer.app import Viewer

    waited = []
    monkeypatch.setattr(Viewer, "wait", lambda _: waited.append((tmp_path / "traj.tum").exists()))
    interrupt_at(monkeypatch, 2, number)
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out", "--port", 0]
    flags += ["--save", tmp_path / "traj.tum", "--device", "cpu"]
    assert demo.main(list(map(str, flags))) == demo.INTERRUPTED
    assert waited == ([True] if waits else []), "everything is written before the page waits"


def test_a_page_that_fails_is_named_and_costs_no_file(weights, photos, tmp_path, monkeypatch, capsys):
    from cut3r.viewer.app import Viewer

    def fail(_: Viewer, result: FrameResult) -> None:
        raise ZeroDivisionError(f"frame {result.number}")

    monkeypatch.setattr(Viewer, "add", fail)
    monkeypatch.setattr(Viewer, "wait", lambda _: None)
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out", "--port", 0]
    assert demo.main([*map(str, flags), "--device", "cpu"]) == demo.FAILED
    assert "the viewer failed at frame 0 (photo_0.png)" in capsys.readouterr().err.splitlines()[-1]
    assert len(list(read_frame_folder(tmp_path / "out"))) == 6
    assert json.loads((tmp_path / "out" / "cut3r.json").read_text())["state"] == "finished"


def test_a_resume_point_knows_only_of_frames_that_are_written(weights, photos, tmp_path, monkeypatch):
    """However far ahead the network is of the files, and whenever the run is killed."""
    seen = []
    write = ResumePoint.write

    def look(self: ResumePoint, packed: Packed, scene: Reconstruction) -> None:
        number = json.loads(packed[1]["cut3r.session"])["number"]
        seen.append((number, len(scene.cameras), FrameFolder(tmp_path / "out").finished()))
        write(self, packed, scene)

    add = FrameFolder.add
    monkeypatch.setattr(ResumePoint, "is_due", lambda _: True)
    monkeypatch.setattr(ResumePoint, "write", look)
    monkeypatch.setattr(FrameFolder, "add", lambda *args: [time.sleep(0.05), add(*args)][1])
    assert run_demo("--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out") == 0
    assert len(seen) > 1
    assert all(session == cameras == files for session, cameras, files in seen)


@pytest.mark.parametrize("frames", ["none", "some"])
def test_fewer_files_give_the_same_scene_and_can_be_resumed(frames, weights, photos, tmp_path, monkeypatch):
    flags = ["--model_path", weights, "--seq_path", photos]
    assert run_demo(*flags, "--output_dir", tmp_path / "all", "--save", tmp_path / "all.npz") == 0
    flags += ["--save-frames", frames, "--output_dir", tmp_path / "out"]
    monkeypatch.setattr("cut3r.run.from_flags.SOME", 2)
    interrupt_at(monkeypatch, 2, signal.SIGTERM)
    assert run_demo(*flags) == demo.INTERRUPTED
    interrupt_at(monkeypatch, 9, signal.SIGTERM)
    assert run_demo(*flags, "--resume", "--save", tmp_path / "few.npz") == 0
    files = {name for name in written(tmp_path / "out") if name.startswith("depth/")}
    assert files == {f"depth/00000{number}.npy" for number in ((0, 2, 4) if frames == "some" else ())}
    with np.load(tmp_path / "all.npz") as whole, np.load(tmp_path / "few.npz") as parts:
        assert all(whole[name].tobytes() == parts[name].tobytes() for name in whole.files)
