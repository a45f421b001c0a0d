"""Each visitor has a page of their own: controls, camera, measurements, downloads and flights."""

import io
import zipfile

import av
import numpy as np
import pytest
import torch
import viser

from cut3r.geometry.registration import Similarity
from cut3r.viewer import app
from cut3r.viewer.app import Viewer
from cut3r.viewer.downloads import Download, make
from cut3r.viewer.flight import looking, path_through
from cut3r.viewer.navigation import pose_of_page
from cut3r.viewer.view import select
from tests.viewer.visitor import FakeClient, client_of, page_of

PIXELS = 24 * 32


@pytest.fixture
def viewer(small_room, wait_until):
    viewer = Viewer(port=0)
    for number in range(4):
        viewer.add(small_room.result(number))
    page = page_of(viewer)
    wait_until(lambda: page.status.points == 4 * PIXELS and page.navigator._framed is page._extent)
    yield viewer
    viewer.close()


def test_what_one_visitor_sets_moves_no_other(viewer, wait_until):
    """V7: one visitor's controls changed everybody's page."""
    mine, other = page_of(viewer, 0), page_of(viewer, 1)
    wait_until(lambda: other.status.points == 4 * PIXELS)
    mine.timeline.mode.value = "one frame"
    mine.timeline.go_to(1)
    mine.panel._color_by.value = "depth"
    mine.toggle_dark()
    wait_until(lambda: mine.status.points == PIXELS)
    assert other.status.points == 4 * PIXELS
    assert (other.timeline.current, other.look().color_by.value, other._dark) == (3, "rgb", False)
    client_of(other).server.stop()


def test_who_goes_is_forgotten(viewer, wait_until):
    page = page_of(viewer, 1)
    viewer._visit(page._client, here=False)
    wait_until(lambda: 1 not in viewer._pages)
    client_of(page).server.stop()


def test_a_page_that_cannot_be_drawn_leaves_the_others_alone(viewer, small_room, monkeypatch, caplog, wait_until):
    broken, good = page_of(viewer, 1), page_of(viewer, 0)

    def fail(frames) -> bool:
        raise RuntimeError("the connection is gone")

    monkeypatch.setattr(broken, "redraw", fail)
    viewer.add(small_room.result(4))
    wait_until(lambda: good.status.points == 5 * PIXELS and 1 not in viewer._pages)
    assert "the connection is gone" in caplog.text
    client_of(broken).server.stop()


def test_a_page_that_cannot_be_made_leaves_the_others_alone(viewer, small_room, monkeypatch, caplog, wait_until):
    good, server = page_of(viewer, 0), viser.ViserServer(host="127.0.0.1", port=0, verbose=False)

    def fail(*_) -> None:
        raise RuntimeError("who came has gone")

    monkeypatch.setattr(app, "Page", fail)
    viewer._visit(FakeClient(server, 1), here=True)
    viewer.add(small_room.result(4))
    wait_until(lambda: good.status.points == 5 * PIXELS)
    assert "who came has gone" in caplog.text and 1 not in viewer._pages
    server.stop()


def test_without_visitors_nothing_is_drawn(small_room, wait_until):
    viewer = Viewer(port=0)
    before = viewer._server._websock_server._broadcast_buffer.message_counter
    viewer.add(small_room.result(0))
    wait_until(lambda: viewer.status.frames == 1)
    assert viewer._server._websock_server._broadcast_buffer.message_counter == before
    viewer.close()


def test_the_scene_is_framed_until_somebody_moves(viewer, small_room, wait_until):
    page = page_of(viewer)
    camera, framed = client_of(page).camera, page.navigator._framed
    assert framed is not None
    distance = np.linalg.norm(framed.center - camera.position)
    assert 0.5 * framed.radius < distance < 5 * framed.radius
    assert framed.up @ [0, -1, 0] > 0.99
    camera.report()  # it is where it was put
    assert not page.navigator.is_touched
    camera.position = camera.position + 0.5 * framed.radius
    camera.report()
    assert page.navigator.is_touched
    x, y, z = camera.position
    assert f"You stand at {x:.2f}, {y:.2f}, {z:.2f} m" in page._where.content
    viewer.move(0, Similarity(torch.eye(3).double(), torch.zeros(3).double(), torch.tensor(5.0).double()))
    wait_until(lambda: page._extent is not framed)
    assert page.navigator._framed is framed
    page.fit()
    assert page.navigator._framed is page._extent


