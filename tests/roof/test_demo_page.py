"""Ctrl-C stops the stream and keeps the page; a second one ends it."""

import signal
import threading
import urllib.request

import demo
from cut3r.run.console import INTERRUPTED
from cut3r.viewer.app import Viewer


def test_ctrl_c_stops_the_stream_and_keeps_the_page_until_the_second(weights, photos, tmp_path, monkeypatch):
    add, wait, seen = Viewer.add, Viewer.wait, []

    def add_and_interrupt(viewer: Viewer, result) -> None:
        add(viewer, result)
        if result.number == 0:
            signal.raise_signal(signal.SIGINT)

    def look_and_interrupt(viewer: Viewer) -> None:
        with urllib.request.urlopen(viewer.url, timeout=10) as answer:
            seen.append((answer.status, len(list((tmp_path / "out" / "depth").iterdir())), viewer._finished))
            seen.append({download.name for download in viewer._shared.downloads})
        threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,)).start()
        wait(viewer)
        seen.append("ended")

    monkeypatch.setattr(Viewer, "add", add_and_interrupt)
    monkeypatch.setattr(Viewer, "wait", look_and_interrupt)
    flags = ["--output_dir", tmp_path / "out", "--port", 0, "--device", "cpu", "--model_path", weights]
    assert demo.main([*map(str, [photos, *flags])]) == INTERRUPTED
    (status, written, finished), downloads, ended = seen
    assert (status, finished, ended) == (200, True, "ended")
    assert written >= 1  # the frame at hand was finished, and all that was is on the disk
    assert {"scene.ply", "folder_colmap"} <= downloads
