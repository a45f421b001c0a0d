"""Columns beside the published ones: the truth, truth that is disturbed by a known amount, and what must not change."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.data.synthetic import synthetic_walk
from cut3r.data.walks import WalkConfig
from cut3r.inference.preprocess import FitConfig, FitMode, fit
from eval.protocols.base import Score
from eval.protocols.depth import MonoDepth, VideoDepth
from eval.protocols.depth_frames import nearest
from eval.protocols.relpose import RelativePose
from eval.sequences import open_set
from eval.sequences.sequence import Sequence
from eval.systems.base import FramePrediction
from eval.systems.saved import SavedPredictions
from eval.systems.writing import save_predictions
from tests.eval.recordings import SIZE, write_recordings

FRAMES = 6


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write_recordings(tmp_path_factory.mktemp("recordings"), ("room",), FRAMES)


def scored(protocol, sequence: Sequence, predictions: list[FramePrediction], folder) -> Score:
    save_predictions(folder / sequence.name, sequence.stems, predictions, dtype=np.dtype(np.float32))
    return protocol.score(sequence, SavedPredictions(folder / sequence.name, sequence.stems))[0]


def numbers(score: Score, group: str) -> dict:
    (item,) = score.groups[group]
    return item.metrics


def depths(sequence: Sequence, noise: float, *, told: bool = True) -> list[FramePrediction]:
    """The truth with multiplicative Gaussian noise, and a confidence that knows it (or says nothing)."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(len(sequence)):
        true = sequence.read_depth(number)
        wrong = noise * rng.standard_normal(true.shape)
        conf = 1 / (1e-3 + np.abs(wrong)) if told else np.ones_like(wrong)
        made.append(FramePrediction((true * (1 + wrong)).astype(np.float32), conf_depth=conf.astype(np.float32)))
    return made


def test_true_depth_neither_flickers_nor_can_be_sorted_better(recording, tmp_path):
    (sequence,) = open_set("video_depth", "rgbd", recording)
    for group in ("metric", "scale", "scale_shift"):
        found = numbers(scored(VideoDepth("rgbd", []), sequence, depths(sequence, 0.0), tmp_path), group)
        assert found["flicker"] < 5e-3  # interpolation at 48 x 64, and depth in millimetres
        assert found["ause"] < 0.05 or found["abs_rel"] < 1e-6


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.1])
def test_noise_flickers_as_two_gaussians_do_and_a_confidence_that_knows_it_is_perfect(recording, tmp_path, noise):
    """Two frames' errors differ by sqrt(2) of one's; the second is interpolated between pixels, which averages some."""
    (sequence,) = open_set("video_depth", "rgbd", recording)
    found = numbers(scored(VideoDepth("rgbd", []), sequence, depths(sequence, noise), tmp_path), "metric")
    one, both = math.sqrt(2 / math.pi) * noise, 2 / math.sqrt(math.pi) * noise
    assert found["abs_rel"] == pytest.approx(one, rel=0.03)
    assert one < found["flicker"] < 1.05 * both
    assert found["ause"] == pytest.approx(0, abs=1e-3)


def test_a_confidence_that_says_nothing_gets_the_area_of_half_normal_errors(recording, tmp_path):
    """The best curve of |N(0, 1)|: the share f of the smallest has the mean (1 - exp(-q^2 / 2)) / f of the whole one,
    q its largest."""
    (sequence,) = open_set("video_depth", "rgbd", recording)
    predictions = depths(sequence, 0.05, told=False)
    share = (np.arange(100_000) + 0.5) / 100_000
    q = torch.erfinv(torch.from_numpy(share)).numpy() * math.sqrt(2)
    expected = 1 - float(np.mean((1 - np.exp(-(q**2) / 2)) / share))
    assert numbers(scored(VideoDepth("rgbd", []), sequence, predictions, tmp_path), "metric")["ause"] == pytest.approx(
        expected, abs=0.01
    )
    score = scored(MonoDepth("rgbd", []), sequence, predictions, tmp_path)
    for item in score.groups["metric"]:
        assert item.metrics["ause"] == pytest.approx(expected, abs=0.03)


def test_a_scale_that_jumps_between_frames_flickers_and_a_common_one_does_not(recording, tmp_path):
    (sequence,) = open_set("video_depth", "rgbd", recording)
    true = depths(sequence, 0.0)
    jumping = [replace(each, depth=each.depth * np.float32(1.1 if n % 2 else 1)) for n, each in enumerate(true)]
    common = [replace(each, depth=each.depth * np.float32(1.1)) for each in true]
    protocol = VideoDepth("rgbd", [])
    assert numbers(scored(protocol, sequence, jumping, tmp_path), "metric")["flicker"] == pytest.approx(0.1, rel=0.1)
    assert numbers(scored(protocol, sequence, common, tmp_path), "scale")["flicker"] < 5e-3


