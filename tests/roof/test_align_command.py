"""`cut3r align` on what demo.py has written, as a user runs it."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import cut3r
from cut3r.inference.frame_folder import FrameFolder, read_frame_folder
from cut3r.io.ply import read_ply
from cut3r.io.trajectory import read_tum
from cut3r.run.command import main
from cut3r.run.console import NO_INPUT, WRONG_ARGUMENTS
from cut3r.run.output_folder import RunState, read_marker
from cut3r.weights import checkpoint
from tests.roof.demo_runs import contents, run_demo


@pytest.fixture
def out(weights, photos, tmp_path):
    """A finished run."""
    flags = ["--model_path", weights, "--output_dir", tmp_path / "out", "--vis_threshold", 1.0]
    assert run_demo(photos, *flags, "--save", tmp_path / "out" / "scene.ply") == 0
    return tmp_path / "out"


def align(*arguments: object) -> int:
    return main(["align", *map(str, arguments)])


@pytest.mark.parametrize("method", ["graph", "full"])
def test_a_finished_run_is_aligned_and_stays_as_it_is(out, method):
    before = contents(out)
    saves = ["--save", "scene.ply", "--save", "traj.tum", "--export", "tum:path"]
    assert align(out, "--align", method, "--device", "cpu", *saves) == 0
    after = contents(out)
    assert {name: after[name] for name in before} == before
    aligned = out / "aligned"
    assert {name for name in after if name not in before} == {
        f"aligned/{path.relative_to(aligned)}" for path in aligned.rglob("*") if path.is_file()
    }
    ours, theirs = list(read_frame_folder(aligned)), list(read_frame_folder(out))
    assert [frame.name for frame in ours] == [frame.name for frame in theirs] and len(ours) == 6
    report = json.loads((aligned / "alignment.json").read_text())
    assert report["align"] == method and report["frames"] == 6 and report["left_out"] == [] and "loops" in report
    assert len(read_ply(aligned / "scene.ply")) > 0 and (aligned / "traj.tum").exists()
    assert len(read_tum(aligned / "path" / "trajectory.tum")[0]) == 6
    assert read_marker(aligned / "cut3r.json").state is RunState.finished
    assert not (aligned / ".alignment").exists()


def test_an_aligned_folder_can_be_aligned_again(out):
    assert align(out, "--loops", "off") == 0
    assert align(out, "--loops", "off") == 0
    assert align(out / "aligned", "--loops", "off") == 0


def test_the_library_does_the_same(out):
    scene = cut3r.align(out, loops="off", scene=cut3r.Reconstruction(confidence=1.0))
    assert align(out, "--loops", "off") == 0
    cameras = np.stack([frame.world_from_cam for frame in read_frame_folder(out / "aligned")])
    np.testing.assert_allclose(scene.cameras.world_from_cam, cameras, atol=1e-6)
    assert len(scene) > 0


def test_without_the_network_nothing_is_looked_for(out, weights, capfd):
    weights.unlink()
    assert align(out) == 0
    assert "is not here: --model_path names another" in capfd.readouterr().err
    assert "loops" not in json.loads((out / "aligned" / "alignment.json").read_text())


def test_known_intrinsics_reproduce_themselves(out, capfd):
    assert align(out, "--loops", "off", "--intrinsics", "50,51,31,24") == 0
    for frame in read_frame_folder(out / "aligned"):
        np.testing.assert_allclose(frame.intrinsics_original, [[50, 0, 31], [0, 51, 24], [0, 0, 1]], rtol=1e-6)


def test_bundle_adjustment_finds_the_pictures_again(out, photos, capfd):
    pytest.importorskip("pyceres", reason="SKIPPED LOUDLY: no pyceres (pip install cut3r[ba])")
    assert align(out, "--loops", "off", "--ba") == 0
    assert json.loads((out / "aligned" / "alignment.json").read_text())["bundle_adjustment"]["verdict"]
    (photos / "photo_0.png").unlink()
    assert align(out, "--loops", "off", "--ba") == WRONG_ARGUMENTS
    assert "not those that the run read" in capfd.readouterr().err


def interrupted(out):
    marker = read_marker(out / "cut3r.json")
    replace(marker, state=RunState.stopped, frames=4).write(out / "cut3r.json")


def killed(out):
    marker = read_marker(out / "cut3r.json")
    replace(marker, state=RunState.running, frames=0).write(out / "cut3r.json")


def lost_a_file(out):
    (out / "depth" / "000003.npy").unlink()


def without_files(out):
    marker = read_marker(out / "cut3r.json")
    replace(marker, settings=marker.settings | {"save_frames": "none"}).write(out / "cut3r.json")


def replaced_by_an_empty_one(out):
    for path in sorted(out.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


REFUSED = {
    interrupted: (WRONG_ARGUMENTS, "was interrupted after 4 frames; repeat its command with --resume"),
    killed: (WRONG_ARGUMENTS, "is still going on, or was killed"),
    lost_a_file: (WRONG_ARGUMENTS, "lacks depth/000003.npy"),
    without_files: (NO_INPUT, "--save-frames all"),
    replaced_by_an_empty_one: (NO_INPUT, "holds no frames of a run"),
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__)
def test_what_cannot_be_aligned_is_one_sentence(case, out, capsys):
    case(out)
    code, part = REFUSED[case]
    assert align(out) == code
    said = capsys.readouterr().err
    assert said.startswith("cut3r align: ") and part in said and said.count("\n") == 1
    assert not (out / "aligned").exists()


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--pose-sigma", "0.1,1"], "--pose-sigma is about known poses"),
        (["--window", "0"], "--window is 0"),
        (["--save", "OUT/scene.ply"], "would replace the input"),
        (["--save", "scene.obj"], ".obj"),
        (["--save", "OUT/"], "holds files of others"),
        (["--save", "scene/", "--save-frames", "none"], "is made of the files of frames"),
    ],
)
def test_flags_that_make_no_sense_are_one_sentence(flags, part, out, capsys):
    assert align(out, *[flag.replace("OUT", str(out)) for flag in flags]) == WRONG_ARGUMENTS
    said = capsys.readouterr().err
    assert part in said and said.count("\n") == 1


def test_files_of_somebody_else_are_not_touched(out, capsys):
    foreign = out / "aligned" / "depth" / "mine.npy"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"mine")
    assert align(out) == WRONG_ARGUMENTS
    assert "--overwrite" in capsys.readouterr().err and foreign.read_bytes() == b"mine"


def test_every_tenth_frame_is_enough_if_only_those_were_saved(weights, photos, tmp_path):
    flags = ["--model_path", weights, "--output_dir", tmp_path / "out", "--save-frames", "some"]
    assert run_demo(photos, *flags) == 0
    assert align(tmp_path / "out", "--loops", "off") == 0
    assert [frame.number for frame in read_frame_folder(tmp_path / "out" / "aligned")] == [0]


def test_a_folder_without_a_marker_is_aligned(weights, photos, tmp_path):
    session, folder = cut3r.Session(checkpoint.load(weights)), FrameFolder(tmp_path / "frames")
    results = []
    for frame in cut3r.open_frames(str(photos)):
        results.append(session.push(frame))
        folder.add(results[-1])
    assert align(tmp_path / "frames") == 0
    ours = cut3r.align(results)
    theirs = np.stack([frame.world_from_cam for frame in read_frame_folder(tmp_path / "frames" / "aligned")])
    np.testing.assert_allclose(ours.cameras.world_from_cam, theirs, atol=1e-3)


def test_the_library_says_what_it_cannot_take(weights):
    session = cut3r.Session(checkpoint.load(weights))
    with pytest.raises(ValueError, match="a session keeps no results"):
        cut3r.align(session)
    with pytest.raises(ValueError, match="expected one of graph, full"):
        cut3r.align([], align="original")
    with pytest.raises(TypeError, match="type int cannot be aligned"):
        cut3r.align(iter([1]))
    with pytest.raises(ValueError, match="at least one"):
        cut3r.align([])


def test_a_sessions_network_looks_at_frames_again(weights, photos):
    session = cut3r.Session(checkpoint.load(weights))
    scene = cut3r.align(session, frames=lambda: cut3r.open_frames(str(photos)))
    assert len(scene.cameras) == 6 and torch.from_numpy(scene.cameras.world_from_cam).isfinite().all()


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["--help"], 0, "align the frames of a finished run"),
        (["alain"], WRONG_ARGUMENTS, "'alain' is no command; did you mean align?"),
    ],
)
def test_the_command_says_what_there_is(words, code, part):
    run = subprocess.run([sys.executable, "-m", "cut3r", *words], capture_output=True, text=True)
    assert run.returncode == code and part in run.stdout + run.stderr


def test_known_depth_and_what_does_not_count(out, tmp_path, monkeypatch, capfd):
    """The sky is looked for in the pictures of the run, enlarged to those that it read."""
    seen = []

    def find_sky(rgb, depth=None):
        seen.append(rgb)
        return np.arange(rgb.shape[0])[:, None] < np.full(rgb.shape[1], rgb.shape[0] // 2)

    monkeypatch.setattr("cut3r.io.sky.find_sky", find_sky)
    before = list(read_frame_folder(out))
    (tmp_path / "sensor").mkdir()
    for frame in before:
        np.save(tmp_path / "sensor" / f"{frame.number:03d}.npy", np.full(frame.original_size, 2.5, np.float32))
    assert align(out, "--loops", "off", "--depth", tmp_path / "sensor", "--sky", "--moving") == 0
    for frame in read_frame_folder(out / "aligned"):
        h = len(frame.depth)
        assert not frame.depth[: h // 2].any() and frame.depth[h // 2 :].any()
        np.testing.assert_allclose(frame.depth[frame.depth > 0], 2.5, rtol=1e-5)
    assert seen[0].shape[:2] == before[0].original_size and seen[0].std() > 10
    assert "sky: 50.0 % of the pixels were left out" in capfd.readouterr().err
