"""The benchmark of eight mixed datasets: its sets are read as their readers read, and every stage is seen."""

from pathlib import Path

import pytest

from cut3r.data.datasets import PROCESSED

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Two small sets, packed and not, and the modules of the benchmark."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import mixed_loading
    import mixed_sets

    plans = tuple(plan for plan in mixed_sets.PLANS if plan.slug in ("waymo", "tartanair"))
    monkeypatch.setattr(mixed_sets, "RENDERED", (24, 32))
    for module in (mixed_sets, mixed_loading):
        monkeypatch.setattr(module, "PLANS", plans)
    monkeypatch.setattr(mixed_loading, "SIZE", (24, 32))
    mixed_sets.make_sets(tmp_path, frames=3)
    return mixed_loading, tmp_path, plans


def test_the_sets_are_those_that_were_planned(small):
    mixed, folder, plans = small
    for plan in plans:
        for kind in mixed.KINDS:
            dataset = PROCESSED[plan.slug](folder / kind / plan.slug, split="all", num_views=2, sizes=[(24, 32)])
            frame = dataset.read(dataset.scenes[0], 1)
            assert frame.size == plan.size and len(dataset.scenes) == len(plan.scenes)
            assert (frame.depth > 0).mean() > 0.02


def test_stages_are_all_seen_and_folders_and_shards_cost_about_the_same_work(small):
    mixed, folder, plans = small
    rows = {row["from"]: row for row in mixed.stage_rows(folder, views=2, samples=4)}
    assert rows.keys() == {*mixed.KINDS, *(plan.slug for plan in plans)}
    for row in rows.values():
        stages = {stage: row[stage] for stage in mixed.STAGES}
        assert all(value > 0 for value in stages.values()), f"a stage was not seen: {stages}"
        assert sum(stages.values()) == pytest.approx(row["ms"])
    assert rows["plain"]["frames"] == rows["packed"]["frames"] == 8


def test_waiting_and_cold_reading_are_measured_for_both(small):
    mixed, folder, _ = small
    how = {"workers": 1, "views": 2, "batch_size": 1, "batches": 2, "rounds": 1}
    rows = mixed.waiting_rows(folder, step_s=0.001, **how)
    assert [row["from"] for row in rows] == list(mixed.KINDS)
    assert all(row["samples_per_s"] > 0 and 0 <= row["waiting"] <= 1 and row["cores"] > 0 for row in rows)
    assert {row["from"] for row in mixed.cold_rows(folder, frames=2, rounds=1)} == set(mixed.KINDS)
