"""Queries: the camera that is asked for, the answer that is shown, and what happens when the network fails."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import viser

from cut3r.inference.session import Session
from cut3r.io.frames import Frame
from cut3r.viewer.app import Viewer
from cut3r.viewer.config import ViewerConfig
from cut3r.viewer.navigation import pose_of_page
from tests.viewer.visitor import client_of, page_of


def click_query(viewer: Viewer) -> SimpleNamespace:
    """Click the button of a page; gives the notification that it ends with."""
    page = page_of(viewer)
    page.desk._on_query(viser.GuiEvent(client=page._client, client_id=0, target=page.desk._button))
    return client_of(page).note


@pytest.fixture
def open_viewer():
    viewers = []

    def open_viewer(**options) -> Viewer:
        viewers.append(Viewer(port=0, host="127.0.0.1", **options))
        page_of(viewers[-1])
        return viewers[-1]

    yield open_viewer
    for viewer in viewers:
        viewer.close()


def test_the_pose_of_a_page_is_world_from_cam_in_opencv_axes():
    half = np.sqrt(0.5)
    pose = pose_of_page(np.array([half, 0.0, half, 0.0]), np.array([1.0, 2.0, 3.0]))  # turned right by 90 degrees
    forward, right, down = pose[:3, 2], pose[:3, 0], pose[:3, 1]
    assert torch.allclose(forward, torch.tensor([1.0, 0, 0]), atol=1e-6)
    assert torch.allclose(right, torch.tensor([0.0, 0, -1]), atol=1e-6)
    assert torch.allclose(down, torch.tensor([0.0, 1, 0]), atol=1e-6)
    assert pose[:3, 3].tolist() == [1, 2, 3]


def test_what_is_asked_for_is_what_is_drawn(open_viewer, room, wait_until):
    """Quirk Q26: the original draws another camera than it asks for."""
    asked = []

    def query(*camera):
        asked.append(camera)
        return room.query(*camera)

    viewer = open_viewer(query=query)
    viewer.add(room.result(0))
    page_of(viewer).desk.ask(room.pose(3))
    wait_until(lambda: viewer.status.queries == 1)
    (pose, intrinsics, size), view = asked[0], page_of(viewer).desk.views()[0]
    assert np.allclose(view.chunk_from_cam, pose.numpy())
    assert (size, view.size) == ((96, 128), (96, 128))
    assert float(intrinsics[1, 1]) == view.focal == 110.0


def test_the_answer_says_how_well_it_was_understood(open_viewer, room):
    viewer = open_viewer(query=room.query)
    viewer.add(room.result(0))
    _, text = page_of(viewer).desk.ask(room.pose(0))
    assert text.startswith("Query 0: pose error 0.0°, 0.0 cm; 12,288 of 12,288 points above confidence 1.5, median ")


def test_the_button_waits_for_the_first_frame(open_viewer, room, wait_until):
    viewer = open_viewer(query=room.query)
    assert page_of(viewer).desk._button.disabled
    viewer.add(room.result(0))
    wait_until(lambda: not page_of(viewer).desk._button.disabled)


def test_without_a_query_the_button_stays_disabled(open_viewer, room, wait_until):
    viewer = open_viewer()
    viewer.add(room.result(0))
    wait_until(lambda: viewer.status.points > 0)
    assert page_of(viewer).desk._button.disabled
    assert not page_of(viewer).desk._button.visible or page_of(viewer).desk._button.disabled


def test_a_click_before_the_first_frame_is_explained(open_viewer, room, caplog):
    note = click_query(open_viewer(query=room.query))
    assert "no frame has arrived yet" in note.body


def test_a_failing_query_is_shown_and_logged(open_viewer, room, caplog):
    def query(*_):
        raise RuntimeError("out of memory")

    viewer = open_viewer(query=query)
    viewer.add(room.result(0))
    note = click_query(viewer)
    assert (note.title, note.body) == ("The query failed", "RuntimeError: out of memory")
    assert (note.loading, note.color) == (False, "red")
    assert "out of memory" in caplog.text
    assert not page_of(viewer).desk._button.disabled


def test_answers_can_be_deleted_and_are_bounded(open_viewer, room, wait_until):
    viewer = open_viewer(query=room.query, options=ViewerConfig(max_queries=3))
    viewer.add(room.result(0))
    for number in range(5):
        page_of(viewer).desk.ask(room.pose(number))
    wait_until(lambda: viewer.status.queries == 3)
    assert [view.position for view in page_of(viewer).desk.views()] == [2, 3, 4]
    page_of(viewer).desk.clear()
    wait_until(lambda: viewer.status.queries == 0)


def test_a_real_session_can_be_queried_while_it_runs(open_viewer, room, tiny_model, wait_until):
    session = Session(tiny_model)
    viewer = open_viewer(query=session.query)
    answers = threading.Thread(target=lambda: page_of(viewer).desk.ask(room.pose(1)))
    for number in range(4):
        image = room.result(number).image
        result = session.push(Frame(rgb=image, index=number, time_s=None, name=str(number)))
        viewer.add(result)
        if number == 1:
            answers.start()
    answers.join()
    wait_until(lambda: (viewer.status.frames, viewer.status.queries) == (4, 1))
    view = page_of(viewer).desk.views()[0]
    assert view.size == viewer._store.snapshot()[0][0].size
    assert view.thumbnail is not None
