"""Chunks that are moved, and frames with several placements: points and cameras stand where a reconstruction has them.

The scene graph that a page gets is put together again from the handles of its nodes.
"""

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import viser
from viser._messages import CameraFrustumMessage, PointCloudMessage

from cut3r.geometry.poses import matrix_from_quaternion, pose_from_parts
from cut3r.geometry.registration import Similarity
from cut3r.inference.reconstruction import Reconstruction
from cut3r.viewer.app import Viewer
from cut3r.viewer.config import ViewerConfig
from tests.viewer.test_places import similarity, similarity_of
from tests.viewer.visitor import page_of

OPTIONS = ViewerConfig(point_size=0.01, camera_size=0.1, confidence=0.0, edges=None, thumbnail_side=8)
PIXELS = 24 * 32


@pytest.fixture
def viewer(small_room):
    viewer = Viewer(port=0, options=OPTIONS, query=small_room.query)
    page_of(viewer).panel._ground.value = False  # it is drawn anew where the scene has grown
    yield viewer
    viewer.close()


@pytest.fixture
def scene():
    return Reconstruction(voxel_size=None, confidence=0.0, edges=None)


def pose_of(node: viser.SceneNodeHandle) -> np.ndarray:
    return pose_from_parts(matrix_from_quaternion(torch.tensor(node.wxyz)), torch.tensor(node.position)).numpy()