def test_on_a_phone_the_scene_is_above_the_sheet(viewer):
    page, camera = page_of(viewer), client_of(page_of(viewer)).camera
    camera.image_width, camera.image_height, camera.aspect = 390, 844, 390 / 844
    page.fit()
    ahead = camera.look_at - camera.position
    down = np.cross(ahead, np.cross(ahead, page._extent.up))
    offsets = page._extent.points - camera.position
    heights = offsets @ down / np.linalg.norm(down) / (offsets @ ahead / np.linalg.norm(ahead)) / np.tan(camera.fov / 2)
    assert heights.max() < 1 - 2 * 0.6 + 0.01  # -1 is the upper edge, 1 the lower one


def test_two_clicks_measure_metres(viewer, small_room):
    page = page_of(viewer)
    page.tape.toggle()
    ends = small_room.result(0).points_world[[6, 18], [8, 24]].double().numpy()
    for end in ends:
        page.tape.click(np.zeros(3), end)  # from where the first camera stands
    assert page.tape.lengths == [pytest.approx(float(np.linalg.norm(ends[1] - ends[0])), rel=0.1)]
    assert f"**{page.tape.lengths[0]:.3f} m**" in page.tape._said.content
    names = page._client.scene._handle_from_node_name
    assert sum(name.startswith("/tape/") for name in names) >= 4
    page.tape.click(np.zeros(3), np.array([0.0, -1.0, -1e-3]))  # where no camera looked
    assert "no point" in page.tape._said.content
    page.tape.clear()
    assert not page.tape.lengths and not any(name.endswith(("/line", "/length")) and "tape" in name for name in names)


def test_a_page_measures_only_what_it_shows(viewer, small_room, wait_until):
    page = page_of(viewer)
    page.panel._confidence.value = 30.0
    wait_until(lambda: page.status.points == 0)
    page.tape.click(np.zeros(3), small_room.result(0).points_world[6, 8].numpy())
    assert "no point" in page.tape._said.content


def test_the_grid_has_squares_of_a_round_length_and_can_be_hidden(viewer, wait_until):
    page = page_of(viewer)
    names = page._client.scene._handle_from_node_name
    wait_until(lambda: {"/ground/grid", "/ground/bar", "/ground/length", "/ground/axes"} <= set(names))
    assert names["/ground/grid"].cell_size == 0.5 and names["/ground/length"].text == "1 m"
    assert "One square of the grid is 50 cm, the bar 1 m." in page.panel._ground_text.content
    page.panel._ground.value = False
    page._wake()
    wait_until(lambda: "/ground/grid" not in names)


@pytest.mark.parametrize(("control", "prop"), [("_point_size", "point_size"), ("_camera_size", "scale")])
def test_sizes_follow_their_controls(viewer, wait_until, control, prop):
    page = page_of(viewer)
    node = page.scene._chunks[0].frames.node(page._drawn[0][0])
    handle = node._points if control == "_point_size" else node._camera
    before = getattr(handle, prop)
    getattr(page.panel, control).value = 3.0
    page._wake()
    wait_until(lambda: getattr(handle, prop) == pytest.approx(3 * before, rel=1e-3))


def test_percent_of_confidence_hides_that_share(viewer, wait_until):
    page = page_of(viewer)
    few = sum(len(select(f, confidence=1.5, percentile=75.0, max_points=10**6)) for f in page._drawn[0])
    assert 0.2 * 4 * PIXELS < few < 0.6 * 4 * PIXELS  # many are equally sure
    page.panel._percentile.value = 75.0
    page._wake()
    wait_until(lambda: page.status.points == few)


def test_a_chunk_that_was_moved_can_be_seen_before_and_after(viewer, wait_until):
    page = page_of(viewer)
    wait_until(lambda: not page.panel._corrected.visible)
    viewer.move(0, Similarity(torch.eye(3).double(), torch.tensor([0.7, 0, 0]).double(), torch.tensor(1.0).double()))
    wait_until(lambda: page.panel._corrected.visible)
    assert page.panel._moved.content.startswith("1 chunk moved by up to 0.70 m")
    stands = page.scene._chunks[0].node
    assert np.allclose(stands.position, [0.7, 0, 0])
    page.panel._corrected.value = False
    page._wake()
    wait_until(lambda: np.allclose(stands.position, 0))
    assert page.panel._corrected.visible
    page.panel._corrected.value = True
    page._wake()
    wait_until(lambda: np.allclose(stands.position, [0.7, 0, 0]))


def test_a_file_and_a_folder_can_be_had(viewer):
    desk, client = page_of(viewer).downloads, client_of(page_of(viewer))
    desk.give(Download("scene.ply", "points", lambda path: path.write_bytes(b"ply")))
    assert client.files["scene.ply"] == b"ply"

    def write(folder):
        (folder / "sparse").mkdir(parents=True)
        (folder / "sparse" / "cameras.txt").write_text("none")

    desk.give(Download("colmap", "for COLMAP", write))
    archive = zipfile.ZipFile(io.BytesIO(client.files["colmap.zip"]))
    assert archive.read("colmap/sparse/cameras.txt") == b"none"
    desk.shoot()
    assert client.files["cut3r.jpg"].startswith(b"\xff\xd8")


