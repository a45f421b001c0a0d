from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.export.rerun_sink import RerunSink
from cut3r.geometry.registration import Similarity
from cut3r.run.finished import FinishedRun
from cut3r.run.known import Known

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
