import json
import struct

import numpy as np
import pytest
import trimesh

from cut3r.io.mesh import Mesh, read_mesh, write_mesh
from cut3r.io.ply import write_ply
from cut3r.io.point_cloud import PointCloud


@pytest.fixture
def tetrahedron():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], np.float32)
    colors = np.array([[255, 0, 0], [0, 128, 0], [7, 9, 250], [1, 2, 3]], np.uint8)
    return Mesh(vertices, colors, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32))


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
class TestEitherFile:
    def test_comes_back(self, tetrahedron, tmp_path, suffix):
        write_mesh(tmp_path / f"a{suffix}", tetrahedron)
        back = read_mesh(tmp_path / f"a{suffix}")
        for name in ("vertices", "colors", "triangles"):
            assert np.array_equal(getattr(back, name), getattr(tetrahedron, name)), name

    def test_trimesh_sees_the_same_solid(self, tetrahedron, tmp_path, suffix):
        write_mesh(tmp_path / f"a{suffix}", tetrahedron)
        loaded = trimesh.load(tmp_path / f"a{suffix}", force="mesh")
        assert loaded.is_watertight
        assert loaded.volume == pytest.approx(1.0)  # positive: the outside is where it was
        height = loaded.extents[1 if suffix == ".glb" else 2]  # glTF has y up
        assert height == pytest.approx(3.0)

    def test_nothing_is_refused(self, tetrahedron, tmp_path, suffix):
        empty = Mesh(tetrahedron.vertices, tetrahedron.colors, np.empty((0, 3), np.int32))
        with pytest.raises(ValueError, match="no triangle"):
            write_mesh(tmp_path / f"a{suffix}", empty)
        assert not list(tmp_path.iterdir())


def test_the_glb_asks_to_be_shown_as_it_is(tetrahedron, tmp_path):
    write_mesh(tmp_path / "a.glb", tetrahedron)
    content = (tmp_path / "a.glb").read_bytes()
    document = json.loads(content[20 : 20 + struct.unpack_from("<I", content, 12)[0]])
    assert document["extensionsUsed"] == ["KHR_materials_unlit"]
    assert document["materials"][0]["doubleSided"]


def test_another_suffix_is_refused(tetrahedron, tmp_path):
    with pytest.raises(ValueError, match=r"written as \.ply or \.glb"):
        write_mesh(tmp_path / "a.obj", tetrahedron)


def test_a_cloud_is_no_mesh(tmp_path):
    write_ply(tmp_path / "a.ply", PointCloud(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8)))
    with pytest.raises(ValueError, match="no faces"):
        read_mesh(tmp_path / "a.ply")