def drawn(viewer: Viewer, kind: str = "frames") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a page shows: camera centres, points and sizes of points, of all visible frames, or queries."""
    nodes = viewer._server.scene._handle_from_node_name
    views = viewer._store.snapshot()[0] if kind == "frames" else page_of(viewer).desk.views()
    centers, points, sizes = [], [], []
    for view in views:
        name = getattr(page_of(viewer).scene._chunks[view.chunk], kind).node(view)._name
        node, chunk, cloud = nodes[name], nodes["/".join(name.split("/")[:3])], nodes[f"{name}/points"]
        if not node.visible:
            continue
        world_from_view = pose_of(chunk) @ pose_of(node)
        centers.append(world_from_view[:3, 3])
        points.append(cloud.points.astype(float) * cloud.scale @ world_from_view[:3, :3].T + world_from_view[:3, 3])
        sizes.append(cloud.point_size * cloud.scale)
    return np.array(centers), np.concatenate(points), np.array(sizes)


def assert_same_points(ours: np.ndarray, theirs: np.ndarray) -> None:
    """The same cloud, whatever the order."""
    assert len(ours) == len(theirs)
    nearest = np.abs(ours[:, None] - theirs[None, ::7]).max(axis=-1).min(axis=0)
    assert nearest.max() < 0.02  # float16 at the distances of a room that is enlarged


def fill(viewer: Viewer, scene: Reconstruction, room, chunks: list[int], wait_until) -> None:
    for number, chunk in enumerate(chunks):
        result = room.result(number, chunk=chunk)
        viewer.add(result)
        scene.add(result)
    wait_until(lambda: viewer.status.frames == len(chunks))


@pytest.mark.parametrize("scale", [1.0, 0.4, 2.5])
def test_what_is_shown_is_where_the_reconstruction_has_it(viewer, scene, small_room, wait_until, scale):
    fill(viewer, scene, small_room, [0, 0, 1, 1], wait_until)
    for chunk, seed in ((1, 1), (0, 2), (1, 3)):
        for sink in (viewer, scene):
            sink.move(chunk, similarity(seed, scale))
    last = similarity(3, scale).translation.numpy()
    wait_until(lambda: np.allclose(page_of(viewer).scene._chunks[1].node.position, last))
    wait_until(lambda: viewer.status.points == 4 * PIXELS)
    time.sleep(0.2)
    centers, points, sizes = drawn(viewer)
    assert np.allclose(centers, scene.cameras.world_from_cam[:, :3, 3], atol=1e-4)
    assert_same_points(points, scene.points)
    assert np.allclose(sizes, OPTIONS.point_size)  # points stay as large as they were
    trail = page_of(viewer).scene._trail.points
    assert np.allclose(trail[:, 0], centers[:-1], atol=1e-4) and np.allclose(trail[:, 1], centers[1:], atol=1e-4)


def test_a_chunk_whose_results_say_where_it_stands(viewer, scene, small_room, wait_until):
    place = similarity(4, 1.3)
    for number, given in enumerate([None, place, place]):
        result = replace(small_room.result(number, chunk=min(number, 1)), world_from_chunk=given)
        viewer.add(result)
        scene.add(result)
    wait_until(lambda: viewer.status.points == 3 * PIXELS)
    assert viewer.status.elsewhere == 0
    centers, points, _ = drawn(viewer)
    assert np.allclose(centers, scene.cameras.world_from_cam[:, :3, 3], atol=1e-4)
    assert_same_points(points, scene.points)


def sent_since(viewer: Viewer, before: int) -> list[object]:
    messages = viewer._server._websock_server._broadcast_buffer.message_from_id
    return [message for number, message in messages.items() if number >= before]


def creates(messages: list[object]) -> bool:
    """Whether clouds or cameras are among them."""
    return any(isinstance(message, PointCloudMessage | CameraFrustumMessage) for message in messages)


def test_a_move_sends_transforms_and_the_trail_and_nothing_else(viewer, scene, small_room, wait_until):
    fill(viewer, scene, small_room, [0, 0, 0, 1, 1, 1], wait_until)
    viewer.move(1, similarity(0, 1.0))
    wait_until(lambda: viewer.status.points == 6 * PIXELS)
    time.sleep(0.3)
    buffer = viewer._server._websock_server._broadcast_buffer
    before = buffer.message_counter
    viewer.move(1, similarity(1, 1.0))
    wait_until(lambda: np.allclose(page_of(viewer).scene._chunks[1].node.position, similarity(1).translation.numpy()))
    time.sleep(0.3)
    sent = sent_since(viewer, before)
    moved = {
        message.name for message in sent if "Orientation" in str(type(message)) or "Position" in str(type(message))
    }
    assert moved - {"/trail", ""} == {"/chunks/1"}  # the root is turned where something else is up now
    assert not creates(sent)
    assert buffer.message_counter - before < 20

    before = buffer.message_counter
    viewer.move(1, similarity(1, 2.0))  # larger: its frames, too, but still no point
    wait_until(lambda: page_of(viewer).scene._chunks[1].scale == pytest.approx(2.0))
    time.sleep(0.3)
    sent = sent_since(viewer, before)
    assert not creates(sent)
    assert not any(getattr(message, "name", "").startswith("/chunks/0") for message in sent)
    assert buffer.message_counter - before < 40


def test_an_optimiser_that_moves_without_end_is_drawn_ten_times_a_second(
    viewer, scene, small_room, monkeypatch, wait_until
):
    fill(viewer, scene, small_room, [0, 1], wait_until)
    viewer.finish()
    wait_until(lambda: viewer.status.finished)
    times: list[float] = []
    draw = page_of(viewer).scene.draw
    monkeypatch.setattr(
        page_of(viewer).scene, "draw", lambda *a, **k: [times.append(time.monotonic()), draw(*a, **k)][1]
    )
    start = time.perf_counter()
    for step in range(200):
        viewer.move(1, replace(similarity(0), scale=torch.tensor(1 + 0.01 * step).double()))
        time.sleep(0.005)
    assert time.perf_counter() - start < 10
    wait_until(lambda: page_of(viewer).scene._chunks[1].scale == pytest.approx(2.99))
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(gaps) > 2 and min(gaps) > 0.09


def test_chunks_that_nobody_placed_are_not_shown_beside_each_other(viewer, scene, small_room, wait_until):
    fill(viewer, scene, small_room, [0, 0, 0, 1], wait_until)
    wait_until(lambda: viewer.status.points == PIXELS)
    assert viewer.status.elsewhere == 3
    assert "3 of those kept are hidden: the stream was reset" in viewer.status.text()
    page_of(viewer).timeline.frame.value = 1  # playback still reaches the others
    wait_until(lambda: viewer.status.points == 3 * PIXELS and viewer.status.elsewhere == 1)
    viewer.move(1, similarity(0))
    wait_until(lambda: viewer.status.points == 4 * PIXELS and viewer.status.elsewhere == 0)


def test_everybody_is_taken_along_to_another_world(viewer, scene, small_room, monkeypatch, wait_until):
    """Also who has gone their own way in the world before."""
    page = page_of(viewer)
    fill(viewer, scene, small_room, [0], wait_until)
    wait_until(lambda: page.navigator._framed is not None)
    page.navigator.is_touched = True
    put: list[np.ndarray] = []
    monkeypatch.setattr(page.navigator, "put", lambda position, look_at: put.append(position))
    viewer.add(small_room.result(1, chunk=1))
    wait_until(lambda: viewer.status.elsewhere == 1 and len(put) == 1)
    viewer.move(1, similarity(0))
    wait_until(lambda: viewer.status.elsewhere == 0 and len(put) == 2)


def test_who_follows_a_camera_follows_it_when_its_chunk_is_moved(viewer, scene, small_room, monkeypatch, wait_until):
    went: list[tuple[np.ndarray, np.ndarray]] = []
    fill(viewer, scene, small_room, [0, 0], wait_until)
    page = page_of(viewer)
    monkeypatch.setattr(page.navigator, "put", lambda position, look_at: went.append((position, look_at)))
    page.timeline.follow.value = True
    wait_until(lambda: len(went) == 1)
    viewer.move(0, similarity(0, 2.0))
    wait_until(lambda: len(went) == 2)
    scene.move(0, similarity(0, 2.0))
    (near, ahead), (position, look_at) = went
    pose = scene.cameras.world_from_cam[-1].astype(float)
    inside = pose[:3, :3].T @ (position - pose[:3, 3])
    assert inside[2] < 0 and inside[1] < 0  # behind and above
    assert np.linalg.norm(look_at - position) == pytest.approx(2 * np.linalg.norm(ahead - near), rel=1e-4)


@pytest.mark.parametrize("told", [None, similarity(7, 0.5)])
def test_a_query_in_a_moved_chunk_asks_for_what_is_shown_there(small_room, wait_until, told):
    """The session's world is where it put the chunk; the page's is where the chunk has been moved to."""
    known = Similarity.identity() if told is None else told

    def query(world_from_cam, intrinsics, size):
        answer = small_room.query(known.inverse().place(world_from_cam), intrinsics, size)
        points = answer.prediction.points_cam * known.scale.float()
        placed = replace(answer.prediction, points_cam=points, world_from_cam=world_from_cam[None])
        return replace(answer, prediction=placed, world_from_cam=world_from_cam)

    viewer = Viewer(port=0, options=OPTIONS, query=query)
    viewer.add(replace(small_room.result(0), world_from_chunk=told))
    place = similarity(1, 1.5)
    viewer.move(0, place)
    asked = place.place(small_room.pose(4).double()).float()
    page_of(viewer).desk.ask(asked)
    wait_until(lambda: viewer.status.queries == 1)
    centers, points, _ = drawn(viewer, "queries")
    assert np.allclose(centers[0], asked[:3, 3], atol=1e-4)
    truth = small_room.result(4).points_world.double().reshape(-1, 3)
    assert_same_points(points, place.apply(truth).numpy())

    viewer.move(0, similarity(2, 0.7))  # the answer goes along
    wait_until(lambda: np.allclose(page_of(viewer).scene._chunks[0].node.position, similarity(2).translation.numpy()))
    time.sleep(0.2)
    _, points, _ = drawn(viewer, "queries")
    assert_same_points(
        points, similarity(2, 0.7).apply(small_room.result(4).points_world.double().reshape(-1, 3)).numpy()
    )
    viewer.close()


def test_a_world_that_the_network_has_forgotten_cannot_be_asked(viewer, scene, small_room, wait_until):
    fill(viewer, scene, small_room, [0, 0, 1], wait_until)
    page_of(viewer).timeline.frame.value = 0
    with pytest.raises(ValueError, match="remembers chunk 1 only, which has no place in the world that is shown"):
        page_of(viewer).desk.ask(small_room.pose(0))
    viewer.move(1, similarity(0))
    page_of(viewer).desk.ask(small_room.pose(0))


def test_a_switch_moves_frames_and_sends_no_points(viewer, scene, small_room, wait_until):
    before = similarity_of(3)
    viewer.offer({"before": before, "after": None})
    fill(viewer, scene, small_room, [0, 0, 0], wait_until)
    wait_until(lambda: viewer.status.points == 3 * PIXELS)
    assert page_of(viewer).look().poses == "before"
    time.sleep(0.3)
    centers, points, sizes = drawn(viewer)
    assert np.allclose(centers, before.translation, atol=1e-6) and np.allclose(sizes, OPTIONS.point_size)
    cam_points = torch.stack([small_room.result(n).points_cam for n in range(3)]).double().reshape(3, -1, 3)
    assert_same_points(points, before.apply(cam_points).reshape(-1, 3).numpy())

    counter = viewer._server._websock_server._broadcast_buffer.message_counter
    page_of(viewer).panel._poses.value = "after"
    wait_until(lambda: np.allclose(drawn(viewer)[0], scene.cameras.world_from_cam[:, :3, 3], atol=1e-6))
    time.sleep(0.3)
    assert_same_points(drawn(viewer)[1], scene.points)
    sent = sent_since(viewer, counter)
    assert not creates(sent)


def test_a_new_offer_takes_the_place_of_the_old_one(viewer, wait_until):
    viewer.offer({"before": similarity_of(2), "after": None})
    viewer.offer({"graph": None, "full": similarity_of(2), "bundle": similarity_of(2)})
    wait_until(lambda: page_of(viewer).panel._poses is not None)
    assert page_of(viewer).panel._poses.options == ("graph", "full", "bundle")
    assert page_of(viewer).look().poses == "graph"
    with pytest.raises(ValueError, match="leave no choice"):
        viewer.offer({})
    assert page_of(viewer).look().poses == "graph"


def test_wrong_moves_are_refused_as_a_reconstruction_does(viewer, scene, small_room, wait_until):
    fill(viewer, scene, small_room, [0], wait_until)
    for chunk, place in ((1, similarity(0)), (0, similarity(0, -1.0)), (0, similarity(0, float("nan")))):
        said = []
        for sink in (viewer, scene):
            with pytest.raises((KeyError, ValueError)) as refused:
                sink.move(chunk, place)
            said.append((refused.type, str(refused.value)))
        assert said[0] == said[1]


def test_a_stream_of_many_chunks_stays_bounded(small_room, wait_until):
    options = ViewerConfig(max_frames=16, points_per_frame=50, thumbnail_side=8)
    viewer = Viewer(port=0, options=options)
    page_of(viewer)
    places = [similarity(chunk) for chunk in range(43)]
    results = [small_room.result(number) for number in range(10)]
    messages = viewer._server._websock_server._broadcast_buffer.message_from_id
    for number in range(300):
        viewer.add(replace(results[number % 10], chunk=number // 7, world_from_chunk=places[number // 7]))
        if number == 150:
            wait_until(lambda: viewer.status.frames == 151)
            after_150 = len(messages)
    wait_until(lambda: viewer.status.frames == 300)
    frames, _ = viewer._store.snapshot()
    assert len(page_of(viewer).scene._chunks) == len({frame.chunk for frame in frames}) <= 16
    assert len(viewer._server.scene._handle_from_node_name) < 100
    assert len(messages) < after_150 + 150
    viewer.move(3, similarity(0))  # it has no frame left, and is no error
    viewer.close()
