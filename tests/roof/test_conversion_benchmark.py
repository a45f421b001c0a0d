"""What a conversion costs is measured for every dataset, and shown in the documentation as what it is."""

import importlib
import sys

import pytest

from cut3r.data.card import Card
from cut3r.data.datasets import PROCESSED
from datasets_preprocess.cards import ROOT, cost, measurements
from tests.data.datasets.raw_walks import realestate10k


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # as for a script
    return importlib.import_module("conversion")


def test_every_dataset_has_been_measured_at_its_published_size(benchmark):
    assert set(measurements()) == set(benchmark.PUBLISHED) == set(PROCESSED)
    for name, row in measurements().items():
        assert (row["h"], row["w"]) == benchmark.PUBLISHED[name].size and row["mb_per_frame"] > 0 < row[
            "core_s_per_frame"
        ]


def test_a_walk_is_converted_at_the_size_that_is_asked_for(benchmark, tmp_path):
    benchmark.convert("realestate10k", realestate10k, tmp_path, (180, 320))
    row = benchmark.measure("realestate10k", small=True)
    assert (row["stored_h"], row["stored_w"], row["frames"]) == (90, 160, 3)
    stored = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file()) / 3e6
    assert 1.5 * row["mb_per_frame"] < stored < 5 * row["mb_per_frame"], "of four times the pixels"


def test_another_name_is_refused(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["conversion", "tartan"])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert "tartan: no dataset" in capsys.readouterr().err


def test_the_cost_follows_from_the_published_number_of_frames():
    row = {"published_frames_of_each": 15, "mb_per_frame": 2.0, "core_s_per_frame": 0.36}
    card = Card("a", "A", "A", "", "", "", metric=True, frames=150_000)
    assert cost(card, row) == "20 GB, 1 h"
    unknown = Card("a", "A", "A", "", "", "", metric=True)
    assert cost(unknown, row) == "200 GB, 10 h per 100,000 frames"
