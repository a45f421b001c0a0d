"""Frames whose truth is not known do not count, and that is said; a sequence without truth is not scored."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest

from cut3r.io.depth import write_depth
from cut3r.metrics.depth_scoring import DepthScores
from eval.protocols.base import Score, summarize
from eval.protocols.depth import MonoDepth, VideoDepth, item
from eval.protocols.mv_recon import MultiViewReconstruction, ReconAlignment, ReconOptions
from eval.protocols.relpose import RelativePose
from eval.run import EvaluationRun
from eval.sequences import open_set
from eval.tables import summary_table
from tests.eval.recordings import SIZE, Oracle, write_recordings

PROTOCOLS = {
    "monodepth": MonoDepth("rgbd", []),
    "video_depth": VideoDepth("rgbd", []),
    "relpose": RelativePose(),
    "mv_recon": MultiViewReconstruction(ReconOptions([ReconAlignment.published]), size=64),
}
NAN, IND = "nan " * 4 + "\n", "-1.#IND -1.#IND -1.#IND -1.#IND\n"
MIRRORED = "-1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
STRETCHED = "2 0 0 0\n0 2 0 0\n0 0 2 0\n0 0 0 1\n"


@pytest.fixture
def room(tmp_path):
    return write_recordings(tmp_path / "rooms", ("room",)) / "room"


def result_of(protocol, room, tmp_path, distort=lambda prediction: prediction):
    oracle = Oracle(open_set("mv_recon", "rgbd", room), distort=distort)
    run = EvaluationRun(
        tmp_path / "run", PROTOCOLS[protocol], open_set(protocol, "rgbd", room), oracle, facts={"name": "oracle"}
    )
    run.begin()
    run.work()
    return run.finish()


@pytest.mark.parametrize("text", [4 * "0 0 0 0\n", 4 * NAN, 4 * IND, MIRRORED, STRETCHED])
@pytest.mark.parametrize("protocol", ["relpose", "mv_recon"])
def test_a_pose_that_is_no_rotation_is_an_unknown_camera(room, tmp_path, caplog, protocol, text):
    (room / "frame-000002.pose.txt").write_text(text)
    with caplog.at_level(logging.WARNING):
        result = result_of(protocol, room, tmp_path)
    assert result["coverage"]["failed"] == {}
    assert "1 of 6 cameras are not known" in caplog.text
    assert "frame-000002.color.png" in caplog.text
    assert "frames of unknown cameras, not counted: 1" in summary_table(result)
    metrics = next(iter(result["summary"].values()))
    assert metrics["ate" if protocol == "relpose" else "acc"]["headline"] < 1e-3


def test_commas_between_the_numbers_of_a_pose_are_understood(room, tmp_path):
    path = room / "frame-000002.pose.txt"
    path.write_text(path.read_text().replace(" ", ", "))
    assert result_of("relpose", room, tmp_path)["not_counted"]["unknown_cameras"] == 0


@pytest.mark.parametrize("text", ["one two\n", "1 2 3\n"])
def test_a_pose_file_that_cannot_be_read_is_named(room, text):
    (room / "frame-000002.pose.txt").write_text(text)
    with pytest.raises(ValueError, match=r"frame-000002\.pose\.txt"):
        open_set("relpose", "rgbd", room)


def test_predicted_cameras_that_are_no_rotation_are_named(room, tmp_path):
    def spoil(prediction):
        camera = prediction.world_from_cam
        return replace(prediction, world_from_cam=np.zeros_like(camera) if camera[0, 3] else camera)

    failed = result_of("relpose", room, tmp_path, spoil)["coverage"]["failed"]
    assert "predicted cameras of room are no rotation and translation" in failed["room"]
    assert "frame-000001.color.png" in failed["room"]


def erase_depth(room, numbers):
    for number in numbers:
        write_depth(room / f"frame-{number:06d}.depth.png", np.zeros(SIZE, np.float32))


def add_error(prediction):
    return replace(prediction, depth=prediction.depth + np.linspace(0, 1, SIZE[1], dtype=np.float32))


def test_a_picture_without_truth_does_not_count(room, tmp_path, caplog):
    erase_depth(room, [2])
    with caplog.at_level(logging.WARNING):
        result = result_of("monodepth", room, tmp_path, add_error)
    metrics = result["summary"]["median"]["abs_rel"]
    assert metrics["items"] == 5
    others = [item.metrics["abs_rel"] for item in EvaluatedItems(tmp_path)]
    assert metrics["mean"] == pytest.approx(np.mean(others))
    assert metrics["median"] == pytest.approx(np.median(others))
    assert min(others) > 0
    assert "1 of 6 pictures have no true depth and do not count" in caplog.text
    assert "pictures without true depth, not counted: 1" in summary_table(result)


class EvaluatedItems:
    """The items of a run's only score."""

    def __init__(self, tmp_path):
        content = json.loads((tmp_path / "run/scores/room.json").read_text())
        self.items = Score.from_json(content["score"]).groups["median"]

    def __iter__(self):
        return iter(self.items)


