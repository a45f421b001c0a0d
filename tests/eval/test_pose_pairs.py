"""Pairs of poses: planted errors, the published counting, and sets in the form that our converters write."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.geometry.poses import invert
from eval.protocols.base import NotScoredError
from eval.protocols.pose_pairs import PosePairs
from eval.report.__main__ import main as report
from eval.run import EvaluationRun
from eval.sequences import open_set
from eval.sequences.processed import draw
from eval.sequences.sequence import Sequence
from eval.systems.base import FramePrediction
from eval.systems.ours import Ours
from eval.systems.saved import SavedPredictions
from eval.systems.writing import save_predictions
from tests.eval.recordings import Oracle, write_recordings


def sequence_of(cameras: np.ndarray, tmp_path) -> Sequence:
    return Sequence("scene", tuple(tmp_path / f"{n}.png" for n in range(len(cameras))), world_from_cam=cameras)


def scored(protocol: PosePairs, sequence: Sequence, cameras: np.ndarray, folder):
    predictions = [FramePrediction(world_from_cam=camera) for camera in cameras]
    save_predictions(folder / "scene", sequence.stems, predictions, dtype=np.dtype(np.float32))
    return protocol.score(sequence, SavedPredictions(folder / "scene", sequence.stems))


def turned(degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


@pytest.fixture
def walk(tmp_path):
    """Six cameras on a bend that look ahead."""
    cameras = np.tile(np.eye(4), (6, 1, 1))
    cameras[:, 2, 3] = np.arange(6)
    cameras[:, 0, 3] = 0.1 * np.arange(6) ** 2
    return cameras


def test_the_truth_reaches_all_and_a_scale_does_not_matter(walk, tmp_path):
    half = walk.copy()
    half[:, :3, 3] *= 0.5
    score, look = scored(PosePairs(), sequence_of(walk, tmp_path), half, tmp_path)
    (item,) = score.groups["pairs"]
    assert [item.metrics[f"{name}_{end}"] for name in ("rra", "rta") for end in (5, 15, 30)] == [1] * 6
    assert item.metrics["auc_5"] == pytest.approx(1, abs=1e-5)
    assert score.notes == {"unknown_cameras": 0, "pairs": 15, "pairs_that_do_not_move": 0}
    assert look["share"][-1] == 1 and look["share"][0] == 0


@pytest.mark.parametrize(("degrees", "areas"), [(2.5, (0.5, 1 - 2.5 / 15)), (10.0, (0.0, 1 / 3)), (20.0, (0.0, 0.0))])
def test_a_turn_of_every_second_camera_spoils_the_pairs_between_both_kinds(walk, tmp_path, degrees, areas):
    walk[:, 0, 3] = 0  # straight ahead, so that a turn about the axis leaves the directions alone
    said = walk.copy()
    said[1::2, :3, :3] = turned(degrees)
    (item,) = scored(PosePairs(), sequence_of(walk, tmp_path), said, tmp_path)[0].groups["pairs"]
    mixed = 9 / 15
    for end, area in zip((5, 15), areas, strict=True):
        assert item.metrics[f"rra_{end}"] == pytest.approx(1 - mixed if degrees >= end else 1)
        assert item.metrics[f"auc_{end}"] == pytest.approx(1 - mixed + mixed * area, abs=1e-5)


def test_walking_backwards_is_wrong_but_was_published_as_right(walk, tmp_path):
    back = walk.copy()
    back[:, :3, 3] *= -1
    (item,) = scored(PosePairs(), sequence_of(walk, tmp_path), back, tmp_path)[0].groups["pairs"]
    assert (item.metrics["rta_30"], item.metrics["rra_5"], item.metrics["pair_med"]) == (0, 1, pytest.approx(180))
    (item,) = scored(PosePairs(parity=True), sequence_of(walk, tmp_path), back, tmp_path)[0].groups["published"]
    assert (item.metrics["rta_5"], item.metrics["auc_5"]) == (1, 1)


def test_unknown_cameras_are_left_out_and_a_still_scene_is_not_scored(walk, tmp_path):
    lost = walk.copy()
    lost[2] = np.nan
    score, _ = scored(PosePairs(), sequence_of(lost, tmp_path), walk, tmp_path)
    assert (score.notes["unknown_cameras"], score.notes["pairs"]) == (1, 10)
    with pytest.raises(NotScoredError, match="does not move"):
        scored(PosePairs(), sequence_of(np.tile(np.eye(4), (3, 1, 1)), tmp_path), walk[:3], tmp_path)
    with pytest.raises(ValueError, match="no rotation and translation"):
        scored(PosePairs(), sequence_of(walk, tmp_path), 2 * walk, tmp_path)


def test_a_room_with_the_truth_and_with_a_network_that_has_learnt_nothing(tiny_linear, tmp_path):
    root = write_recordings(tmp_path / "rooms", ("room",))
    found = {}
    for name, system in (("truth", Oracle(open_set("mv_recon", "rgbd", root))), ("none", Ours(tiny_linear))):
        run = EvaluationRun(tmp_path / name, PosePairs(), open_set("pose_pairs", "rgbd", root), system, dataset="rgbd")
        run.begin()
        run.work()
        found[name] = run.finish()["summary"]["pairs"]
    assert found["truth"]["auc_30"]["headline"] > 0.99
    assert found["none"]["auc_30"]["headline"] < 0.9
    assert found["none"]["pair_med"]["headline"] > 3
    assert report([str(tmp_path / "truth"), str(tmp_path / "none"), "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Pairs of poses" in page and "AUC@30" in page


def test_frames_are_drawn_alike_each_time_and_differently_for_each_scene():
    assert draw("apple/1", 100, 10) == draw("apple/1", 100, 10) == sorted(set(draw("apple/1", 100, 10)))
    assert draw("apple/1", 100, 10) != draw("apple/2", 100, 10)
    assert draw("apple/1", 4, 10) == [0, 1, 2, 3]


def test_videos_of_realestate10k_are_read_as_converted(tmp_path):
    from cut3r.io.images import write_image

    times = [1000 * n for n in range(1, 15)]
    cameras = np.tile(np.eye(4), (14, 1, 1))
    cameras[:, 2, 3] = times
    for name in ("abc", "def"):
        for time, camera in zip(times, cameras, strict=True):
            write_image(tmp_path / "realestate10k" / name / "rgb" / f"{time}.png", np.zeros((18, 32, 3), np.uint8))
            path = tmp_path / "realestate10k" / name / "cam" / f"{time}.npz"
            path.parent.mkdir(exist_ok=True)
            np.savez(path, pose=camera, intrinsics=np.array([[30.0, 0, 16], [0, 30, 9], [0, 0, 1]]))
    sequences = open_set("pose_pairs", "realestate10k", tmp_path)
    assert [each.name for each in sequences] == ["abc", "def"]
    for each in sequences:
        assert len(each) == 10 and each.read_depth is None
        assert (
            [int(stem) for stem in each.stems] == each.world_from_cam[:, 2, 3].tolist() == sorted(map(int, each.stems))
        )
        np.testing.assert_allclose(each.intrinsics[0, :2, 2], (15.5, 8.5))
    with pytest.raises(FileNotFoundError, match="co3d"):
        open_set("pose_pairs", "co3d", tmp_path)


def test_objects_of_co3d_are_those_of_the_test_split(tmp_path):
    from datasets_preprocess.co3d import CONVERTER
    from datasets_preprocess.runner import run
    from tests.data.datasets.raw_fixtures import make_co3d

    make_co3d(tmp_path / "raw")
    assert not run(CONVERTER, tmp_path / "raw", tmp_path / "co3d").failures
    chosen = tmp_path / "co3d" / "selected_seqs_test.json"
    chosen.write_text(json.dumps({"apple": {"100_1_2": [1, 2, 3, 4, 5, 6]}}))
    (sequence,) = open_set("pose_pairs", "co3d", tmp_path)
    assert sequence.name == "apple/100_1_2" and len(sequence) == 6
    assert sequence.known_cameras().all()
    first_from_cam = (
        invert(torch.from_numpy(sequence.world_from_cam[:1])) @ torch.from_numpy(sequence.world_from_cam)
    ).numpy()
    (item,) = scored(PosePairs(), replace(sequence, name="scene"), first_from_cam, tmp_path)[0].groups["pairs"]
    assert item.metrics["auc_30"] == pytest.approx(1, abs=1e-4)
