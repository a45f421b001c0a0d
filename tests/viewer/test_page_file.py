import re
import zlib
from dataclasses import replace

import numpy as np
import pytest

from cut3r.inference.reconstruction import Reconstruction
from cut3r.io.point_cloud import PointCloud
from cut3r.viewer.page_file import write_page


@pytest.fixture(scope="module")
def scene():
    from tests.viewer.conftest import Room

    scene = Reconstruction(voxel_size=None, max_points=20_000)
    for number in range(6):
        scene.add(Room().result(number, of=6))
    return scene


def test_all_is_in_one_file(scene, tmp_path, capsys):
    size = write_page(tmp_path / "scene.html", scene.cloud(), scene.cameras)
    page = (tmp_path / "scene.html").read_text()
    assert size == len(page.encode()) < 3e6
    assert "__VISER_EMBED_DATA__" in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:)[^"'#]+\.(?:js|css|wasm)""", page)  # nothing is fetched
    assert capsys.readouterr().out == ""


def test_more_points_than_asked_for_are_thinned(scene, tmp_path):
    whole = write_page(tmp_path / "a.html", scene.cloud(), scene.cameras)
    assert write_page(tmp_path / "b.html", scene.cloud(), scene.cameras, max_points=1000) < whole - 30_000


def test_cameras_that_were_lost_are_left_out(scene, tmp_path):
    cameras = scene.cameras
    poses = cameras.world_from_cam.copy()
    poses[1:] = np.nan
    lost = replace(cameras, world_from_cam=poses, finite=np.array([True] + [False] * 5))
    write_page(tmp_path / "a.html", scene.cloud(), lost)
    nobody = replace(cameras, world_from_cam=poses * np.nan, finite=np.zeros(6, bool))
    write_page(tmp_path / "b.html", scene.cloud(), nobody)
    assert zlib.crc32((tmp_path / "a.html").read_bytes()) != zlib.crc32((tmp_path / "b.html").read_bytes())


def test_nothing_to_show_is_said(scene, tmp_path):
    with pytest.raises(ValueError, match="no points to show"):
        write_page(
            tmp_path / "a.html", PointCloud(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8)), scene.cameras
        )
    with pytest.raises(ValueError, match=r"expected \.html"):
        write_page(tmp_path / "a.htm", scene.cloud(), scene.cameras)
    assert not list(tmp_path.iterdir())
