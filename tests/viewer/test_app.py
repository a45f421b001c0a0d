"""The viewer without a browser: it draws while frames arrive, stays bounded, and never holds up the stream."""

import itertools
import socket
import threading
import time
from dataclasses import replace

import pytest
import torch

from cut3r.viewer.app import Viewer
from cut3r.viewer.config import ViewerConfig
from tests.viewer.visitor import page_of


@pytest.fixture
def viewer(room):
    viewer = Viewer(port=0, host="127.0.0.1", query=room.query)
    page_of(viewer)
    yield viewer
    viewer.close()


def test_points_are_drawn_while_frames_arrive(viewer, room, wait_until):
    viewer.add(room.result(0))
    wait_until(lambda: viewer.status.points == 96 * 128)
    viewer.add(room.result(1))
    wait_until(lambda: viewer.status.points == 2 * 96 * 128)
    assert viewer.status.frames == 2


def test_without_frames_every_control_can_be_used(viewer, wait_until):
    """Quirks Q27, Q28: the original divides by zero and steps past the end."""
    page = page_of(viewer)
    page.timeline.mode.value, page.panel._color_by.value = "one frame", "time"
    page.timeline.play(True)
    page.timeline.step(1)
    page.fit()
    page.go_to_camera()
    viewer.finish()
    wait_until(lambda: viewer.status.finished)
    assert viewer.status.points == 0


@pytest.mark.parametrize("color_by", ["rgb", "depth", "confidence", "time"])
def test_after_one_frame_every_control_can_be_used(viewer, room, wait_until, color_by):
    viewer.add(room.result(0))
    page = page_of(viewer)
    page.panel._color_by.value, page.timeline.mode.value = color_by, "up to now"
    page.timeline.play(True)
    page.timeline.step(-1)
    wait_until(lambda: viewer.status.points == 96 * 128)
    assert page.look().current == 0


def test_the_confidence_slider_filters_at_once(viewer, room, wait_until):
    result = room.result(0)
    viewer.add(result)
    page_of(viewer).panel._confidence.value = 5.0
    expected = int((result.confidence > 5.0).sum())
    assert 0 < expected < 96 * 128
    wait_until(lambda: viewer.status.points == expected)
    page_of(viewer).panel._confidence.value = 30.0
    wait_until(lambda: viewer.status.points == 0)
    page_of(viewer).panel._confidence.value = 0.0
    wait_until(lambda: viewer.status.points == 96 * 128)


def test_the_bound_on_points_is_live(viewer, room, wait_until):
    for number in range(3):
        viewer.add(room.result(number))
    page_of(viewer).panel._max_points.value = 1000
    wait_until(lambda: viewer.status.points == 3000)


def test_one_frame_or_those_up_to_now_are_visible(viewer, room, wait_until):
    for number in range(4):
        viewer.add(room.result(number))
    wait_until(lambda: viewer.status.points == 4 * 96 * 128)
    page_of(viewer).timeline.frame.value = 1
    page_of(viewer).timeline.mode.value = "up to now"
    wait_until(lambda: viewer.status.points == 2 * 96 * 128)
    page_of(viewer).timeline.mode.value = "one frame"
    wait_until(lambda: viewer.status.points == 96 * 128)


def test_the_current_frame_is_the_newest_until_somebody_goes_back(viewer, room, wait_until):
    for number in range(3):
        viewer.add(room.result(number))
    wait_until(lambda: page_of(viewer).look().current == 2)
    page_of(viewer).timeline.step(-1)
    viewer.add(room.result(3))
    wait_until(lambda: viewer.status.frames == 4)
    assert page_of(viewer).look().current == 1


def test_playback_goes_round(viewer, room, wait_until):
    for number in range(3):
        viewer.add(room.result(number))
    wait_until(lambda: page_of(viewer).look().current == 2)
    page_of(viewer).timeline.fps.value = 60.0
    seen = set()

    def all_were_current() -> bool:
        seen.add(page_of(viewer).look().current)
        return seen == {0, 1, 2}

    page_of(viewer).timeline.play(True)
    wait_until(all_were_current)


def test_a_thousand_frames_stay_bounded_and_hold_up_nothing(small_room, wait_until):
    viewer = Viewer(
        port=0, host="127.0.0.1", options=ViewerConfig(max_frames=16, points_per_frame=50, thumbnail_side=8)
    )
    page_of(viewer)
    results = [small_room.result(number) for number in range(10)]
    messages = viewer._server._websock_server._broadcast_buffer.message_from_id
    slowest = 0.0
    for number in range(1000):
        start = time.perf_counter()
        viewer.add(results[number % 10])
        slowest = max(slowest, time.perf_counter() - start)
        if number == 200:
            wait_until(lambda: viewer.status.frames == 201)
            after_200 = len(messages)
    wait_until(lambda: viewer.status.frames == 1000)
    frames, stride = viewer._store.snapshot()
    assert 8 <= len(frames) <= 16
    assert sum(len(frame.points_cam) for frame in frames) <= 16 * 50
    assert stride > 1
    assert len(messages) < after_200 + 60  # what viser would replay to a new page does not grow either
    assert slowest < 0.5
    viewer.close()


