"""The timeline moves the scene: playing, its buttons and keys, and the picture of the frame that it stands at."""

import numpy as np
import pytest

from cut3r.viewer.app import Viewer
from cut3r.viewer.timeline import BACK, FIRST, GAP, LAST, ON, PLAY
from tests.viewer.visitor import client_of, page_of

PIXELS = 24 * 32


@pytest.fixture
def page(small_room, wait_until):
    viewer = Viewer(port=0)
    page = page_of(viewer)
    for number in range(5):
        viewer.add(small_room.result(number))
    viewer.finish()
    wait_until(lambda: page.status.points == 5 * PIXELS and page.navigator._framed is page._extent)
    assert page.timeline.frame.value == 4
    yield page
    viewer.close()


@pytest.mark.parametrize(
    ("buttons", "current"), [([FIRST], 0), ([BACK], 3), ([FIRST, ON], 1), ([FIRST, LAST], 4), ([ON], 0)]
)
def test_buttons_move_the_scene(page, wait_until, buttons, current):
    page.timeline.mode.value = "one frame"
    for button in buttons:
        page.timeline.press(button)
    wait_until(lambda: page.panel._shown is not None and page.panel._shown.number == current)
    nodes = [page.scene._chunks[0].frames.node(frame)._pose for frame in page._drawn[0]]
    wait_until(lambda: [node.visible for node in nodes] == [number == current for number in range(5)])


def test_playing_lets_frames_appear_as_they_came(page, wait_until):
    """V1: playing changed nothing in the scene unless one knew of the right control."""
    assert page.timeline.mode.value == "all"
    page.timeline.fps.value = 20.0
    counts = set()

    def all_counts_were_there() -> bool:
        counts.add(page.status.points)
        return counts >= {number * PIXELS for number in range(1, 6)}

    page.timeline.press(PLAY)
    wait_until(all_counts_were_there)
    page.timeline.press(PLAY)
    assert not page.timeline.playing


def test_every_key_does_what_its_button_does(page, wait_until):
    keys = {command.hotkey: command for command in page._client.gui._command_handle_from_uuid.values()}
    assert {"space", "N", "B", "home", "end", "F", "C", "M", "L", "H"} <= set(keys)

    def press(key: str) -> None:
        for callback in keys[key]._impl.trigger_cb:
            callback(None)

    press("home")
    assert page.timeline.current == 0
    press("N")
    assert page.timeline.current == 1
    press("B")
    press("end")
    assert page.timeline.current == 4
    press("space")
    assert page.timeline.playing
    press("space")
    assert not page.timeline.playing
    press("M")
    assert page.tape.on.value
    press("L")
    wait_until(lambda: page._dark)
    before = page._client.camera.position
    press("C")
    assert not np.allclose(page._client.camera.position, before)
    press("F")
    assert np.allclose(page._client.camera.position, before, atol=1e-6)


def test_the_bar_is_as_wide_as_the_canvas(page, wait_until):
    camera = client_of(page).camera
    camera.image_width = 1024
    camera.report()
    page._wake()
    wait_until(lambda: page.timeline._width == 1024 - 2 * GAP)


def test_the_picture_has_depth_and_confidence_beside_it(page, wait_until):
    page.timeline.go_to(2)
    wait_until(lambda: "**Frame 2**" in page.panel._caption.content)
    picture = page.panel._image.image
    assert picture.shape == (24, 3 * 32, 3)
    assert " m · confidence " in page.panel._caption.content
    depth, confidence = picture[:, 32:64].astype(int), picture[:, 64:].astype(int)
    assert np.abs(depth - confidence).max() > 100  # what is near is blue in the one and sure, so red, in the other


def test_a_click_on_a_camera_flies_there_and_shows_its_frame(page, wait_until):
    frames, placement = page._drawn
    node = page.scene._chunks[0].frames.node(frames[1])
    (entry,) = node._camera._impl.click_cb
    entry.callback(None)
    assert page.timeline.current == 1
    wait_until(lambda: page.panel._shown is frames[1])
    pose, camera = placement.world_from_frame(frames[1]), page._client.camera
    inside = pose[:3, :3].T @ (camera.position - pose[:3, 3])
    assert inside[2] < 0 and abs(inside[0]) < 1e-6  # straight behind it
    assert page.navigator.is_touched  # the page frames nothing anymore
