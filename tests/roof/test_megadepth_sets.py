import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.io.colmap import ColmapImage
from datasets_preprocess.megadepth_sets import (
    FEWEST_SHARED,
    PADDING,
    SMALLEST_SET,
    covisibility,
    grow_set,
    grow_sets,
    join_sets,
    model_sets,
)


def street(count: int, first: int = 0) -> list[np.ndarray]:
    """Images along a street: each sees 60 points and shares 50, 40, 30 and 20 with the next four."""
    return [np.arange(10 * k, 10 * k + 60) + first for k in range(count)]


def images(points: list[np.ndarray], names: list[str] | None = None) -> list[ColmapImage]:
    names = names or [f"{k:04d}.jpg" for k in range(len(points))]
    return [
        ColmapImage(k, name, 1, np.eye(4), np.zeros((len(seen), 2)), seen)
        for k, (name, seen) in enumerate(zip(names, points, strict=True))
    ]


def test_covisibility_counts_shared_points():
    shared = covisibility(street(7)).toarray()
    for i in range(7):
        for j in range(7):
            common = 0 if i == j else max(60 - 10 * abs(i - j), 0)
            assert shared[i, j] == (common if common >= FEWEST_SHARED else 0)


@given(seed=st.integers(0, 2**31))
def test_covisibility_is_what_sets_of_numbers_share(seed):
    rng = np.random.default_rng(seed)
    points = [rng.integers(-1, 60, rng.integers(0, 90)) for _ in range(6)]  # with repeated and missing ones
    shared = covisibility(points).toarray()
    known = [set(numbers.tolist()) - {-1} for numbers in points]
    for i, mine in enumerate(known):
        for j, theirs in enumerate(known):
            common = len(mine & theirs) * (i != j)
            assert shared[i, j] == common * (common >= FEWEST_SHARED)


def test_images_without_points_and_no_images():
    assert covisibility([np.empty(0, np.int64), np.full(30, -1)]).toarray().tolist() == [[0, 0], [0, 0]]
    assert grow_sets(covisibility([]), 64, np.random.default_rng(0)).shape == (0, 64)


@given(seed=st.integers(0, 2**31), count=st.integers(1, 40), size=st.integers(4, 12))
def test_a_set_holds_different_images_that_each_share_points_with_an_earlier_one(seed, count, size):
    shared = covisibility(street(count))
    found = grow_set(shared, count // 2, size, np.random.default_rng(seed))
    assert len(set(found)) == len(found) == min(size, count)
    for k in range(1, len(found)):
        assert shared[found[k]].toarray()[found[:k]].any()


def test_the_walk_goes_on_from_earlier_images_at_a_dead_end():
    hub = np.arange(300)
    spokes = [np.arange(30 * k, 30 * k + 30) for k in range(10)]  # each shares points with the hub alone
    found = grow_set(covisibility([hub, *spokes]), 3, 64, np.random.default_rng(0))
    assert sorted(found) == list(range(11))


def test_the_likelier_the_more_points_are_shared():
    shared = covisibility([np.arange(100), np.arange(80), np.arange(80, 100)])  # 80 and 20 with the first
    rng = np.random.default_rng(0)
    second = [grow_set(shared, 0, 2, rng)[1] for _ in range(2000)]
    assert np.mean(np.equal(second, 1)) == pytest.approx(0.8, abs=0.03)


@given(seed=st.integers(0, 2**31), counts=st.tuples(st.integers(0, 90), st.integers(0, 90)))
def test_every_image_of_a_large_enough_part_is_in_a_set_and_no_set_mixes_parts(seed, counts):
    shared = covisibility(street(counts[0]) + street(counts[1], first=10_000))
    sets = grow_sets(shared, 16, np.random.default_rng(seed))
    parts = [range(counts[0]), range(counts[0], sum(counts))]
    expected = {image for part in parts if len(part) >= SMALLEST_SET for image in part}
    assert set(sets[sets != PADDING].tolist()) == expected
    for row in sets:
        valid = row[row != PADDING]
        (part,) = [part for part in parts if valid[0] in part]
        assert len(valid) == min(16, len(part)) and set(valid.tolist()) <= set(part)
        assert (row[len(valid) :] == PADDING).all()


def test_one_seed_gives_the_same_sets_whatever_the_order_of_images():
    given_images = images(street(100))
    names = {image.name for image in given_images}
    once, again = (model_sets("0015 0", part, names) for part in (given_images, given_images[::-1]))
    assert once.names == again.names
    np.testing.assert_array_equal(once.sets, again.sets)
    for other in (model_sets("0015 0", given_images, names, seed=1), model_sets("0015 1", given_images, names)):
        assert other.sets.tolist() != once.sets.tolist()


def test_images_without_photo_or_depth_are_left_out():
    sets = model_sets("0001 0", images(street(20)), {f"{k:04d}.jpg" for k in range(5, 15)} | {"absent.jpg"})
    assert sets.names == tuple(f"{k:04d}.jpg" for k in range(5, 15))
    assert sorted(sets.sets[0].tolist()) == [PADDING] * 54 + list(range(10))


def test_images_read_without_their_points_are_refused():
    with pytest.raises(ValueError, match=r"images of 0001 0 have no points; read them with read_images"):
        model_sets("0001 0", [ColmapImage(1, "a.jpg", 1, np.eye(4))], {"a.jpg"})


def test_the_file_needs_no_pickles_and_keeps_sets_to_their_scenes(tmp_path):
    models = [
        model_sets(f"0015 {k}", images(points), {f"{i:04d}.jpg" for i in range(99)})
        for k, points in enumerate((street(70), [], street(6)))
    ]
    np.savez(tmp_path / "sets.npz", **join_sets(models))
    with np.load(tmp_path / "sets.npz", allow_pickle=False) as archive:
        scenes, names, sets = (archive[name] for name in ("scenes", "images", "sets"))
    assert scenes.tolist() == ["0015 0", "0015 1", "0015 2"]
    assert sets.shape == (sum(len(model.sets) for model in models), 65)
    rows = [(model, row) for model in models for row in model.sets]
    for (model, row), stored in zip(rows, sets, strict=True):
        assert scenes[stored[0]] == model.scene
        valid = stored[1:] != PADDING
        assert names[stored[1:][valid]].tolist() == [model.names[k] for k in row[row != PADDING]]
    assert join_sets([])["sets"].shape == (0, 65)
