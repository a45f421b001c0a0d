"""Frames whose truth is not known do not count, and that is said; a sequence without truth is not scored."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from cut3r.io.depth import write_depth
from eval.evaluate import EvaluationRun
from eval.monodepth import MonoDepth
from eval.mv_recon import MultiViewReconstruction, ReconAlignment, ReconOptions
from eval.relpose import RelativePose
from eval.sequences import open_set
from eval.tables import summary_table
from eval.video_depth import VideoDepth
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
        import json

        from eval.protocol import Score

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
