"""The proof of an export: splats learn from the folder as well as from the true cameras, and worse from wrong ones."""

import pytest

from benchmarks.splats import compare, of_walk


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    folder, true = of_walk(tmp_path_factory.mktemp("walk"), width=96, frames=12)
    return compare(folder, true, steps=50, most=3000, degrees=2.0, metres=0.05)


def test_the_cameras_of_the_folder_are_as_good_as_the_true_ones(scores):
    for pictures in ("trained on", "held out"):
        assert scores["of the folder"][pictures] > scores["true"][pictures] - 0.5, scores
    assert scores["of the folder"]["held out"] > 17, scores


def test_and_disturbed_ones_are_not(scores):
    assert scores["disturbed by 2 degrees, 5 cm"]["held out"] < scores["true"]["held out"] - 0.5, scores