def test_what_needs_all_frames_waits_for_them_and_says_so(viewer, wait_until):
    desk, client = page_of(viewer).downloads, client_of(page_of(viewer))
    download = Download("mesh", "a surface", lambda path: path.write_bytes(b"x"), at_any_time=False)
    desk.give(download)
    assert "wait until the stream has ended" in client.note.body and not client.files
    viewer.finish()
    wait_until(lambda: page_of(viewer).status.finished)
    desk.give(download)
    assert client.files == {"mesh": b"x"}


def test_nothing_is_said_to_be_nothing():
    with pytest.raises(ValueError, match="there is nothing yet"):
        make(Download("scene.ply", "points", lambda path: None))


def test_a_flight_goes_by_its_stops_and_becomes_a_video(viewer, tmp_path):
    page, client = page_of(viewer), client_of(page_of(viewer))
    page.flight._seconds.value = 1.0
    stops = [np.array([[float(n), 0, -3], [float(n), 0, 0]]) for n in range(3)]
    for client.camera.position, client.camera.look_at in stops:
        page.flight.add()
    page.flight.fly()
    assert np.allclose(client.camera.position, stops[-1][0])
    assert np.allclose(path_through(stops, 1.0)[15], stops[1], atol=1e-6)
    client.camera.image_height, client.camera.image_width = 90, 160
    page.flight.save()
    with av.open(io.BytesIO(client.files["flight.mp4"])) as video:
        assert sum(1 for _ in video.decode(video=0)) == 31


def test_without_stops_it_flies_along_the_recording(viewer):
    page = page_of(viewer)
    assert len(page._stops()) == 4
    with pytest.raises(ValueError, match="two stops or more"):
        path_through(page._stops()[:1], 1.0)


def test_a_flight_is_level_and_looks_ahead():
    position, look_at, up = np.array([1.0, 2, 3]), np.array([1.0, 1.5, 7]), np.array([0.0, -1, 0])
    pose = pose_of_page(looking(position, look_at, up), position).double().numpy()
    ahead = (look_at - position) / np.linalg.norm(look_at - position)
    assert np.allclose(pose[:3, 2], ahead, atol=1e-6)
    assert abs(pose[:3, 0] @ up) < 1e-6 and -pose[:3, 1] @ up > 0


def frusta_of(page) -> list:
    return [page.scene._chunks[0].frames.node(frame)._camera for frame in page._drawn[0]]


def test_cameras_can_be_hidden_thinned_and_be_without_pictures(viewer, wait_until):
    page = page_of(viewer)
    cameras, images, every = (page.panel.__dict__[name] for name in ("_cameras", "_images", "_camera_every"))
    wait_until(lambda: all(camera.visible and camera.image is not None for camera in frusta_of(page)))
    images.value = False
    page._wake()
    wait_until(lambda: all(camera.image is None for camera in frusta_of(page)))
    every.value = 2
    page._wake()
    wait_until(
        lambda: [camera.visible for camera in frusta_of(page)] == [True, False, True, True]
    )  # 3: the current one
    cameras.value = False
    page._wake()
    wait_until(lambda: not any(camera.visible for camera in frusta_of(page)) and page.scene._trail is None)


def test_what_somebody_sees_as_upright_becomes_so(viewer):
    page, camera = page_of(viewer), client_of(page_of(viewer)).camera
    tilted = np.array([np.sin(0.6), -np.cos(0.6), 0.0])
    camera.wxyz = np.array([np.cos(0.3), 0.0, 0.0, np.sin(0.3)])  # rolled by 0.6 about its own axis, z
    page.navigator.reset_up()
    assert np.abs(np.asarray(camera.up_direction) @ tilted) == pytest.approx(1, abs=1e-6)


def test_help_says_what_mouse_and_keys_do_and_which_units_there_are(viewer, monkeypatch):
    page, said = page_of(viewer), []
    monkeypatch.setattr(page._client.gui, "add_markdown", lambda text, **_: said.append(text))
    page.show_help()
    (text,) = said
    for word in ("drag", "wheel", "`space`", "metres", "confidence"):
        assert word in text, word
    labels = {handle.label for handle in page._client.gui._command_handle_from_uuid.values()}
    assert {"Play or pause", "Measure", "Fit the scene", "Help"} <= labels
