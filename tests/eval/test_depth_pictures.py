"""The report's pictures of depth show what was scored: the same pixels, clipped and aligned as for the number."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from eval.protocols.depth import MonoDepth, VideoDepth
from eval.report.pictures import depth_pictures, small_strips
from eval.sequences.sequence import Sequence
from eval.systems.saved import MissingPredictionsError

SIZE, FRAMES, SKY_M = (24, 32), 5, 3e9


class Noisy:
    """True depth of frame i times i + 1 and 10 % noise; the sky is somewhere far away."""

    def __init__(self, sequence, *, spread):
        rng = np.random.default_rng(3)
        self.depths = [
            np.minimum(sequence.read_depth(number), 1e5) * (1 + spread * number) * rng.uniform(0.9, 1.1, SIZE)
            for number in range(len(sequence))
        ]

    def __len__(self):
        return len(self.depths)

    def depth(self, number):
        return self.depths[number].astype(np.float32)

    def confidence(self, number):
        raise MissingPredictionsError("this system has none")


@pytest.fixture
def sintel(tmp_path):
    """Ground that recedes to 60 m, and a sky that does not count."""
    ground = np.linspace(2, 60, SIZE[0] * SIZE[1]).reshape(SIZE)
    ground[:6] = SKY_M
    ground = ground.astype(np.float32)
    images = tuple(tmp_path / f"frame_{number:04d}.png" for number in range(FRAMES))
    return Sequence("alley", images, read_depth=lambda number: ground)


def shown_errors(look):
    return {row.number: row.systems[0].mean_error for row in depth_pictures({"ours": look}, {"ours": 1}).rows}


def test_pictures_of_single_depth_are_in_their_own_alignment_without_the_sky(sintel):
    score, look = MonoDepth("sintel", []).score(sintel, Noisy(sintel, spread=1.0))
    scored = [item.metrics["abs_rel"] for item in score.groups["median"]]
    assert score.notes.get("pictured") == "median"
    assert set(shown_errors(look)) == {0, 2, 4}
    for number, error in shown_errors(look).items():
        assert error == pytest.approx(scored[number], rel=1e-2)


def test_pictures_of_video_depth_are_in_the_alignment_of_the_chart_above_them(sintel):
    score, look = VideoDepth("sintel", []).score(sintel, Noisy(sintel, spread=0.1))
    assert score.notes.get("pictured") == "scale"
    for number, error in shown_errors(look).items():
        assert error == pytest.approx(look["abs_rel_scale"][number], rel=1e-2)


def test_the_scale_of_colours_ends_where_truth_counts(sintel):
    _, look = VideoDepth("sintel", []).score(sintel, Noisy(sintel, spread=0.0))
    assert depth_pictures({"ours": look}, {"ours": 1}).scales.depth_m[1] < 70
    assert np.isfinite(look["predicted_0"]).all()


def test_errors_by_frame_average_to_the_score(sintel):
    score, look = VideoDepth("sintel", []).score(sintel, Noisy(sintel, spread=0.5))
    for group in ("metric", "scale"):
        assert np.mean(look[f"abs_rel_{group}"]) == pytest.approx(score.groups[group][0].metrics["abs_rel"], rel=1e-5)


def test_many_small_frames_are_kept_to_leaf_through(sintel):
    images = tuple(sintel.images[0].with_name(f"frame_{number:04d}.png") for number in range(50))
    sequence = replace(sintel, images=images)
    _, look = VideoDepth("sintel", []).score(sequence, Noisy(sequence, spread=0.0))
    scales = depth_pictures({"ours": look}, {"ours": 1}).scales
    strips = small_strips({"ours": look, "again": look}, {"ours": 2, "again": 2}, scales)
    numbers = [number for number, _ in strips]
    assert (numbers[0], numbers[-1]) == (0, 98)
    assert 24 <= len(numbers) <= 25
    assert np.ptp(np.diff(numbers)) <= 4
    kind, text = strips[0][1].split(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(text))).size == (6 * SIZE[1], SIZE[0])
    assert len([key for key in look if key.startswith("true_")]) == 3
