import contextlib
import functools
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from cut3r.io import decode, webcam
from cut3r.io.video import NewestFrameCapture, SequentialCapture, is_stream, open_stream, public_name
from tests.io.pictures import FakeCamera, encode, walk, write_video


def drain(capture):
    stamps = []
    while (stamp := capture.grab()) is not None:
        stamps.append(stamp)
    return stamps


def test_time_stamps_belong_to_their_frames(tmp_path):
    capture = SequentialCapture(write_video(tmp_path / "a.mp4"))
    for index in range(12):
        stamp = capture.grab()
        assert stamp.index == index
        assert stamp.time_s == pytest.approx(index / 10)
        assert abs(int(capture.retrieve()[-1, 0, 0]) - 20 * index) <= 6
    assert capture.grab() is None
    assert capture.grabbed == capture.frame_count == 12


def test_a_file_without_time_stamps_is_timed_by_its_rate(tmp_path):
    path = encode(tmp_path / "raw.h264", walk(3), fps=25, container="h264")
    assert [stamp.time_s for stamp in drain(SequentialCapture(path))] == pytest.approx([0, 0.04, 0.08])


def test_rotation_metadata_is_applied(tmp_path):
    path = write_video(tmp_path / "phone.mp4")
    data = bytearray(path.read_bytes())
    matrix = data.find(b"tkhd") + 4 + 40  # the display matrix of ISO 14496-12, version 0
    quarter_turn = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)  # clockwise
    data[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in quarter_turn)
    path.write_bytes(data)
    capture = SequentialCapture(path)
    capture.grab()
    rgb = capture.retrieve()
    assert rgb.shape == (64, 48, 3)
    assert rgb[:, -6:].mean() > 240  # the stored top is at the right
    assert rgb[:, :24].mean() < 15


def test_colours_are_rgb(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "red.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 255), np.uint8))  # red in OpenCV's order
    writer.release()
    capture = SequentialCapture(tmp_path / "red.avi")
    capture.grab()
    r, g, b = capture.retrieve().reshape(-1, 3).mean(axis=0)
    assert r > 240
    assert max(g, b) < 15


@pytest.mark.parametrize("content", [b"hello" * 100, None], ids=["text", "cut off"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content or write_video(path).read_bytes()[:600])
    with pytest.raises(ValueError, match=r"a\.mp4 cannot be opened as a video"):
        SequentialCapture(path)


def test_a_missing_camera_is_named():
    with pytest.raises(ValueError, match="camera:97 cannot be opened; check that it is plugged in"):
        open_stream("camera:97")


def test_an_unreachable_stream_is_named_without_its_password():
    with pytest.raises(ValueError, match=r"the stream rtsp://127\.0\.0\.1:9/door cannot be opened") as error:
        open_stream("rtsp://me:secret@127.0.0.1:9/door?key=secret")
    assert "secret" not in str(error.value)


def test_failing_to_open_writes_nothing_to_stderr(tmp_path):
    """In a process of its own: OpenCV asks for FFmpeg's log level once, and other tests have used it before."""
    (tmp_path / "a.mp4").write_bytes(b"hello" * 100)
    program = f"""
from pathlib import Path
from cut3r.io.video import SequentialCapture, open_stream
for attempt in (
    lambda: SequentialCapture(Path({str(tmp_path / "a.mp4")!r})),
    lambda: open_stream("camera:97"),
    lambda: open_stream("rtsp://127.0.0.1:9/door"),
):
    try:
        attempt()
    except ValueError:
        continue
    raise SystemExit("it opened")
"""
    environment = {name: value for name, value in os.environ.items() if name != "OPENCV_FFMPEG_LOGLEVEL"}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stderr == ""


def test_a_camera_without_a_number_is_explained():
    with pytest.raises(ValueError, match="expected a number as in camera:0"):
        open_stream("camera:front")


@pytest.mark.parametrize(
    ("source", "stream"),
    [("camera:0", True), ("rtsp://host/a", True), ("http://h/a.mp4", True), ("a.mp4", False), ("file:///a.mp4", False)],
)
def test_streams_are_told_from_files(source, stream):
    assert is_stream(source) is stream


@contextlib.contextmanager
def served(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_every_frame_of_an_http_stream_arrives(tmp_path):
    write_video(tmp_path / "a.avi", codec="MJPG")
    with served(tmp_path) as address:
        capture = open_stream(f"{address}/a.avi")
        assert capture.live
        assert capture.frame_count is None
        assert capture.name == f"{address}/a.avi"
        assert [stamp.index for stamp in drain(capture)] == list(range(12))
        capture.close()


@contextlib.contextmanager
def sent(data):
    """A server that sends data, a little at a time, and then says nothing more."""
    server = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve():
        with contextlib.suppress(OSError), server.accept()[0] as connection:
            for start in range(0, len(data), 1880):
                connection.sendall(data[start : start + 1880])
                time.sleep(0.002)
            done.wait()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"tcp://me:secret@127.0.0.1:{server.getsockname()[1]}"
    finally:
        done.set()
        thread.join()
        server.close()


def test_a_network_camera_that_falls_silent_ends_its_stream(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(decode, "NETWORK_TIMEOUT_S", 0.5)
    with sent(encode(tmp_path / "a.ts", walk(30), container="mpegts").read_bytes()) as address:
        capture = open_stream(address)
        indices = [stamp.index for stamp in drain(capture)]
        assert capture.retrieve().shape == (96, 128, 3)
        capture.close()
    assert indices[-1] == 29
    assert indices == sorted(set(indices))
    assert "broke off: nothing came for 0.5 seconds" in caplog.text
    assert "secret" not in caplog.text


def test_a_server_that_says_nothing_is_named_without_its_password(monkeypatch):
    monkeypatch.setattr(decode, "NETWORK_TIMEOUT_S", 0.3)
    with sent(b"") as address, pytest.raises(ValueError, match=r"cannot be opened \(nothing came for") as error:
        open_stream(address)
    assert "secret" not in str(error.value)
    assert error.value.__context__ is None


def test_a_network_stream_may_be_forgotten_at_the_end_of_the_program(tmp_path):
    with sent(50 * encode(tmp_path / "a.ts", walk(30), container="mpegts").read_bytes()) as address:
        program = f"from cut3r.io.video import open_stream\nprint(open_stream({address!r}).grab().index >= 0)"
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "True\n", "")


@pytest.fixture
def camera(monkeypatch):
    fake = FakeCamera()
    monkeypatch.setattr(webcam, "_open", lambda number: fake)
    return fake


def test_a_slow_reader_of_a_camera_gets_the_newest_frame(camera):
    capture = NewestFrameCapture(0)
    first = capture.grab()
    time.sleep(0.2)
    second = capture.grab()
    assert second.index > first.index + 3
    assert capture.retrieve()[0, 0, 0] == second.index % 256
    assert second.time_s - first.time_s > 0.03
    assert capture.grabbed == second.index + 1
    capture.close()


def test_closing_releases_the_camera(camera):
    capture = NewestFrameCapture(0)
    capture.grab()
    capture.close()
    assert camera.released.wait(timeout=2)


def test_an_unplugged_camera_ends_the_stream(camera):
    camera.count = 3
    capture = NewestFrameCapture(0)
    assert drain(capture)[-1].index == 2
    assert camera.released.wait(timeout=2)


def test_public_names():
    assert public_name(3) == "camera:3"
    assert public_name(Path("/videos/kitchen.mp4")) == "kitchen.mp4"
    assert public_name("http://u:p@[::1]:8080/live?token=1") == "http://::1:8080/live"
