"""Whoever says the truth has no errors, and whoever says it with noise of a known size has those of theory."""

import pytest

from benchmarks.theory import Expected, measured, points
from eval.__main__ import main
from eval.launch import WRONG_SETTINGS
from eval.systems.truth import noise_of
from tests.eval.recordings import write_recordings

FRAMES = 25


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return write_recordings(tmp_path_factory.mktemp("set"), ("walk",), FRAMES) / "walk"


@pytest.mark.slow
def test_all_protocols_give_what_theory_says(room, tmp_path):
    rows = list(measured(room, tmp_path, 0.05))
    assert {row.protocol for row in rows} == {
        *("monodepth", "video_depth", "relpose", "mv_recon", "pose_pairs", "query"),
    }
    assert len(rows) > 30
    wrong = [row for row in rows if not row.holds]
    assert not wrong, "\n".join(map(str, wrong))


def test_what_theory_says_is_narrow_enough_to_be_wrong():
    assert not points(0.05)["acc"].holds(0.02) and not points(0.05)["acc"].holds(0.1)
    assert Expected.near(2.0, 0.1) == Expected(1.8, 2.2)


@pytest.mark.parametrize(
    ("weights", "noise"), [("truth", 0.0), ("truth:0.05", 0.05), ("truth:.1", 0.1), ("truth:", None), ("tiny", None)]
)
def test_the_noise_is_part_of_the_name(weights, noise):
    assert noise_of(weights) == noise


def test_a_truth_of_other_noise_is_another_run(room, tmp_path, capsys):
    words = ["relpose", "dataset=rgbd", f"root={room}", f"out={tmp_path}/run", "device=cpu"]
    assert main([*words, "weights=truth:0.05"]) == 0
    assert main([*words, "weights=truth:0.1"]) == WRONG_SETTINGS
    assert "noise: 0.05 there, 0.1 now" in capsys.readouterr().err
    assert main([*words, "weights=truth:0.05", "stage=predict"]) == WRONG_SETTINGS
