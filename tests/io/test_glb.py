import json
import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cut3r.io.glb import frusta, read_glb, write_glb
from cut3r.io.point_cloud import PointCloud


def random_cloud(rng: np.random.Generator, count: int) -> PointCloud:
    points, colors = rng.normal(size=(count, 3)), rng.integers(0, 256, (count, 3), dtype=np.uint8)
    return PointCloud(points.astype(np.float32), colors)


def random_cameras(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    world_from_cams = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    if count:
        world_from_cams[:, :3, :3] = Rotation.random(count, random_state=int(rng.integers(2**31))).as_matrix()
    world_from_cams[:, :3, 3] = rng.normal(size=(count, 3))
    intrinsics = np.tile(np.array([[40.0, 0, 31.5], [0, 40, 23.5], [0, 0, 1]], np.float32), (count, 1, 1))
    return world_from_cams, intrinsics, np.tile(np.array([48, 64], np.int32), (count, 1))


@given(seed=st.integers(0, 2**31), count=st.integers(0, 30), views=st.integers(0, 4))
def test_a_scene_survives_the_round_trip_exactly(tmp_path_factory, seed, count, views):
    rng, path = np.random.default_rng(seed), tmp_path_factory.mktemp("glb") / "scene.glb"
    cloud, cameras = random_cloud(rng, count), random_cameras(rng, views)
    write_glb(path, cloud, *cameras, frustum_depth=0.3)
    scene = read_glb(path)
    np.testing.assert_array_equal(scene.cloud.points, cloud.points)
    np.testing.assert_array_equal(scene.cloud.colors, cloud.colors)
    np.testing.assert_array_equal(scene.frusta, frusta(*cameras, 0.3))


def test_trimesh_opens_points_and_frusta_upright(tmp_path):
    rng = np.random.default_rng(0)
    cloud, cameras = random_cloud(rng, 100), random_cameras(rng, 3)
    write_glb(tmp_path / "scene.glb", cloud, *cameras)
    gltf_from_world = np.diag([1.0, -1, -1, 1]) @ np.linalg.inv(cameras[0][0])
    loaded = trimesh.load_scene(tmp_path / "scene.glb")
    points = next(g for g in loaded.dump() if isinstance(g, trimesh.PointCloud))
    lines = next(g for g in loaded.dump() if isinstance(g, trimesh.path.Path3D))
    expected = trimesh.transform_points(cloud.points, gltf_from_world)
    np.testing.assert_allclose(points.vertices, expected, atol=1e-5)
    np.testing.assert_array_equal(points.colors[:, :3], cloud.colors)
    corners = trimesh.transform_points(frusta(*cameras, 0.1).reshape(-1, 3), gltf_from_world)
    np.testing.assert_allclose(lines.vertices, corners, atol=1e-5)


def test_below_and_ahead_of_the_first_camera_are_minus_y_and_minus_z_in_the_file(tmp_path):
    world_from_cams, intrinsics, sizes = random_cameras(np.random.default_rng(1), 2)
    below_and_ahead_cam = np.array([0.5, 1.0, 2.0, 1.0])
    write_glb(tmp_path / "scene.glb", PointCloud(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8)),
              world_from_cams, intrinsics, sizes)  # fmt: skip
    gltf_from_world = read_glb(tmp_path / "scene.glb").gltf_from_world
    in_file = gltf_from_world @ world_from_cams[0].astype(np.float64) @ below_and_ahead_cam
    np.testing.assert_allclose(in_file, [0.5, -1.0, -2.0, 1.0], atol=1e-6)


def test_a_frustum_ends_at_the_outer_corners_of_the_image():
    _, intrinsics, sizes = random_cameras(np.random.default_rng(0), 1)
    centre, top_left, *_, bottom_left = frusta(np.eye(4)[None], intrinsics, sizes, 2.0)[0]
    np.testing.assert_array_equal(centre, 0)
    np.testing.assert_allclose(top_left, [-32 / 40 * 2, -24 / 40 * 2, 2])
    np.testing.assert_allclose(bottom_left, [-32 / 40 * 2, 24 / 40 * 2, 2])


def test_the_file_obeys_the_rules_of_gltf_that_loaders_rely_on(tmp_path):
    rng = np.random.default_rng(0)
    cloud = random_cloud(rng, 7)
    write_glb(tmp_path / "scene.glb", cloud, *random_cameras(rng, 2))
    content = (tmp_path / "scene.glb").read_bytes()
    (length,) = struct.unpack_from("<I", content, 12)
    document = json.loads(content[20 : 20 + length])
    positions, colors = document["accessors"][:2]
    assert length % 4 == 0
    assert len(content) == struct.unpack_from("<I", content, 8)[0]
    assert all(view["byteOffset"] % 4 == 0 for view in document["bufferViews"])
    assert (positions["min"], positions["max"]) == (cloud.points.min(0).tolist(), cloud.points.max(0).tolist())
    assert (colors["type"], colors["componentType"], colors["normalized"]) == ("VEC4", 5121, True)
    assert [mesh["primitives"][0]["mode"] for mesh in document["meshes"]] == [0, 1]
    assert document["accessors"][4]["count"] == 2 * 8 * 2  # frusta, edges, ends


def test_an_empty_scene_is_still_a_valid_file(tmp_path):
    rng = np.random.default_rng(0)
    write_glb(tmp_path / "empty.glb", random_cloud(rng, 0), *random_cameras(rng, 0))
    scene = read_glb(tmp_path / "empty.glb")
    assert (len(scene.cloud), len(scene.frusta)) == (0, 0)


def test_other_files_are_refused_with_the_reason(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "scene.glb"
    write_glb(path, random_cloud(rng, 3), *random_cameras(rng, 1))
    (tmp_path / "short.glb").write_bytes(path.read_bytes()[:-4])
    (tmp_path / "text.glb").write_text("this is a text file, not a model")
    trimesh.creation.box().export(tmp_path / "box.glb")
    for name, complaint in [("short", "cut short"), ("text", "not a GLB file"), ("box", "open others with trimesh")]:
        with pytest.raises(ValueError, match=complaint):
            read_glb(tmp_path / f"{name}.glb")
