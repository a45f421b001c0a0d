"""demo_ga.py as a user runs it."""

import json

import pytest

import demo
import demo_ga
from cut3r.inference.frame_folder import read_frame_folder
from cut3r.io.ply import read_ply
from cut3r.io.trajectory import read_tum
from cut3r.viewer.app import Viewer


def run_demo_ga(*arguments: object) -> int:
    return demo_ga.main([*map(str, arguments), "--no-viewer", "--device", "cpu"])


@pytest.mark.parametrize("align", ["none", "graph", "full", pytest.param("original", marks=pytest.mark.slow)])
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
    assert report["align"] == "full" and len(report["focals_px"]) == 4 and report["points_cleaned"] >= 0
    assert len(report["pairs"]) == 10 and {"first", "second", "residual_m", "kept"} == set(report["pairs"][0])


@pytest.mark.parametrize("loops", ["auto", "off"])
def test_loops_are_looked_for_unless_told_otherwise(weights, photos, loops, tmp_path):
    out = tmp_path / "out"
    flags = ["--pairs", "window", "--window", 1, "--max-frames", 4, "--loops", loops]
    assert run_demo_ga(photos, "--model_path", weights, "--output_dir", out, *flags) == 0
    assert ("loops" in json.loads((out / "alignment.json").read_text())) == (loops == "auto")


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


BOTH = ("after alignment", "before")


@pytest.mark.parametrize(
    ("align", "choice"),
    [(["graph"], BOTH), (["graph", "--ba"], BOTH), (["none"], None)],
    ids=["graph", "bundle adjustment", "none"],
)
def test_the_page_has_a_switch_between_before_and_after(weights, photos, align, choice, tmp_path, monkeypatch):
    if "--ba" in align:
        pytest.importorskip("pyceres", reason="SKIPPED LOUDLY: no pyceres (pip install cut3r[ba])")

    def look(viewer: Viewer) -> None:
        looked.append(tuple(viewer._places.offers) or None)
        assert len(viewer._store.snapshot()[0]) == 3

    looked: list[object] = []
    monkeypatch.setattr(Viewer, "wait", look)
    flags = ["--align", *align, "--max-frames", 3, "--port", 0, "--device", "cpu", "--model_path", weights]
    assert demo_ga.main([*map(str, [photos, "--output_dir", tmp_path / "out", *flags])]) == 0
    assert looked == [choice]


WRONG = {
    "resume": (["--resume", "--align", "none"], "--resume"),
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
