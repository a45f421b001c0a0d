"""A folder of results is used again only for the same files: what was rewritten, replaced or has grown is noticed."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.io.depth import read_depth, write_depth
from cut3r.io.images import read_image, write_image
from eval.build import make_run
from eval.config import EvalConfig, Stage
from eval.protocols.depth import MonoDepth, VideoDepth
from eval.protocols.relpose import RelativePose
from eval.run import EvaluationRun
from eval.sequences import open_set
from tests.eval.recordings import Oracle, write_recordings

PROTOCOLS = {"monodepth": MonoDepth("rgbd", []), "video_depth": VideoDepth("rgbd", []), "relpose": RelativePose()}


@pytest.fixture
def site(tmp_path):
    return write_recordings(tmp_path / "site", ("room",), frames=4)


def completed(name, site, folder, **changes):
    system = Oracle(open_set("mv_recon", "rgbd", site))
    run = EvaluationRun(folder, PROTOCOLS[name], open_set(name, "rgbd", site), system, **changes)
    run.begin()
    run.work()
    return run.finish(), system.seen


def score_files(site, predictions, out):
    config = EvalConfig(dataset="rgbd", root=site, predictions=predictions, out=out)
    run = make_run("video_depth", config, torch.device("cpu"))
    run.begin()
    run.work()
    return run.finish()["summary"]["metric"]["abs_rel"]["headline"]


def write_predictions(site, folder, *, factor):
    """Write true depth times a factor; files written later are newer, however coarse the clock of the disk."""
    (sequence,) = open_set("video_depth", "rgbd", site)
    for number, stem in enumerate(sequence.stems):
        path = folder / "room/depth" / f"{stem}.npy"
        later = path.stat().st_mtime_ns + 10**9 if path.is_file() else None
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, factor * sequence.read_depth(number))
        if later is not None:
            os.utime(path, ns=(later, later))


def test_rewritten_predictions_are_scored_again(site, tmp_path):
    write_predictions(site, tmp_path / "preds", factor=1.5)
    assert score_files(site, tmp_path / "preds", tmp_path / "run") == pytest.approx(0.5)
    write_predictions(site, tmp_path / "preds", factor=1.1)
    assert score_files(site, tmp_path / "preds", tmp_path / "run") == pytest.approx(0.1, abs=1e-6)


def test_rewritten_truth_is_scored_against(site, tmp_path):
    result, _ = completed("video_depth", site, tmp_path / "run")
    assert result["summary"]["metric"]["abs_rel"]["headline"] == pytest.approx(0, abs=1e-6)
    for path in (site / "room").glob("*.depth.png"):
        write_depth(path, 2 * read_depth(path))
    (sequence,) = open_set("video_depth", "rgbd", site)
    run = EvaluationRun(tmp_path / "run", PROTOCOLS["video_depth"], [sequence], Oracle([sequence]))
    run.work(Stage.score)
    assert run.scores()["room"].groups["metric"][0].metrics["abs_rel"] == pytest.approx(0.5, abs=1e-3)


def test_another_recording_of_the_same_name_is_predicted_and_scored(site, tmp_path):
    _, seen = completed("video_depth", site, tmp_path / "run")
    other = write_recordings(tmp_path / "other", ("skipped", "room"), frames=4)
    shutil.rmtree(other / "skipped")
    again, seen_again = completed("video_depth", other, tmp_path / "run")
    alone, _ = completed("video_depth", other, tmp_path / "alone")
    assert len(seen) == len(seen_again) == 4
    assert again["summary"] == alone["summary"]


def test_changed_cameras_are_scored_against(site, tmp_path):
    completed("relpose", site, tmp_path / "run")
    np.savetxt(site / "room/frame-000002.pose.txt", np.eye(4))
    (sequence,) = open_set("relpose", "rgbd", site)
    run = EvaluationRun(tmp_path / "run", PROTOCOLS["relpose"], [sequence], Oracle([sequence]))
    run.work()
    assert run.scores()["room"].groups["sim3"][0].metrics["ate"] > 0.01


def test_a_copied_set_is_not_predicted_anew(site, tmp_path):
    first, _ = completed("video_depth", site, tmp_path / "run")
    for path in (site / "room").iterdir():
        os.utime(path, ns=(10**18, 10**18))
    again, seen = completed("video_depth", site, tmp_path / "run")
    assert seen == []
    assert again == first


@pytest.mark.parametrize("name", ["video_depth", "relpose"])
def test_a_set_that_has_grown_is_predicted_anew(site, tmp_path, name):
    hidden = {path: path.with_name(f".{path.name}") for path in (site / "room").glob("frame-000003.*")}
    for path, away in hidden.items():
        path.rename(away)
    completed(name, site, tmp_path / "run")
    for path, away in hidden.items():
        away.rename(path)
    result, seen = completed(name, site, tmp_path / "run")
    assert result["coverage"]["failed"] == {}
    assert len(seen) == 4


def test_scoring_alone_refuses_predictions_of_other_pictures(site, tmp_path):
    completed("video_depth", site, tmp_path / "run")
    picture = site / "room/frame-000001.color.png"
    write_image(picture, read_image(picture)[::-1].copy())
    (sequence,) = open_set("video_depth", "rgbd", site)
    run = EvaluationRun(tmp_path / "run", PROTOCOLS["video_depth"], [sequence], Oracle([sequence]))
    run.work(Stage.score)
    assert "are of other pictures; predict anew" in run.finish()["coverage"]["failed"]["room"]


def test_depth_that_is_in_no_file_is_told_apart_by_its_values(site, tmp_path):
    (sequence,) = open_set("video_depth", "rgbd", site)
    for factor in (1, 2):
        changed = replace(sequence, read_depth=lambda number, factor=factor: factor * sequence.read_depth(number))
        system = Oracle([sequence])
        run = EvaluationRun(tmp_path / "run", PROTOCOLS["video_depth"], [changed], system)
        run.begin()
        run.work()
    assert run.scores()["room"].groups["metric"][0].metrics["abs_rel"] == pytest.approx(0.5)


def test_recordings_of_two_places_have_two_folders(site, tmp_path):
    write_predictions(site, tmp_path / "preds", factor=1)
    config = EvalConfig(dataset="rgbd", root=site, predictions=tmp_path / "preds")
    assert make_run("video_depth", config, torch.device("cpu")).folder.name == "rgbd_site_preds"