def test_a_redraw_without_a_change_sends_nothing(viewer, room, wait_until):
    for number in range(3):
        viewer.add(room.result(number))
    wait_until(lambda: viewer.status.points == 3 * 96 * 128)
    viewer.finish()
    wait_until(lambda: viewer.status.finished)
    frames, buffer = viewer._store.snapshot()[0], viewer._server._websock_server._broadcast_buffer
    look, placement = page_of(viewer).look(), page_of(viewer)._drawn[1]
    drawn = page_of(viewer).scene.draw(frames, [], placement, look)
    sent = buffer.message_counter
    assert page_of(viewer).scene.draw(frames, [], placement, look) == drawn
    page_of(viewer).panel.show_frame(frames[-1])
    assert buffer.message_counter == sent


def test_a_new_frame_leaves_the_older_ones_alone(small_room, wait_until):
    """The colours of time once depended on the newest frame, so each one sent all the others again (finding M2)."""
    options = ViewerConfig(points_per_frame=50, thumbnail_side=8, point_size=0.01, camera_size=0.1)
    viewer = Viewer(port=0, options=options)  # sizes change for all when a scene has grown by a tenth
    page_of(viewer).panel._ground.value = False
    for number in range(50):
        viewer.add(small_room.result(number, of=60))
    page = page_of(viewer)
    wait_until(lambda: viewer.status.frames == 50 and page.navigator._framed is page._extent)
    time.sleep(0.5)
    before = viewer._server._websock_server._broadcast_buffer.message_counter
    viewer.add(small_room.result(50, of=60))
    wait_until(lambda: viewer.status.frames == 51)
    time.sleep(0.5)
    assert viewer._server._websock_server._broadcast_buffer.message_counter - before < 30
    viewer.close()


def test_the_page_is_redrawn_ten_times_a_second_at_most_while_frames_arrive(viewer, room, monkeypatch, wait_until):
    drawn: list[float] = []
    draw = page_of(viewer).scene.draw
    monkeypatch.setattr(
        page_of(viewer).scene, "draw", lambda *a, **k: [drawn.append(time.monotonic()), draw(*a, **k)][1]
    )
    for number in range(20):
        viewer.add(room.result(number))
        time.sleep(0.03)
    wait_until(lambda: viewer.status.frames == 20)
    assert min(after - before for before, after in itertools.pairwise(drawn)) > 0.09


def lost(result):
    prediction = replace(result.prediction, world_from_cam=result.prediction.world_from_cam * torch.nan)
    return replace(result, prediction=prediction, valid=torch.zeros_like(result.valid))


def test_a_frame_whose_camera_is_not_finite_is_left_out_and_said(viewer, room, wait_until):
    for result in (lost(room.result(0)), room.result(1), lost(room.result(2)), room.result(3)):
        viewer.add(result)
    wait_until(lambda: viewer.status.frames == 4 and viewer.status.points == 2 * 96 * 128)
    assert viewer.status.lost == 2
    assert "2 of them left out: their camera is not finite" in viewer.status.text()
    assert len(viewer._store.snapshot()[0]) == 2


@pytest.mark.parametrize(("edges", "rows"), [(None, 96), (0.03, 94)])
def test_flying_pixels_are_hidden_unless_asked_for(room, wait_until, edges, rows):
    result = room.result(0)
    result.prediction.points_cam[0, 48:] *= 5  # a step of depth between two rows of pixels
    viewer = Viewer(port=0, options=ViewerConfig(edges=edges))
    page_of(viewer)
    viewer.add(result)
    wait_until(lambda: viewer.status.points == rows * 128)
    viewer.close()


def test_add_does_not_wait_for_a_drawing_thread_that_hangs(viewer, room, monkeypatch):
    drawing, go_on = threading.Event(), threading.Event()

    def hang(*_, **__) -> int:
        drawing.set()
        go_on.wait(10)
        return 0

    monkeypatch.setattr(page_of(viewer).scene, "draw", hang)
    viewer.add(room.result(0))
    assert drawing.wait(10)
    start = time.perf_counter()
    for number in range(5):
        viewer.add(room.result(number))
    assert time.perf_counter() - start < 2
    go_on.set()


def test_a_new_chunk_starts_a_new_scene(viewer, room, wait_until):
    viewer.add(room.result(0))
    wait_until(lambda: viewer.status.frames == 1)
    page_of(viewer).desk.ask(room.pose(0))
    wait_until(lambda: viewer.status.queries == 1)
    viewer.add(room.result(1, chunk=1))
    wait_until(lambda: viewer.status.queries == 0)
    wait_until(lambda: viewer.status.points == 96 * 128)


def test_a_taken_port_is_replaced_and_said(caplog):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        viewer = Viewer(port=port, host="127.0.0.1")
        viewer.close()
    assert viewer.url != f"http://127.0.0.1:{port}"
    assert f"port {port} is taken, so the viewer is at {viewer.url}" in caplog.text


def test_a_port_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="port is 70000"):
        Viewer(port=70000)


def test_wait_ends_when_the_viewer_is_closed(room):
    viewer = Viewer(port=0, host="127.0.0.1")
    closer = threading.Timer(0.2, viewer.close)
    closer.start()
    viewer.wait()
    closer.join()
    viewer.close()
