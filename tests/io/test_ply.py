import numpy as np
import plyfile
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from cut3r.io.ply import read_ply, write_ply
from cut3r.io.point_cloud import PointCloud


def random_cloud(count: int, *, seed: int = 0, extras: bool = True) -> PointCloud:
    rng = np.random.default_rng(seed)
    return PointCloud(
        points=rng.normal(size=(count, 3)).astype(np.float32),
        colors=rng.integers(0, 256, (count, 3), dtype=np.uint8),
        confidence=rng.uniform(1, 9, count).astype(np.float32) if extras else None,
        frame=rng.integers(0, 1000, count, dtype=np.int32) if extras else None,
    )


def assert_same(a: PointCloud, b: PointCloud) -> None:
    for name in ("points", "colors", "confidence", "frame"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@given(count=st.integers(0, 40), seed=st.integers(0, 2**31), extras=st.booleans())
def test_a_cloud_survives_the_round_trip_exactly(tmp_path_factory, count, seed, extras):
    cloud, path = random_cloud(count, seed=seed, extras=extras), tmp_path_factory.mktemp("ply") / "cloud.ply"
    write_ply(path, cloud)
    assert_same(read_ply(path), cloud)


def test_plyfile_reads_the_same_values(tmp_path):
    cloud = random_cloud(50)
    write_ply(tmp_path / "cloud.ply", cloud)
    data = plyfile.PlyData.read(tmp_path / "cloud.ply")
    vertices = data["vertex"]
    assert (data.text, data.byte_order) == (False, "<")
    assert [p.name for p in vertices.properties] == ["x", "y", "z", "red", "green", "blue", "confidence", "frame"]
    np.testing.assert_array_equal(np.stack([vertices[n] for n in "xyz"], -1), cloud.points)
    np.testing.assert_array_equal(np.stack([vertices[n] for n in ("red", "green", "blue")], -1), cloud.colors)
    np.testing.assert_array_equal(vertices["confidence"], cloud.confidence)
    np.testing.assert_array_equal(vertices["frame"], cloud.frame)


def test_trimesh_reads_the_same_values(tmp_path):
    cloud = random_cloud(50, extras=False)
    write_ply(tmp_path / "cloud.ply", cloud)
    loaded = trimesh.load(tmp_path / "cloud.ply")
    np.testing.assert_array_equal(loaded.vertices, cloud.points)
    np.testing.assert_array_equal(loaded.colors[:, :3], cloud.colors)


@pytest.mark.parametrize(("text", "byte_order"), [(True, "="), (False, "<"), (False, ">")])
def test_files_of_others_with_another_order_and_more_properties_are_read(tmp_path, text, byte_order):
    cloud = random_cloud(20, extras=False)
    kinds = [("blue", "u1"), ("nx", "f4"), ("z", "f8"), ("y", "f8"), ("red", "u1"), ("x", "f8"), ("green", "u1")]
    vertices = np.zeros(20, dtype=kinds)
    for axis, (coordinate, channel) in enumerate(zip("xyz", ("red", "green", "blue"), strict=True)):
        vertices[coordinate], vertices[channel] = cloud.points[:, axis], cloud.colors[:, axis]
    faces = np.array([([0, 1, 2],)], dtype=[("vertex_indices", "i4", (3,))])
    elements = [plyfile.PlyElement.describe(vertices, "vertex"), plyfile.PlyElement.describe(faces, "face")]
    plyfile.PlyData(elements, text=text, byte_order=byte_order).write(tmp_path / "other.ply")
    assert_same(read_ply(tmp_path / "other.ply"), cloud)


def test_points_that_are_not_finite_are_left_out(tmp_path, caplog):
    cloud = random_cloud(5)
    cloud.points[1, 2], cloud.points[3, 0], cloud.confidence[4] = np.nan, np.inf, np.inf
    write_ply(tmp_path / "cloud.ply", cloud)
    read = read_ply(tmp_path / "cloud.ply")
    np.testing.assert_array_equal(read.points, cloud.points[[0, 2]])
    np.testing.assert_array_equal(read.frame, cloud.frame[[0, 2]])
    assert f"3 of 5 points are not finite and were left out of {tmp_path / 'cloud.ply'}" in caplog.text


VERTEX = "element vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
FLOAT_COLOURS = "property float red\nproperty float green\nproperty float blue\n"


def test_points_without_colours_are_white(tmp_path):
    (tmp_path / "plain.ply").write_text(f"ply\nformat ascii 1.0\n{VERTEX}end_header\n1 2 3\n")
    cloud = read_ply(tmp_path / "plain.ply")
    assert (cloud.points.tolist(), cloud.colors.tolist()) == ([[1, 2, 3]], [[255, 255, 255]])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("solid cube\n", "not a PLY file"),
        ("ply\nformat ascii 1.0\n" + VERTEX, "cut short"),
        (f"ply\nformat ascii 1.0\n{VERTEX}end_header\n", "announces 1 points but holds 0"),
        (f"ply\nformat ascii 1.0\n{VERTEX}end_header\n1 2\n", "announces 1 points but holds 0"),
        (f"ply\nformat binary_little_endian 1.0\n{VERTEX}end_header\n12345", "announces 1 points but holds 0"),
        (f"ply\nformat morse 1.0\n{VERTEX}end_header\n", "'morse'"),
        ("ply\nformat ascii 1.0\nelement face 0\nend_header\n", "expected 'vertex'"),
        ("ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nend_header\n", "needs x, y and z"),
        ("ply\nformat ascii 1.0\nelement vertex 1\nproperty list int int i\nend_header\n", "list property"),
        (f"ply\nformat ascii 1.0\n{VERTEX}{FLOAT_COLOURS}end_header\n1 2 3 .1 .1 .1\n", "expected uchar"),
    ],
)
def test_other_files_are_refused_with_the_reason(tmp_path, content, complaint):
    (tmp_path / "bad.ply").write_text(content)
    with pytest.raises(ValueError, match=complaint):
        read_ply(tmp_path / "bad.ply")


def test_a_cloud_needs_one_colour_per_point():
    cloud = random_cloud(3)
    with pytest.raises((ValueError, TypeError)):  # TypeError where shapes are enforced, as in these tests
        PointCloud(cloud.points, cloud.colors[:2])
