"""demo_ga.py as a user runs it."""

import json

import pytest

import demo
import demo_ga
from cut3r.inference.frame_folder import read_frame_folder
from cut3r.io.ply import read_ply
from cut3r.io.trajectory import read_tum


def run_demo_ga(*arguments: object) -> int:
    return demo_ga.main([*map(str, arguments), "--no-viewer", "--device", "cpu"])


@pytest.mark.parametrize("align", ["none", "graph", pytest.param("original", marks=pytest.mark.slow)])
def test_one_command_gives_files_that_open(weights, photos, align, tmp_path):
    out = tmp_path / "out"
    saves = [out / "scene.ply", out / "scene.glb", out / "traj.tum"]
    flags = [flag for path in saves for flag in ("--save", path)]
    chosen = ["--model_path", weights, "--output_dir", out, "--align", align, "--vis_threshold", 1.0, "--max-frames", 4]
    assert run_demo_ga(photos, *chosen, *flags) == 0
    assert len(list(read_frame_folder(out))) == 4
    poses, _ = read_tum(out / "traj.tum")
    assert len(poses) == 4
    assert len(read_ply(out / "scene.ply")) > 0 and (out / "scene.glb").stat().st_size > 1000
    assert json.loads((out / "cut3r.json").read_text())["state"] == "finished"
    assert (out / "alignment.json").exists() == (align != "none")


def test_the_report_says_how_well_it_went(weights, photos, tmp_path):
    out = tmp_path / "out"
    flags = ["--pairs", "window", "--window", 2, "--max-frames", 4]
    assert run_demo_ga(photos, "--model_path", weights, "--output_dir", out, *flags) == 0
    report = json.loads((out / "alignment.json").read_text())
    assert report["frames"] == 4 and report["groups"] == [[0, 1, 2, 3]]
    assert report["loss_after"] <= report["loss_before"]
    assert len(report["pairs"]) == 10 and {"first", "second", "residual_m", "kept"} == set(report["pairs"][0])


def test_bundle_adjustment_is_reported(weights, photos, tmp_path):
    pytest.importorskip("pyceres", reason="SKIPPED LOUDLY: no pyceres (pip install cut3r[ba])")
    out = tmp_path / "out"
    assert run_demo_ga(photos, "--model_path", weights, "--output_dir", out, "--ba", "--max-frames", 3) == 0
    said = json.loads((out / "alignment.json").read_text())["bundle_adjustment"]
    assert said["verdict"] and said["seconds"] > 0 and len(said["observations_per_frame"]) in (0, 3)


def test_no_alignment_is_what_the_demo_gives(weights, photos, tmp_path):
    flags = ["--model_path", weights, "--seq_path", photos, "--max-frames", 3]
    assert run_demo_ga(*flags, "--align", "none", "--output_dir", tmp_path / "a") == 0
    assert demo.main([*map(str, flags), "--output_dir", str(tmp_path / "b"), "--no-viewer", "--device", "cpu"]) == 0
    for ours, theirs in zip(read_frame_folder(tmp_path / "a"), read_frame_folder(tmp_path / "b"), strict=True):
        assert (ours.depth == theirs.depth).all() and (ours.world_from_cam == theirs.world_from_cam).all()


WRONG = {
    "resume": (["--resume"], "--resume"),
    "revisit": (["--revisit", "2"], "--revisit"),
    "world points": (["--points", "world"], "--points world"),
    "bundle adjustment": (["--ba", "--align", "none"], "--ba"),
    "window": (["--window", "0"], "--window"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_sense_is_one_sentence(case, photos, tmp_path, capsys):
    flags, part = WRONG[case]
    assert run_demo_ga("--seq_path", photos, "--output_dir", tmp_path / "out", *flags) == demo.WRONG_ARGUMENTS
    said = capsys.readouterr().err
    assert said.startswith("demo_ga.py: ") and part in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()
