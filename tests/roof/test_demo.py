"""The demo as a user runs it: one command, files that open, and one clear sentence when something is wrong."""

import subprocess
import sys

import numpy as np
import pytest
import trimesh
from PIL import Image

import demo
from cut3r.inference.frame_folder import read_frame_folder
from cut3r.io.ply import read_ply
from cut3r.io.trajectory import read_tum
from tests.roof.demo_runs import ROOT, run_demo


@pytest.mark.parametrize("source", ["photos", "video"])
def test_one_command_gives_files_that_open(weights, source, tmp_path, request):
    out = tmp_path / "out"
    saves = [out / "scene.ply", out / "scene.glb", out / "traj.tum"]
    flags = [flag for path in saves for flag in ("--save", path)]
    seq_path = request.getfixturevalue(source)
    assert run_demo("--model_path", weights, "--seq_path", seq_path, "--output_dir", out, *flags) == 0
    count = {"photos": 6, "video": 8}[source]
    frames = list(read_frame_folder(out))
    assert len(frames) == count
    assert frames[0].depth.shape == (48, 64)
    poses, _ = read_tum(out / "traj.tum")
    assert len(poses) == count
    cloud = read_ply(out / "scene.ply")
    assert len(cloud) > 100
    assert (cloud.confidence > 1.5).all()
    scene = trimesh.load(out / "scene.glb")
    assert {type(part).__name__ for part in scene.geometry.values()} == {"PointCloud", "Path3D"}


def test_frames_are_chosen_by_flags(weights, video, tmp_path):
    out = tmp_path / "out"
    assert run_demo("--model_path", weights, "--seq_path", video, "--output_dir", out, "--start", 1, "--every", 3) == 0
    assert [frame.index for frame in read_frame_folder(out)] == [1, 4, 7]


def test_original_writes_exactly_the_original_files(weights, photos, tmp_path):
    out = tmp_path / "out"
    assert run_demo("--model_path", weights, "--seq_path", photos, "--output_dir", out, "--original") == 0
    with np.load(out / "camera" / "000000.npz") as camera:
        assert sorted(camera.files) == ["intrinsics", "pose"]
        assert camera["intrinsics"][:2, 2].tolist() == [32, 24]


def test_points_of_the_world_head_and_one_focal_length(weights, photos, tmp_path):
    out = tmp_path / "out"
    flags = ["--points", "world", "--shared-focal", "--vis_threshold", 1.0, "--save", out / "scene.ply"]
    assert run_demo("--model_path", weights, "--seq_path", photos, "--output_dir", out, *flags) == 0
    assert len(read_ply(out / "scene.ply")) > 0


def test_unreadable_frames_are_counted_when_asked(weights, photos, tmp_path, caplog):
    (photos / "photo_2.png").write_bytes(b"not a picture")
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out"]
    assert run_demo(*flags, "--skip-bad") == 0
    assert len(list(read_frame_folder(tmp_path / "out"))) == 5


WRONG = {
    "missing footage": (["--seq_path", "nowhere"], "nowhere", demo.NO_INPUT),
    "empty folder": (["--seq_path", "{empty}"], "image", demo.WRONG_ARGUMENTS),
    "broken picture": (["--seq_path", "{broken}"], "--skip-bad", demo.WRONG_ARGUMENTS),
    "sliver": (["--seq_path", "{sliver}"], "too narrow", demo.WRONG_ARGUMENTS),
    "no frame left": (["--seq_path", "{photos}", "--start", "9"], "only 6 photos", demo.WRONG_ARGUMENTS),
    "wrong suffix": (["--seq_path", "{photos}", "--save", "scene.obj"], ".ply", demo.WRONG_ARGUMENTS),
    "negative revisit": (["--seq_path", "{photos}", "--revisit", "0"], "--revisit", demo.WRONG_ARGUMENTS),
    "missing weights": (["--seq_path", "{photos}", "--model_path", "gone.pth"], "gone.pth", demo.NO_INPUT),
    "wrong weights": (["--seq_path", "{photos}", "--model_path", "{text}"], "text.pth", demo.WRONG_ARGUMENTS),
    "odd size": (["--seq_path", "{photos}", "--size", "100"], "16", demo.WRONG_ARGUMENTS),
    "photos by time": (["--seq_path", "{photos}", "--fps", "2"], "--every", demo.WRONG_ARGUMENTS),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_ends_in_one_clear_sentence(case, weights, photos, tmp_path, capsys):
    flags, hint, code = WRONG[case]
    places = {name: tmp_path / name for name in ("empty", "broken", "sliver")}
    for place in places.values():
        place.mkdir()
    (places["broken"] / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    Image.new("RGB", (800, 8)).save(places["sliver"] / "sliver.png")
    (tmp_path / "text.pth").write_text("hello")
    places |= {"photos": photos, "text": tmp_path / "text.pth"}
    flags = [flag.format(**places) for flag in flags]
    status = run_demo("--model_path", weights, "--output_dir", tmp_path / "out", *flags)
    said = capsys.readouterr().err
    last = said.strip().splitlines()[-1]
    assert status == code
    assert last.startswith("demo.py: ")
    assert hint in last
    assert "Traceback" not in said


def test_without_a_model_it_says_how_to_get_one(photos, tmp_path, capsys, monkeypatch):
    from cut3r.weights import zoo

    monkeypatch.setitem(zoo.BUNDLED, "tiny", tmp_path / "not_here.safetensors")
    assert run_demo("--seq_path", photos, "--output_dir", tmp_path / "out") != 0
    assert "512-dpt" in capsys.readouterr().err


def test_help_answers_without_heavy_imports():
    code = "import sys, demo\ntry: demo.parse_args(['--help'])\nfinally: assert 'torch' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--seq_path" in run.stdout


@pytest.mark.footage
@pytest.mark.parametrize(
    ("source", "size"),
    [
        ("rgbd_room", (48, 64)),
        ("running.mp4", (32, 64)),
        ("outdoor_1920x1080", (32, 64)),
        ("portrait_540x720", (64, 48)),
    ],
)
def test_real_footage_of_every_kind(weights, footage, source, size, tmp_path):
    out = tmp_path / "out"
    flags = ["--max-frames", 3, "--save", out / "scene.glb"]
    assert run_demo("--model_path", weights, "--seq_path", footage / source, "--output_dir", out, *flags) == 0
    frames = list(read_frame_folder(out))
    assert [frame.depth.shape for frame in frames] == [size] * 3
    assert trimesh.load(out / "scene.glb").geometry


def test_without_footage_the_bundled_clip_is_shown(weights, tmp_path):
    out = tmp_path / "out"
    assert run_demo("--model_path", weights, "--output_dir", out, "--max-frames", 3) == 0
    assert [(frame.name or "").split("#")[0] for frame in read_frame_folder(out)] == ["example.mp4"] * 3
