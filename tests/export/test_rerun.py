import argparse
import signal
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cut3r.export.rerun_sink import RerunSink, check_viewer
from cut3r.export.saving import check_saving, make_saving
from cut3r.geometry.registration import Similarity
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.session import Session
from cut3r.run.finished import FinishedRun
from cut3r.run.known import Known
from cut3r.run.targets import targets_of, viewers_of

rerun = pytest.importorskip("rerun", reason="no recording without rerun-sdk")


@pytest.fixture(scope="module")
def views(room):
    return [view for view, _ in FinishedRun(room.folder).views(Known())][:3]


def recorded(path):
    """Rows by entity and column, in the order of time."""
    from rerun.chunk import RrdReader

    rows = {}
    for chunk in RrdReader(str(path)).stream():
        batch = chunk.to_record_batch()
        entity = chunk.entity_path.strip("/")
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            rows.setdefault((entity, name.split(":")[-1] if ":" in name else name), []).extend(column.to_pylist())
    return rows


def record(path, views, **settings):
    sink = RerunSink(path, **settings)
    sink.begin()
    for view in views:
        sink.add(view)
    sink.finish()
    return recorded(path)


def test_cameras_and_points_are_in_the_file(views, tmp_path):
    rows = record(tmp_path / "a.rrd", views, max_points=500)
    assert rows["world/chunk_0/camera", "frame"] == [0, 1, 2]
    for number, view in enumerate(views):
        place = rows["world/chunk_0/camera", "translation"][number][0]
        assert np.allclose(place, view.chunk_from_cam[:3, 3].numpy(), atol=1e-5)
        points = np.array(rows[f"world/chunk_0/points/{number:06d}", "positions"][0])
        assert 250 <= len(points) <= 500
        known = view.points_chunk.reshape(-1, 3).numpy()
        assert all(np.abs(known - point).sum(axis=1).min() < 1e-4 for point in points[::50])
    pinhole = np.array(rows["world/chunk_0/camera/picture", "image_from_camera"][0][0]).reshape(3, 3).T
    assert pinhole[0, 2] == pytest.approx(float(views[0].intrinsics[0, 2]) + 0.5)


def test_a_chunk_that_moves_is_moved(views, tmp_path):
    far = Similarity(torch.eye(3).double(), torch.tensor([1.0, 2, 3]).double(), torch.tensor(2.0).double())
    second = [replace(view, chunk=1, world_from_chunk=Similarity.identity()) for view in views[1:]]
    second[1] = replace(second[1], moves={0: far})
    rows = record(tmp_path / "a.rrd", [views[0], *second])
    assert np.allclose(rows["world/chunk_0", "translation"][-1][0], [1, 2, 3])
    assert rows["world/chunk_0", "frame"] == [0, 2]  # said again only when it moves
    assert rows["world/chunk_1", "frame"] == [1]
    assert ("world/chunk_1/points/000002", "positions") in rows


def test_a_camera_that_was_lost_has_no_points(views, tmp_path):
    lost = replace(views[1], chunk_from_cam=torch.full((4, 4), torch.nan))
    rows = record(tmp_path / "a.rrd", [views[0], lost, views[2]])
    assert rows["world/chunk_0/camera", "frame"] == [0, 2]
    assert ("world/chunk_0/points/000001", "positions") not in rows


def test_there_is_no_file_before_the_end(views, tmp_path):
    path = tmp_path / "a.rrd"
    sink = RerunSink(path)
    sink.begin()
    sink.add(views[0])
    assert not path.exists()
    sink.finish()
    assert path.stat().st_size > 1000
    assert list(tmp_path.iterdir()) == [path]


def test_another_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.rrd"):
        RerunSink(tmp_path / "a.ply")


@pytest.fixture
def waiting(tmp_path):
    """Rerun's own program, which waits at an address and writes what it gets to a file, without a screen."""
    cli = pytest.importorskip("rerun_cli", reason="no program of Rerun")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [str(Path(cli.__file__).with_name("rerun")), "--port", str(port), "--save", str(tmp_path / "seen.rrd")]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            address = f"rerun+http://127.0.0.1:{port}/proxy"
            end = time.monotonic() + 60
            while True:
                try:
                    check_viewer(address)
                    break
                except ValueError:
                    assert process.poll() is None and time.monotonic() < end
                    time.sleep(0.1)
            yield address, tmp_path / "seen.rrd", process
        finally:
            process.send_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore:RRD file has no footer")
def test_a_viewer_that_waits_sees_a_run(tiny_linear, waiting, tmp_path):
    address, seen, process = waiting
    args = argparse.Namespace(save=[], export=[f"rerun:{address}"], vis_threshold=1.0, keep_edges=False, original=False)
    check_saving(args)
    sinks = make_saving(args, tmp_path, None, Reconstruction())
    sinks.begin()
    session = Session(tiny_linear)
    for number in range(3):
        sinks.add(session.push(np.full((48, 64, 3), 40 * number, np.uint8)))
    assert sinks.finish() == []
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    rows = recorded(seen)
    assert rows["world/chunk_0/camera", "frame"] == [0, 1, 2]


def test_where_no_viewer_waits_the_run_does_not_begin(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"rerun+http://127.0.0.1:{taken.getsockname()[1]}/proxy"
        args = argparse.Namespace(
            save=[], export=[f"rerun:{address}"], vis_threshold=1.0, keep_edges=False, original=False
        )
        with pytest.raises(ValueError, match=r"no viewer of Rerun waits at rerun\+http://127\.0\.0\.1:\d+/proxy"):
            check_saving(args)


def test_a_viewer_may_be_opened(monkeypatch):
    opened = []
    monkeypatch.setattr(rerun.RecordingStream, "spawn", lambda self: opened.append(self))
    args = argparse.Namespace(save=[], export=["rerun:spawn"], vis_threshold=1.0, keep_edges=False, original=False)
    assert viewers_of(args) == ["spawn"] and targets_of(args) == []
    sink = RerunSink(viewers_of(args)[0])
    sink.begin()
    sink.finish()
    assert len(opened) == 1


def test_other_words_are_folders():
    args = argparse.Namespace(save=[], export=["rerun:out", "rerun:spawned", "colmap:spawn"])
    assert viewers_of(args) == []
    assert [str(target.path) for target in targets_of(args)] == ["out", "spawned", "spawn"]
