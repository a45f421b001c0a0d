import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.inference.bounded_points import AXIS_BITS, HALF_AXIS, POINT, Reservoir, VoxelGrid, _doubled, _stable_order


def random_records(count: int, *, seed: int = 0, spread_m: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    records = np.zeros(count, POINT)
    records["point"] = rng.uniform(-spread_m, spread_m, (count, 3))
    records["confidence"] = rng.uniform(1, 9, count)
    records["color"] = rng.integers(0, 256, (count, 3))
    records["frame"] = np.arange(count)
    return records


def best_per_voxel(records: np.ndarray, voxel_size: float) -> np.ndarray:
    """One record after the other; of equals, the first."""
    best: dict[tuple[float, ...], np.void] = {}
    for record in records:
        voxel = tuple(np.floor(record["point"].astype(np.float64) / voxel_size))
        if voxel not in best or record["confidence"] > best[voxel]["confidence"]:
            best[voxel] = record
    return np.array(list(best.values()), POINT)


def assert_same_set(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_array_equal(np.sort(a, order=["frame", "confidence"]), np.sort(b, order=["frame", "confidence"]))


@given(seed=st.integers(0, 2**31), batches=st.integers(1, 6), voxel_size=st.floats(0.05, 3))
def test_a_grid_filled_bit_by_bit_holds_the_best_point_of_every_voxel(seed, batches, voxel_size):
    records, grid = random_records(300, seed=seed), VoxelGrid(voxel_size, 1000)
    for batch in np.array_split(records, batches):
        grid.add(batch)
    assert_same_set(grid.records, best_per_voxel(records, voxel_size))


@given(seed=st.integers(0, 2**31), max_points=st.integers(8, 100))
def test_a_full_grid_doubles_its_voxels_and_still_holds_the_best_of_each(seed, max_points):
    records, grid = random_records(300, seed=seed), VoxelGrid(0.1, max_points)
    for batch in np.array_split(records, 7):
        grid.add(batch)
        assert len(grid.records) <= max_points
    assert grid.voxel_size > 0.1
    assert np.log2(grid.voxel_size / 0.1) % 1 == 0
    assert_same_set(grid.records, best_per_voxel(records, grid.voxel_size))


def test_records_are_made_only_of_points_that_win():
    records, grid = random_records(1000), VoxelGrid(0.5, 100)
    made: list[int] = []

    def gather(some: np.ndarray) -> np.ndarray:
        made.append(len(some))
        return records.take(some)

    grid.add_points(records["point"], records["confidence"], gather)
    assert sum(made) == len(grid.records) == 64
    made.clear()
    grid.add_points(records["point"], records["confidence"], gather)
    assert sum(made) == 0, "none is better than itself"


@given(seed=st.integers(0, 2**31), voxel_size=st.floats(1e-3, 10))
def test_a_voxel_of_twice_the_size_is_numbered_from_those_in_it(seed, voxel_size):
    points = random_records(200, seed=seed, spread_m=900 * voxel_size)["point"]
    small, _ = VoxelGrid(voxel_size, 100)._voxels_of(points)
    large, _ = VoxelGrid(2 * voxel_size, 100)._voxels_of(points)
    np.testing.assert_array_equal(_doubled(small), large)


def test_the_order_in_which_points_come_does_not_matter():
    records = random_records(500)
    forwards, backwards = VoxelGrid(0.2, 100), VoxelGrid(0.2, 100)
    for batch in np.array_split(records, 5):
        forwards.add(batch)
    for batch in np.array_split(records[::-1], 9):
        backwards.add(batch)
    np.testing.assert_array_equal(forwards.records, backwards.records)


def test_of_equally_confident_points_the_first_stays():
    records = random_records(3, spread_m=0)
    records["confidence"] = 2
    grid = VoxelGrid(0.1, 10)
    grid.add(records[:2])
    grid.add(records[2:])
    assert grid.records["frame"].tolist() == [0]


def test_doubling_is_logged(caplog):
    with caplog.at_level(logging.INFO):
        VoxelGrid(0.01, 100).add(random_records(200))
    assert "more than 100 points: voxels are now 0.02 m wide" in caplog.text


def test_points_beyond_ten_kilometres_are_dropped_and_counted_at_one_centimetre():
    records, grid = random_records(4), VoxelGrid(0.01, 100)
    records["point"][:, 1] = 10_485.7, -10_485.7, 10_485.9, -1e30
    grid.add(records)
    assert sorted(grid.records["frame"].tolist()) == [0, 1]
    assert grid.out_of_range == 2
    assert grid.bound == "one per 1 cm voxel, at most 100; 2 too far away were dropped"


def test_corners_of_the_numbered_range_do_not_collide():
    records, grid = random_records(8), VoxelGrid(1.0, 100)
    records["point"] = 1_048_575.5 * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    grid.add(records)
    assert len(grid.records) == 8


def test_an_empty_batch_changes_nothing():
    for points in (VoxelGrid(0.1, 10), Reservoir(10)):
        points.add(random_records(5))
        before = points.records.copy()
        points.add(random_records(0))
        np.testing.assert_array_equal(points.records, before)


@given(sizes=st.lists(st.integers(0, 60), max_size=8))
def test_a_reservoir_holds_all_until_it_is_full_and_then_exactly_its_size(sizes):
    reservoir = Reservoir(50)
    for size in sizes:
        reservoir.add(random_records(size))
        assert len(reservoir.records) == min(50, reservoir.seen)
    assert reservoir.seen == sum(sizes)


def test_a_reservoir_keeps_early_and_late_points_with_the_same_probability():
    records, kept = random_records(40), np.zeros(40)
    for seed in range(500):
        reservoir = Reservoir(10, generator=np.random.default_rng(seed))
        for batch in np.split(records, [5, 17, 38]):
            reservoir.add(batch)
        kept[reservoir.records["frame"]] += 1
    # each was kept in a quarter of the runs, up to four standard deviations
    np.testing.assert_allclose(kept / 500, 0.25, atol=4 * np.sqrt(0.25 * 0.75 / 500))


def test_a_reservoir_never_holds_a_point_twice():
    reservoir = Reservoir(20)
    for batch in np.array_split(random_records(1000), 10):
        reservoir.add(batch)
    assert len(np.unique(reservoir.records["frame"])) == 20


@pytest.mark.parametrize("voxel_size", [0.0, -1.0, float("nan")])
def test_a_voxel_has_a_positive_size(voxel_size):
    with pytest.raises(ValueError, match="positive edge length"):
        VoxelGrid(voxel_size, 100)


def test_sizes_that_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="at least 8"):
        VoxelGrid(0.1, 7)
    with pytest.raises(ValueError, match="at least 1"):
        Reservoir(0)


@pytest.mark.parametrize("spread", [1, 40, 1 << 20], ids=["one voxel", "a room", "kilometres"])
def test_voxels_are_ordered_as_a_stable_sort_does(spread):
    rng = np.random.default_rng(0)
    axes = HALF_AXIS + rng.integers(-spread, spread, (5000, 3))
    voxels = (axes[:, 0] << 2 * AXIS_BITS) | (axes[:, 1] << AXIS_BITS) | axes[:, 2]
    assert np.array_equal(_stable_order(voxels), np.argsort(voxels, kind="stable"))
    assert len(_stable_order(voxels[:0])) == 0
