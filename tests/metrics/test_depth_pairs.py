"""Pairs of pixels as a stream: what comes out is what went in, from memory or from the file, and memory is bounded."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.metrics import depth_pairs
from cut3r.metrics.depth_pairs import DepthPairs, InverseTargets


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(depth_pairs, "BLOCK", 64)


def content(pairs):
    """Copy all pixels; the blocks are views."""
    blocks = [[column if column is None else column.copy() for column in block] for block in pairs.blocks()]
    return [None if column[0] is None else np.concatenate(column) for column in zip(*blocks, strict=True)]


def frames(seed, shapes, dtype):
    rng = np.random.default_rng(seed)
    for shape in shapes:
        yield (rng.random(shape, np.float32), rng.random(shape).astype(dtype), *(rng.random((2, *shape)) < 0.7))


@pytest.mark.parametrize("memory_limit", [0, 2000, 10**9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("with_mask", [False, True])
@given(seed=st.integers(0, 2**31), sizes=st.lists(st.integers(0, 15), min_size=1, max_size=8))
def test_what_comes_out_is_what_went_in(seed, sizes, dtype, with_mask, memory_limit):
    expected = []
    with DepthPairs(memory_limit=memory_limit) as pairs:
        for p, g, valid, kept in frames(seed, [(size, 11) for size in sizes], dtype):
            pairs.add(p, g, valid, kept if with_mask else None)
            expected.append((p[valid], g[valid], kept[valid]))
        count = sum(len(p) for p, *_ in expected)
        assert len(pairs) == count
        if not count:
            assert list(pairs.blocks()) == []
            return
        for _ in range(2):  # as often as one likes
            p, g, kept = content(pairs)
            assert g.dtype == dtype
            for index, column in enumerate((p, g, kept) if with_mask else (p, g)):
                np.testing.assert_array_equal(column, np.concatenate([frame[index] for frame in expected]))
            assert (kept is not None) == with_mask


def test_one_can_go_on_adding_after_reading():
    with DepthPairs(memory_limit=0) as pairs:
        for p, g, valid, _ in frames(0, [(20, 20)] * 3, np.float32):
            before = len(pairs)
            pairs.add(p, g, valid)
            np.testing.assert_array_equal(content(pairs)[0][before:], p[valid])


def test_two_readers_do_not_disturb_each_other():
    with DepthPairs(memory_limit=0) as pairs:
        pairs.append(np.arange(300, dtype=np.float32), np.ones(300))
        for one, other in zip(pairs.blocks(), pairs.blocks(), strict=True):
            np.testing.assert_array_equal(one.prediction, other.prediction)


def test_predictions_that_are_not_finite_are_counted_and_left_out():
    p = np.float32([1, np.nan, np.inf, -np.inf, -1, np.nan])
    g, valid = np.arange(1.0, 7), np.array([True] * 5 + [False])
    with DepthPairs() as pairs:
        pairs.add(p, g, valid)
        np.testing.assert_array_equal(content(pairs)[1], [1, 5])
        assert pairs.not_finite == 3
    with DepthPairs(keep_failed=True) as pairs:
        pairs.add(p, g, valid)
        np.testing.assert_array_equal(content(pairs)[0], p[:5])
        assert pairs.not_finite == 3


def test_failures_outside_the_mask_do_not_count():
    p, g, kept = np.float32([np.nan, np.nan, 1]), np.ones(3), np.array([True, False, True])
    with DepthPairs() as pairs:
        pairs.add(p, g, g > 0, kept)
        assert (len(pairs), pairs.not_finite) == (1, 1)


@pytest.mark.parametrize("blocks", [20, 200])
def test_memory_does_not_grow_with_the_video(blocks):
    memory_limit, block_bytes = 5000, 64 * 8
    p, g = np.ones(64, np.float32), np.ones(64, np.float32)
    with DepthPairs(memory_limit=memory_limit) as pairs:
        pairs.append(p, g)
        tracemalloc.start()
        for _ in range(blocks):
            pairs.append(p, g)
        assert sum(len(block.target) for block in pairs.blocks()) == len(pairs)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < memory_limit + 2 * block_bytes + 20_000  # the last for Python's own small objects


def test_disparity_is_the_inverse_of_the_target():
    with DepthPairs() as pairs:
        pairs.append(np.ones(2, np.float32), np.float64([0.5, 4]))
        inverse = InverseTargets(pairs)
        np.testing.assert_allclose(content(inverse)[1], [2, 0.25], rtol=1e-7)
        assert len(inverse) == 2


def test_frames_of_different_kinds_are_an_error():
    one = np.ones(3, np.float32)
    with DepthPairs() as pairs:
        pairs.append(one, one)
        with pytest.raises(ValueError, match="add all frames alike"):
            pairs.append(one, one.astype(np.float64))
        with pytest.raises(ValueError, match="add all frames alike"):
            pairs.append(one, one, one > 0)


def test_half_precision_is_an_error():
    with DepthPairs() as pairs, pytest.raises(ValueError, match="convert it to float32 or float64"):
        pairs.append(np.ones(3, np.float32), np.ones(3, np.float16))


def test_closing_forgets_everything():
    with DepthPairs(memory_limit=0) as pairs:
        pairs.append(np.ones(300, np.float32), np.ones(300))
    assert len(pairs) == 0
    assert list(pairs.blocks()) == []