@pytest.mark.parametrize("protocol", ["monodepth", "video_depth", "mv_recon"])
def test_a_sequence_without_truth_has_failed(room, tmp_path, protocol):
    erase_depth(room, range(6))
    coverage = result_of(protocol, room, tmp_path)["coverage"]
    assert coverage["scored"] == 0
    assert "room" in coverage["failed"]
    assert "true depth" in coverage["failed"]["room"]


def test_a_frame_without_truth_is_said_in_video_too(room, tmp_path):
    erase_depth(room, [0, 3])
    result = result_of("video_depth", room, tmp_path)
    assert result["not_counted"]["pictures_without_truth"] == 2
    assert result["summary"]["scale"]["abs_rel"]["headline"] == pytest.approx(0, abs=1e-6)


def test_a_picture_whose_prediction_failed_is_not_rewarded(room, tmp_path):
    seen = []

    def fail_once(prediction):
        seen.append(1)
        changed = add_error(prediction)
        return replace(changed, depth=np.full_like(changed.depth, np.nan)) if len(seen) == 1 else changed

    metrics = result_of("monodepth", room, tmp_path, fail_once)["summary"]["median"]
    assert metrics["abs_rel"]["items"] == 5
    assert metrics["failed"]["items"] == 6
    assert metrics["failed"]["mean"] == pytest.approx(1 / 6)


@pytest.mark.parametrize(("protocol", "group"), [("monodepth", "median"), ("video_depth", "scale")])
def test_failing_on_half_of_the_pictures_makes_the_share_of_good_pixels_half(room, tmp_path, protocol, group):
    seen = []

    def fail_at_first(prediction):
        seen.append(1)
        return replace(prediction, depth=np.full_like(prediction.depth, np.nan)) if len(seen) <= 3 else prediction

    result = result_of(protocol, room, tmp_path, fail_at_first)
    metrics = result["summary"][group]
    failed = metrics["failed"]["headline"]
    assert 0.3 < failed < 0.7  # rooms without doors: nearly all pixels are known
    assert metrics["delta_1"]["headline"] == pytest.approx(1 - failed)
    assert metrics["abs_rel"]["headline"] == pytest.approx(0, abs=1e-6)
    assert " 0.000? |" in summary_table(result)
    assert f"without the {100 * failed:.2f} % of the pixels" in summary_table(result)


def test_averages_of_pictures_weigh_errors_by_valid_pixels_and_failures_by_known_ones():
    scores = [
        DepthScores(abs_rel=0.1, delta_1=0.6, valid_pixels=30, known_pixels=40, failed_pixels=10),
        DepthScores(abs_rel=0.4, delta_1=0.8, valid_pixels=10, known_pixels=10, nonpositive_pixels=5),
        DepthScores(known_pixels=7, failed_pixels=7),
    ]
    items = [item(str(number), each, parity=False) for number, each in enumerate(scores)]
    summary = summarize({"room": Score({"median": items})}, weighted=True)["median"]
    by_pixels = {"abs_rel": 7 / 40, "delta_1": 32 / 57, "failed": 17 / 57, "nonpositive": 5 / 40}
    assert {name: summary[name]["headline"] for name in by_pixels} == pytest.approx(by_pixels)
    assert summary["abs_rel"]["mean"] == pytest.approx(0.25)  # of the two pictures that have errors
    assert summary["delta_1"]["mean"] == pytest.approx(1.4 / 3)  # a picture that failed is wrong
    assert summary["failed"]["items"] == 3


def test_points_that_are_none_mark_the_numbers_of_a_reconstruction(room, tmp_path):
    def spoil(prediction):
        points = prediction.points_world.copy()
        points[:12] = np.nan
        return replace(prediction, points_world=points)

    result = result_of("mv_recon", room, tmp_path, spoil)
    assert result["summary"]["published"]["failed"]["headline"] == pytest.approx(0.25, abs=0.02)
    assert "? published: without the" in summary_table(result)


@pytest.mark.parametrize("protocol", ["monodepth", "mv_recon"])
def test_a_damaged_depth_map_is_named(room, tmp_path, protocol):
    path = room / "frame-000002.depth.png"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (reason,) = result_of(protocol, room, tmp_path)["coverage"]["failed"].values()
    assert "frame-000002.depth.png cannot be read" in reason


def test_notes_of_file_managers_are_no_frames(room, tmp_path):
    for name in ("._frame-000000.color.png", "._frame-000000.pose.txt", ".DS_Store"):
        (room / name).write_bytes(b"\0\5\x16\7")
    assert len(open_set("relpose", "rgbd", room)[0]) == 6