def test_without_confidence_or_cameras_the_columns_are_not_there(recording, tmp_path):
    (sequence,) = open_set("video_depth", "rgbd", recording)
    silent = [replace(each, conf_depth=None) for each in depths(sequence, 0.05)]
    found = numbers(scored(VideoDepth("rgbd", []), sequence, silent, tmp_path), "metric")
    assert "ause" not in found and "flicker" in found
    blind = replace(sequence, world_from_cam=None)
    assert "flicker" not in numbers(scored(VideoDepth("rgbd", []), blind, silent, tmp_path), "metric")


def test_parity_has_the_published_columns_only(recording, tmp_path):
    (sequence,) = open_set("video_depth", "rgbd", recording)
    found = numbers(scored(VideoDepth("rgbd", [], parity=True), sequence, depths(sequence, 0.1), tmp_path), "metric")
    assert not {"ause", "flicker"} & found.keys()
    poses = replace(open_set("relpose", "rgbd", recording)[0], world_from_cam=long_drive(FRAMES, 100.0))
    cameras = [FramePrediction(world_from_cam=pose) for pose in poses.world_from_cam]
    found = numbers(scored(RelativePose(parity=True), poses, cameras, tmp_path), "sim3")
    assert set(found) == {"ate", "rpe_trans", "rpe_rot"}


def long_drive(frames: int, step_m: float) -> np.ndarray:
    """Cameras on a wide bend."""
    poses = np.tile(np.eye(4), (frames, 1, 1))
    angle = np.arange(frames) * 0.002
    poses[:, 0, 3], poses[:, 2, 3] = step_m / 0.002 * (1 - np.cos(angle)), step_m / 0.002 * np.sin(angle)
    poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angle)
    poses[:, 0, 2], poses[:, 2, 0] = np.sin(angle), -np.sin(angle)
    return poses


def pictures(frames: int, tmp_path) -> tuple:
    return tuple(tmp_path / f"{number:06d}.png" for number in range(frames))


def test_drift_of_a_long_path_is_its_error_of_scale_where_scale_counts(tmp_path):
    true = long_drive(300, 1.0)
    sequence = Sequence("drive", pictures(300, tmp_path), world_from_cam=true)
    said = true.copy()
    said[:, :3, 3] *= 1.04
    score = scored(RelativePose(), sequence, [FramePrediction(world_from_cam=pose) for pose in said], tmp_path)
    assert numbers(score, "se3")["t_rel"] == pytest.approx(0.04, rel=0.02)  # of the chord
    assert numbers(score, "se3")["r_rel"] == pytest.approx(0, abs=1e-5)
    assert numbers(score, "sim3")["t_rel"] == pytest.approx(0, abs=1e-6)


def test_a_room_is_too_short_for_drift(recording, tmp_path):
    (sequence,) = open_set("relpose", "rgbd", recording)
    cameras = [FramePrediction(world_from_cam=pose) for pose in sequence.world_from_cam]
    assert "t_rel" not in numbers(scored(RelativePose(), sequence, cameras, tmp_path), "se3")


def test_focal_lengths_are_compared_in_pixels_of_the_pictures(recording, tmp_path):
    (sequence,) = open_set("relpose", "rgbd", recording)
    walk = synthetic_walk(7, 0, WalkConfig(size=SIZE, frames=FRAMES, noise=0.0))
    np.testing.assert_allclose(sequence.intrinsics[0], walk.intrinsics[0].numpy(), atol=1e-4)

    def said(factor: float) -> list[FramePrediction]:
        """What a system knows after the picture was enlarged and cut, brought back to the picture."""
        _, pixel_map = fit(np.zeros((*SIZE, 3), np.uint8), FitConfig(size=128, mode=FitMode.crop))
        inside = pixel_map.intrinsics_to_image(torch.from_numpy(sequence.intrinsics))
        inside[:, :2, :2] *= factor
        original = pixel_map.intrinsics_to_original(inside).numpy()
        return [FramePrediction(world_from_cam=p, intrinsics=k)
                for p, k in zip(sequence.world_from_cam, original, strict=True)]  # fmt: skip

    for factor in (1.0, 1.25):
        found = numbers(scored(RelativePose(), sequence, said(factor), tmp_path), "sim3")
        assert found["focal_error"] == pytest.approx(factor - 1, abs=1e-6)


def test_confidence_of_another_size_is_looked_up_where_the_pixel_lies():
    values = np.array([[1.0, 2], [3, 4]])
    assert nearest(values, (4, 4)).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    assert nearest(nearest(values, (6, 10)), (2, 2)).tolist() == values.tolist()
