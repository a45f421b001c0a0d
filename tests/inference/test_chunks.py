"""Chunks of a stream: kept in their own frames, moved later, merged when asked for, and stored with their places."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.geometry.poses import is_rigid
from cut3r.geometry.registration import Similarity
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.result import PointSource
from cut3r.inference.session import Session
from tests.inference.results import make_result
from tests.inference.test_stream import frame

FINE = 1e-4  # metres: every pixel gets a voxel of its own
TURN = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
ELSEWHERE = Similarity(TURN, torch.tensor([1.0, 2, 3]), torch.tensor(2.0))


def two_chunks(**options):
    scene = Reconstruction(confidence=1.0, **options)
    for number in range(4):
        scene.add(replace(make_result(number), chunk=number // 2))
    return scene


@pytest.mark.parametrize("voxel_size", [FINE, None])
def test_moving_a_chunk_moves_its_points_and_cameras_and_no_others(voxel_size):
    scene, before = two_chunks(voxel_size=voxel_size), two_chunks(voxel_size=voxel_size)
    scene.move(1, ELSEWHERE)
    late = before.frame_numbers >= 2
    expected = ELSEWHERE.apply(torch.from_numpy(before.points[late])).numpy()
    found = scene.points[scene.frame_numbers >= 2]
    np.testing.assert_allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)], atol=1e-4)
    kept, same = scene.points[scene.frame_numbers < 2], before.points[~late]
    np.testing.assert_array_equal(kept[np.lexsort(kept.T)], same[np.lexsort(same.T)])
    poses = torch.from_numpy(scene.cameras.world_from_cam)
    assert is_rigid(poses).all() and torch.equal(poses[:2], torch.from_numpy(before.cameras.world_from_cam[:2]))
    torch.testing.assert_close(poses[2:], ELSEWHERE.place(torch.from_numpy(before.cameras.world_from_cam[2:])))


def test_a_chunk_goes_where_it_is_put_however_often():
    scene, before = two_chunks(voxel_size=FINE), two_chunks(voxel_size=FINE)
    scene.move(1, ELSEWHERE)
    scene.move(1, Similarity.identity())
    np.testing.assert_array_equal(scene.points, before.points)


def test_results_that_know_their_place_are_put_there():
    scene, by_hand = Reconstruction(voxel_size=FINE, confidence=1.0), two_chunks(voxel_size=FINE)
    for number in range(4):
        place = ELSEWHERE if number >= 2 else None
        scene.add(replace(make_result(number), chunk=number // 2, world_from_chunk=place))
    by_hand.move(1, ELSEWHERE)
    np.testing.assert_array_equal(scene.points, by_hand.points)
    assert float(scene.chunks[1].scale) == pytest.approx(2.0)


@pytest.mark.parametrize("source", PointSource)
def test_a_result_speaks_of_the_world_in_one_place(source):
    plain, placed = (replace(make_result(0, source=source), world_from_chunk=place) for place in (None, ELSEWHERE))
    torch.testing.assert_close(placed.points_world, ELSEWHERE.apply(plain.points_world))
    torch.testing.assert_close(placed.world_from_cam, ELSEWHERE.place(plain.world_from_cam))
    torch.testing.assert_close(placed.depth, 2 * plain.depth)
    assert torch.equal(placed.points_chunk, plain.points_chunk)


def test_chunks_that_overlap_are_merged_and_not_counted_twice():
    scene = Reconstruction(voxel_size=0.05, confidence=1.0)
    for chunk in range(2):
        scene.add(replace(make_result(0), number=chunk, chunk=chunk))
    assert len(scene.points) == len(scene) / 2


@pytest.mark.parametrize("voxel_size", [0.01, None])
def test_all_chunks_together_keep_no_more_than_the_maximum(voxel_size):
    scene = Reconstruction(voxel_size=voxel_size, max_points=100, confidence=1.0)
    for number in range(40):
        scene.add(replace(make_result(number), chunk=number // 5))
        assert len(scene) <= 100 and len(scene.points) <= 100
    assert len(scene.chunks) == 8


@pytest.mark.parametrize("voxel_size", [0.05, None])
def test_stored_chunks_go_on_as_they_were(voxel_size):
    scene = two_chunks(voxel_size=voxel_size, max_points=90)
    scene.move(0, ELSEWHERE)
    restored = Reconstruction.from_state_arrays(scene.state_arrays())
    for each in (scene, restored):
        each.add(replace(make_result(4), chunk=1))
        each.add(replace(make_result(5), chunk=2))
    ours, theirs = scene.state_arrays(), restored.state_arrays()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chunks/number", np.array([1, 0], np.int32)),
        ("chunks/number", np.array([0, 1])),
        ("chunks/first_frame", np.array([2, 2], np.int32)),
        ("chunks/points", np.array([0, 1], np.int64)),
        ("chunks/points", np.array([-1, 1], np.int64)),
        ("chunks/world_from_chunk", np.zeros((2, 4, 4))),
        ("chunks/world_from_chunk", np.full((2, 4, 4), np.nan)),
        ("chunks/world_from_chunk", np.eye(4)[None]),
    ],
)
def test_chunks_that_cannot_be_are_refused(name, value):
    arrays = two_chunks(voxel_size=0.05).state_arrays()
    with pytest.raises(ValueError, match=r"the saved reconstruction .*(chunk|points|place)"):
        Reconstruction.from_state_arrays(arrays | {name: value})


def test_what_cannot_be_moved_is_said():
    scene = two_chunks(voxel_size=FINE)
    with pytest.raises(KeyError, match=r"no chunk 7; there are \[0, 1\]"):
        scene.move(7, ELSEWHERE)
    with pytest.raises(ValueError, match="no rotation, positive scale"):
        scene.move(0, replace(ELSEWHERE, scale=torch.tensor(torch.nan)))


def test_a_session_places_its_chunks_and_remembers_it(tiny_linear, tmp_path):
    session, other = Session(tiny_linear), Session(tiny_linear)
    first = session.push(frame(0))
    session.reset(ELSEWHERE)
    session.save(tmp_path / "session.safetensors")
    other.load(tmp_path / "session.safetensors")
    for each in (session, other):
        result = each.push(frame(0))
        torch.testing.assert_close(result.world_from_cam, ELSEWHERE.place(first.world_from_cam))
        torch.testing.assert_close(result.depth, 2 * first.depth)
        assert result.chunk == 1
    session.place_chunk(Similarity.identity())
    assert session.push(frame(1)).world_from_chunk is not None
    session.reset()
    assert session.push(frame(1)).world_from_chunk is None


def test_a_query_is_asked_and_answered_in_the_world(tiny_linear):
    session, placed = Session(tiny_linear), Session(tiny_linear)
    for each in (session, placed):
        each.push(frame(0))
    placed.place_chunk(ELSEWHERE)
    camera, intrinsics = torch.eye(4), torch.tensor([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]])
    plain = session.query(camera, intrinsics, (48, 64))
    moved = placed.query(ELSEWHERE.place(camera), intrinsics, (48, 64))
    torch.testing.assert_close(moved.points_world, ELSEWHERE.apply(plain.points_world), atol=1e-3, rtol=1e-3)
    assert moved.pose_error[0] == pytest.approx(plain.pose_error[0], abs=0.1)


def test_a_similarity_is_its_matrix_and_has_an_inverse():
    again = Similarity.from_matrix(ELSEWHERE.matrix())
    torch.testing.assert_close(again.rotation, ELSEWHERE.rotation)
    assert float(again.scale) == pytest.approx(2.0)
    torch.testing.assert_close(ELSEWHERE.inverse().matrix() @ ELSEWHERE.matrix(), torch.eye(4), atol=1e-6, rtol=0)
