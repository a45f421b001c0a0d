"""cut3r run with several sources: a run for each, named failures, and the same command goes on."""

import json

import pytest

from cut3r.weights.checkpoint import save
from tests.roof.demo_runs import run_demo


@pytest.mark.slow
def test_each_has_a_run_and_the_same_command_goes_on(tiny_linear, photos, tmp_path, capfd):
    save(tiny_linear, tmp_path / "network.safetensors")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    words = [photos, broken, "--model_path", tmp_path / "network.safetensors", "--output_dir", tmp_path / "out"]
    words += ["--size", 64, "--save", "scene.ply", "--vis_threshold", 0]
    assert run_demo(*words) == 1
    said = capfd.readouterr().err
    assert "broken FAILED" in said and "1 of 2 are finished" in said and "(all of it: " in said
    out = tmp_path / "out"
    marker = json.loads((out / photos.name / "cut3r.json").read_text())
    assert marker["state"] == "finished" and (out / photos.name / "scene.ply").is_file()
    assert "wrote" in (out / f"{photos.name}.log").read_text()
    made = (out / photos.name / "cut3r.json").stat().st_mtime_ns
    broken.unlink()
    assert run_demo(*words) == 3  # it is not there any more, which is said before anything is done
    broken.symlink_to(photos, target_is_directory=True)
    assert run_demo(*words) == 0
    said = capfd.readouterr().err
    assert "1 of 2 are finished already" in said
    assert json.loads((out / "broken.mp4" / "cut3r.json").read_text())["state"] == "finished"
    assert (out / photos.name / "cut3r.json").stat().st_mtime_ns == made
