"""Where chunks stand: what results say, what `move` says, and which of them share a world."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.registration import Similarity
from cut3r.viewer.places import AS_ADDED, Places, scale_of
from cut3r.viewer.view import view_from_frame


def similarity(seed: int, scale: float = 1.7) -> Similarity:
    generator = torch.Generator().manual_seed(seed)
    turn, shift = torch.randn(2, 3, dtype=torch.float64, generator=generator)
    return Similarity(rotation_from_vector(turn), shift, torch.tensor(scale, dtype=torch.float64))


@pytest.fixture(scope="module")
def view(small_room):
    return view_from_frame(small_room.result(3), 0, max_points=5, thumbnail_side=8)


def test_the_first_chunk_is_the_world_and_others_are_apart_until_placed():
    places = Places()
    for chunk in range(3):
        places.follow(chunk, None)
    assert [places.snapshot().world(chunk) for chunk in range(3)] == [0, 1, 2]
    places.move(2, similarity(0))
    assert [places.snapshot().world(chunk) for chunk in range(3)] == [0, 1, 0]
    places.follow(1, similarity(1))
    assert [places.snapshot().world(chunk) for chunk in range(3)] == [0, 0, 0]


def test_a_result_without_a_place_leaves_a_chunk_where_it_was_moved():
    places = Places()
    places.follow(0, None)
    places.move(0, similarity(0))
    places.follow(0, None)
    stand = places.snapshot().chunks[0]
    assert np.allclose(stand.world_from_chunk, similarity(0).matrix().numpy())
    assert torch.equal(stand.told.matrix(), torch.eye(4).double())


def test_the_latest_word_holds_whoever_said_it():
    places = Places()
    places.follow(0, similarity(0))
    places.move(0, similarity(1))
    places.follow(0, similarity(2))
    stand = places.snapshot().chunks[0]
    assert np.allclose(stand.world_from_chunk, similarity(2).matrix().numpy())
    assert np.allclose(stand.told.matrix().numpy(), similarity(2).matrix().numpy())


def test_only_what_changes_a_place_makes_a_new_version():
    places = Places()
    places.follow(0, None)
    versions = [places.snapshot().version]
    for change in (
        lambda: places.follow(0, None),
        lambda: places.move(0, similarity(0)),
        lambda: places.move(0, similarity(0)),
        lambda: places.follow(0, similarity(0)),
        lambda: places.offer({"a": None, "b": similarity_of(1)}),
    ):
        change()
        versions.append(places.snapshot().version)
    assert [a != b for a, b in itertools.pairwise(versions)] == [False, True, False, False, True]
    assert places.snapshot("b").version != places.snapshot("a").version


def similarity_of(frames: int) -> Similarity:
    """Of so many frames, each another."""
    return Similarity.from_matrix(torch.stack([similarity(seed, 1.0 + seed).matrix() for seed in range(frames)]))


def test_a_frame_stands_where_its_chunk_and_its_placement_say(view):
    places = Places()
    places.follow(0, similarity(5))
    places.offer({"after": None, "before": similarity_of(2)})
    place, offered = similarity(5).matrix().numpy(), similarity_of(2).matrix().numpy()
    second, third = replace(view, position=1), replace(view, position=2)
    after, before = places.snapshot("after"), places.snapshot("before")
    assert np.allclose(after.world_from_frame(second), place @ view.chunk_from_cam)
    assert np.allclose(before.world_from_frame(second), place @ offered[1])
    assert np.allclose(before.world_from_frame(third), place @ view.chunk_from_cam)  # the placement has two frames
    assert np.allclose(before.world_from_answer(second), place @ view.chunk_from_cam)
    assert places.snapshot().poses == AS_ADDED


def test_the_scale_of_a_similarity():
    assert scale_of(similarity(3, 0.25).matrix().numpy()) == pytest.approx(0.25)


def test_a_chunk_that_is_not_there_is_named():
    places = Places()
    places.follow(3, None)
    with pytest.raises(KeyError, match=r"there is no chunk 0; there are \[3\]"):
        places.move(0, similarity(0))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_what_is_no_similarity_is_refused(scale):
    places = Places()
    places.follow(0, None)
    with pytest.raises(ValueError, match="world_from_chunk of chunk 0 is no rotation"):
        places.move(0, similarity(0, scale))
    assert places.snapshot().changes == 1
    one_bad = replace(similarity_of(3), scale=torch.tensor([1.0, scale, 1.0]).double())
    with pytest.raises(ValueError, match="the placement 'bad' of shape"):
        places.offer({"good": None, "bad": one_bad})


def test_a_choice_needs_two():
    with pytest.raises(ValueError, match=r"placements \['only'\] leave no choice"):
        Places().offer({"only": None})


def test_a_placement_is_of_frames():
    with pytest.raises(ValueError, match=r"of shape \(\) must be one"):
        Places().offer({"good": None, "bad": similarity(0)})
