import json
import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cut3r.io.glb import GlbScene, frusta, read_glb, write_glb
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


def greys(levels: np.ndarray) -> PointCloud:
    colors = np.repeat(levels.astype(np.uint8)[:, None], 3, axis=1)
    return PointCloud(np.zeros((len(levels), 3), np.float32), colors)


def document_of(path: Path) -> dict[str, Any]:
    """The JSON of a file, read as strictly as a viewer in a browser does."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<I", content, 12)

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(content[20 : 20 + length], parse_constant=refuse)


def write_and_read(path: Path, cloud: PointCloud, **options: bool) -> GlbScene:
    write_glb(path, cloud, *random_cameras(np.random.default_rng(0), 0), **options)
    return read_glb(path)


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
    np.testing.assert_allclose(points.colors[:, :3], 255 * linear_from_srgb(cloud.colors), atol=0.51)
    corners = trimesh.transform_points(frusta(*cameras, 0.1).reshape(-1, 3), gltf_from_world)
    np.testing.assert_allclose(lines.vertices, corners, atol=1e-5)


def stored_colors(path: Path) -> np.ndarray:
    """The colours of the points as a viewer that obeys the standard gets them, from 0 to 1."""
    document, content = document_of(path), path.read_bytes()
    (length,) = struct.unpack_from("<I", content, 12)
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    dtype, width = {5121: np.uint8, 5126: np.float32}[accessor["componentType"]], int(accessor["type"][-1])
    start = 28 + length + document["bufferViews"][accessor["bufferView"]]["byteOffset"]
    values = np.frombuffer(content, dtype, width * accessor["count"], start).reshape(-1, width)
    return values / 255 if accessor.get("normalized", False) else values


def linear_from_srgb(colors: np.ndarray) -> np.ndarray:
    shares = colors / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def test_colours_are_linear_as_the_standard_says(tmp_path):
    cloud = greys(np.arange(256))
    write_and_read(tmp_path / "scene.glb", cloud)
    colors = stored_colors(tmp_path / "scene.glb")
    np.testing.assert_allclose(colors, linear_from_srgb(cloud.colors), atol=1e-6)
    assert colors[128] == pytest.approx(0.2159, abs=1e-4)  # not 0.502, which would show as 188


def test_all_levels_of_a_channel_survive_the_round_trip(tmp_path):
    cloud = greys(np.arange(256))
    np.testing.assert_array_equal(write_and_read(tmp_path / "scene.glb", cloud).cloud.colors, cloud.colors)


def test_colours_can_be_written_as_they_are(tmp_path):
    cloud = greys(np.arange(256))
    scene = write_and_read(tmp_path / "scene.glb", cloud, srgb_colors=True)
    np.testing.assert_array_equal(stored_colors(tmp_path / "scene.glb")[:, :3], cloud.colors / 255)
    np.testing.assert_array_equal(scene.cloud.colors, cloud.colors)


@pytest.mark.parametrize("broken", ["pose", "intrinsics"])
def test_a_camera_that_is_not_finite_gets_no_frustum(tmp_path, caplog, broken):
    world_from_cams, intrinsics, sizes = random_cameras(np.random.default_rng(0), 3)
    (world_from_cams if broken == "pose" else intrinsics)[0, 0, 0] = np.nan
    with caplog.at_level(logging.WARNING):
        write_glb(tmp_path / "scene.glb", greys(np.arange(2)), world_from_cams, intrinsics, sizes)
    scene = read_glb(tmp_path / "scene.glb")
    np.testing.assert_array_equal(scene.frusta, frusta(world_from_cams[1:], intrinsics[1:], sizes[1:], 0.1))
    np.testing.assert_allclose(scene.gltf_from_world @ world_from_cams[1], np.diag([1, -1, -1, 1]), atol=1e-6)
    document_of(tmp_path / "scene.glb")
    assert f"1 of 3 cameras are not finite and were left out of {tmp_path / 'scene.glb'}" in caplog.text


def test_points_that_are_not_finite_are_left_out(tmp_path, caplog):
    cloud = random_cloud(np.random.default_rng(0), 4)
    cloud.points[0, 1], cloud.points[2, 2] = np.nan, -np.inf
    with caplog.at_level(logging.WARNING):
        scene = write_and_read(tmp_path / "scene.glb", cloud)
    np.testing.assert_array_equal(scene.cloud.points, cloud.points[[1, 3]])
    document_of(tmp_path / "scene.glb")
    assert "2 of 4 points are not finite" in caplog.text


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
    content, document = (tmp_path / "scene.glb").read_bytes(), document_of(tmp_path / "scene.glb")
    (length,) = struct.unpack_from("<I", content, 12)
    positions, colors = document["accessors"][:2]
    assert length % 4 == 0
    assert len(content) == struct.unpack_from("<I", content, 8)[0]
    assert all(view["byteOffset"] % 4 == 0 for view in document["bufferViews"])
    assert (positions["min"], positions["max"]) == (cloud.points.min(0).tolist(), cloud.points.max(0).tolist())
    assert (colors["type"], colors["componentType"], colors.get("normalized", False)) == ("VEC3", 5126, False)
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
