"""The store of frames stays bounded and covers the stream evenly."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.viewer.store import FrameStore
from cut3r.viewer.view import view_from_frame


@pytest.fixture(scope="module")
def view(small_room):
    return view_from_frame(small_room.result(0), 0, max_points=5, thumbnail_side=8)


@given(count=st.integers(0, 300), max_frames=st.integers(2, 20))
def test_frames_are_thinned_evenly_and_the_newest_is_there(view, count, max_frames):
    store = FrameStore(max_frames)
    for position in range(count):
        store.add(replace(view, position=position))
    frames, stride = store.snapshot()
    positions = [frame.position for frame in frames]
    expected = [position for position in range(count) if position % stride == 0 or position == count - 1]
    assert positions == expected
    assert len(positions) <= max_frames
    assert count <= max_frames or stride > 1


def test_few_frames_are_all_kept(view):
    store = FrameStore(300)
    for position in range(300):
        store.add(replace(view, position=position))
    assert (len(store.snapshot()[0]), store.snapshot()[1]) == (300, 1)


def test_chunks_share_the_bound(view):
    store = FrameStore(4)
    for position in range(9):
        store.add(replace(view, position=position, chunk=position // 3))
    frames, stride = store.snapshot()
    assert ([(frame.position, frame.chunk) for frame in frames], stride) == ([(0, 0), (4, 1), (8, 2)], 4)
