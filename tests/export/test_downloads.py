"""Everything that --save and --export write can be had from the page."""

import io
import zipfile

import pytest

from cut3r.export.downloads import FILES, FOLDERS, downloads_of
from cut3r.inference.frame_folder import FrameFolder
from cut3r.inference.reconstruction import WRITERS, Reconstruction
from cut3r.run.formats import FORMATS
from cut3r.run.output_folder import Marker, RunState
from cut3r.viewer.downloads import make
from tests.viewer.conftest import Room


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of a small room, and its scene."""
    folder, scene = tmp_path_factory.mktemp("run"), Reconstruction()
    Marker("1", {"vis_threshold": "1.5"}, "today").write(folder / "cut3r.json")
    for number in range(3):
        result = Room((24, 32), 27.5).result(number)
        FrameFolder(folder).add(result)
        scene.add(result)
    Marker("1", {"vis_threshold": "1.5"}, "today", RunState.finished, 3).write(folder / "cut3r.json")
    return folder, scene


def test_every_file_and_every_format_is_there(run):
    assert {*WRITERS, ".html"} == set(FILES)
    assert set(FORMATS) == set(FOLDERS)
    names = {download.name for download in downloads_of(run[0], confidence=1.5)}
    assert names == {f"scene{suffix}" for suffix in FILES} | {f"folder_{name}" for name in FORMATS} - {"folder_masks"}
    assert "folder_masks" in {d.name for d in downloads_of(run[0], confidence=1.5, masks=run[0])}


@pytest.mark.parametrize("suffix", FILES)
def test_files_can_be_had_while_a_run_goes_on(run, suffix):
    """Also of a folder, whose scene is read when somebody asks."""
    for scene in (run[1], None):
        download = next(d for d in downloads_of(run[0], scene=scene, confidence=1.5) if d.name == f"scene{suffix}")
        assert download.at_any_time == (scene is not None)
        name, content = make(download)
        assert name == f"scene{suffix}" and len(content) > 100


@pytest.mark.parametrize("name", ["glb", "tum", "depth", "mesh"])
def test_folders_come_as_archives(run, name):
    download = next(d for d in downloads_of(run[0], scene=run[1], confidence=1.5) if d.name == f"folder_{name}")
    assert not download.at_any_time
    file, content = make(download)
    assert file == f"folder_{name}.zip"
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert f"folder_{name}/README.txt" in names and len(names) > 1
