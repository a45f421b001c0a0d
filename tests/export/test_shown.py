"""Formats to look at: they are made of a finished run as a user makes them, and the page right after a stream."""

import importlib.util
import logging

import numpy as np
import pytest

from cut3r.export import command
from cut3r.export.page import SavedPage
from cut3r.inference.reconstruction import Reconstruction
from cut3r.io.frames import open_frames
from cut3r.io.mesh import read_mesh
from cut3r.run.finished import FinishedRun
from cut3r.run.known import Known


def test_a_surface_and_videos_of_a_run(room, tmp_path, capsys):
    pytest.importorskip("open3d", reason="no mesh without Open3D")
    flags = ["--only", "mesh", "--only", "video", "--to", str(tmp_path / "shown"), "--voxel", "0.06"]
    assert command.main([str(room.folder), *flags, "--seq_path", str(room.photos)]) == 0
    folder = tmp_path / "shown"
    assert {path.name for path in folder.iterdir()} == {"mesh.ply", "mesh.glb", "depth.mp4", "flight.mp4", "README.txt"}
    mesh = read_mesh(folder / "mesh.ply")
    assert np.array_equal(mesh.triangles, read_mesh(folder / "mesh.glb").triangles)
    assert (
        np.ptp(mesh.vertices[:, 2]) < np.ptp(mesh.vertices[:, :2], axis=0).max()
    )  # z is up: rooms are wider than high
    with open_frames(folder / "depth.mp4") as stream:
        assert len(list(stream)) == 8
    said = capsys.readouterr().err
    assert "voxels of 60.0 mm" in said and "% of the depth was left out" in said
    assert "colour the surface" not in said


def test_without_the_pictures_a_surface_has_the_colours_of_the_network(room, tmp_path, capsys):
    pytest.importorskip("open3d", reason="no mesh without Open3D")
    flags = ["--only", "mesh", "--to", str(tmp_path / "shown"), "--voxel", "0.1", "--frames", "4"]
    assert command.main([str(room.folder), *flags]) == 0
    assert "0 of 4 pictures colour the surface: " in capsys.readouterr().err
    assert len(np.unique(read_mesh(tmp_path / "shown" / "mesh.ply").colors, axis=0)) > 100


def test_a_recording_for_rerun(room, tmp_path):
    pytest.importorskip("rerun", reason="no recording without rerun-sdk")
    assert command.main([str(room.folder), "--only", "rerun", "--to", str(tmp_path / "rerun")]) == 0
    assert (tmp_path / "rerun" / "recording.rrd").stat().st_size > 100_000


@pytest.mark.parametrize("name", ["mesh", "rerun"])
def test_a_package_that_is_missing_is_named_before_the_work(room, tmp_path, monkeypatch, capsys, name):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda package, *rest: None if package in ("open3d", "rerun") else found(package, *rest),
    )
    assert command.main([str(room.folder), "--only", name, "--to", str(tmp_path / "x")]) != 0
    assert "pip install" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_page_of_a_stream(room, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    scene = Reconstruction()
    page, empty = tmp_path / "scene.html", tmp_path / "empty.html"
    for number, (view, _) in enumerate(FinishedRun(room.folder).views(Known())):
        if number < 3:
            scene.add(view)
    SavedPage(scene, page).finish()
    SavedPage(Reconstruction(), empty).finish()
    assert "__VISER_EMBED_DATA__" in page.read_text()
    assert "no points to show" in caplog.text and not empty.exists()
