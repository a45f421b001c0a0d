"""What the readers of a scene demand, as assertions: COLMAP, gsplat, nerfstudio, Brush, LichtFeld, 3DGRUT."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from cut3r.export.upright import upright_from_world
from cut3r.geometry.gravity import up_of_cameras
from cut3r.io.colmap import read_cameras, read_images
from cut3r.io.colmap_points import read_points3d
from cut3r.io.depth import read_depth
from cut3r.io.ply import read_ply
from cut3r.io.transforms_json import read_transforms

NEAR = 0.01  # pixels


@pytest.fixture(params=["landscape", "portrait"])
def exported(request, room, scene):
    return (room, scene) if request.param == "landscape" else request.getfixturevalue("portrait")


def corners(room):
    """Points of the room where they are in the world of the files, and the pixels of each photo that show them."""
    random = np.random.default_rng(1)
    seen_by_first = random.uniform((-0.5, -0.3, 1.0), (0.5, 0.3, 3.0), (20, 3))
    world = seen_by_first @ room.world_from_cam[0, :3, :3].T + room.world_from_cam[0, :3, 3]
    upright = upright_from_world(room.world_from_cam.astype(np.float32).astype(float))
    cams = [(world - pose[:3, 3]) @ pose[:3, :3] for pose in room.world_from_cam]
    pixels = [(cam @ room.intrinsics_original.T)[:, :2] / cam[:, 2:] for cam in cams]
    return world @ upright[:3, :3].T + upright[:3, 3], pixels


def project(points, lens, world_from_cam):
    cam = (points - world_from_cam[:3, 3]) @ world_from_cam[:3, :3]
    return (cam @ lens.intrinsics.T)[:, :2] / cam[:, 2:]


@pytest.mark.parametrize("suffix", [".bin", ".txt"])
def test_points_of_the_room_are_where_the_photos_show_them_in_colmap(exported, suffix):
    room, scene = exported
    points, pixels = corners(room)
    cameras = read_cameras(scene / f"sparse/0/cameras{suffix}")
    images = read_images(scene / f"sparse/0/images{suffix}")
    assert [image.name for image in images] == room.names
    for image, true in zip(images, pixels, strict=True):
        lens = cameras[image.camera].lens()
        np.testing.assert_allclose(project(points, lens, image.world_from_cam), true, atol=NEAR)


def test_and_in_transforms_json(exported):
    room, scene = exported
    points, pixels = corners(room)
    for camera, true in zip(read_transforms(scene / "transforms.json").cameras, pixels, strict=True):
        np.testing.assert_allclose(project(points, camera.lens, camera.world_from_cam), true, atol=NEAR)


def test_pycolmap_reads_it_and_projects_as_we_do(exported):
    pycolmap = pytest.importorskip("pycolmap", reason="SKIPPED LOUDLY: no pycolmap (pip install cut3r[ba])")
    room, scene = exported
    model = pycolmap.Reconstruction(str(scene / "sparse/0"))
    points, pixels = corners(room)
    assert sorted(image.name for image in model.images.values()) == room.names
    counts = []
    for image in model.images.values():
        true = pixels[room.names.index(image.name)]
        ours = np.array([image.project_point(point) for point in points])
        np.testing.assert_allclose(ours, true + 0.5, atol=1e-3)  # COLMAP counts from the corner of the first pixel
        counts.append(image.num_points3D)
    assert min(counts) >= 1 and np.median(counts) >= 100
    assert model.compute_mean_track_length() >= 2.5 and model.compute_mean_reprojection_error() < 1
    stored = np.array([point.error for point in model.points3D.values()])
    model.update_point_3d_errors()
    measured = np.array([point.error for point in model.points3D.values()])
    np.testing.assert_allclose(measured, stored, atol=1e-3)


def test_text_and_binary_say_the_same(scene):
    model = scene / "sparse/0"
    both = (read_images(model / f"images{suffix}", points=True) for suffix in (".txt", ".bin"))
    for text, binary in zip(*both, strict=True):
        assert (text.name, text.camera, text.identity) == (binary.name, binary.camera, binary.identity)
        np.testing.assert_allclose(text.world_from_cam, binary.world_from_cam, atol=1e-12)
        np.testing.assert_array_equal(text.pixels, binary.pixels)
        np.testing.assert_array_equal(text.points, binary.points)
    text, binary = (read_points3d(model / f"points3D{suffix}") for suffix in (".txt", ".bin"))
    for name in ("ids", "world", "colors", "errors", "starts", "images", "indices"):
        np.testing.assert_array_equal(getattr(text, name), getattr(binary, name))


def test_tracks_and_images_name_each_other(scene):
    images = {image.identity: image for image in read_images(scene / "sparse/0/images.bin", points=True)}
    points = read_points3d(scene / "sparse/0/points3D.bin")
    number = np.repeat(points.ids, np.diff(points.starts))
    for identity, image in images.items():
        mine = points.images == identity
        np.testing.assert_array_equal(image.points[points.indices[mine]], number[mine])
        assert mine.sum() == len(image.points), "no 2-D point without a point, none twice"


def test_lines_of_images_txt_are_even_and_none_is_empty(scene):  # LichtFeld #548, vipe#65, fvdb#177
    lines = [line for line in (scene / "sparse/0/images.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) % 2 == 0 and all(line.strip() for line in lines)
    assert len(lines) // 2 == len(list((scene / "images").iterdir()))


def test_errors_are_not_negative_and_tracks_are_real(scene):  # LichtFeld #1674, #1349
    points = read_points3d(scene / "sparse/0/points3D.bin")
    assert (points.errors >= 0).all() and np.diff(points.starts).min() >= 3


def test_gsplat_finds_as_many_pictures_as_images_and_the_size_of_the_first(exported):
    _, scene = exported
    names = sorted(image.name for image in read_images(scene / "sparse/0/images.bin"))
    assert names == sorted(path.name for path in (scene / "images").iterdir())
    for camera in read_cameras(scene / "sparse/0/cameras.bin").values():
        with Image.open(scene / "images" / names[0]) as picture:
            assert (picture.height, picture.width) == camera.size


def test_brush_and_lichtfeld_find_one_ply_and_a_camera_model_that_they_know(scene):
    assert [path.relative_to(scene).as_posix() for path in scene.rglob("*.ply")] == ["pointcloud.ply"]
    content = json.loads((scene / "transforms.json").read_text())
    assert content["camera_model"] in {"PERSPECTIVE", "OPENCV", "OPENCV_FISHEYE"}
    assert all(content[name] == 0 for name in ("k1", "k2", "p1", "p2"))
    assert content["ply_file_path"] == "pointcloud.ply" and "fl_x" in content and "fl_x" not in content["frames"][0]


def test_nerfstudio_finds_rotations_and_files_and_a_seed_in_front_of_the_cameras(exported):
    room, scene = exported
    content = json.loads((scene / "transforms.json").read_text())
    cloud = read_ply(scene / content["ply_file_path"]).points
    for frame, camera in zip(content["frames"], read_transforms(scene / "transforms.json").cameras, strict=True):
        matrix = np.array(frame["transform_matrix"])
        np.testing.assert_allclose(matrix[:3, :3].T @ matrix[:3, :3], np.eye(3), atol=1e-6)
        assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1, abs=1e-6)
        assert (scene / frame["file_path"]).is_file() and (scene / frame["depth_file_path"]).is_file()
        cam = (cloud - camera.world_from_cam[:3, 3]) @ camera.world_from_cam[:3, :3]
        pixels = (cam @ camera.lens.intrinsics.T)[:, :2] / cam[:, 2:]
        h, w = camera.lens.size
        inside = (cam[:, 2] > 0) & (pixels > -0.5).all(axis=1) & (pixels < (w - 0.5, h - 0.5)).all(axis=1)
        assert inside.mean() > 0.5, "most of what is seen in one picture is seen in each, on this walk"
    back = np.vstack((content["applied_transform"], [0, 0, 0, 1]))
    first = np.linalg.inv(back) @ matrix_of_first(content)
    np.testing.assert_allclose(first, room.world_from_cam[0] @ np.diag((1.0, -1, -1, 1)), atol=1e-6)


def matrix_of_first(content):
    return np.array(content["frames"][0]["transform_matrix"])


def test_others_open_the_points(scene):
    plyfile = pytest.importorskip("plyfile", reason="SKIPPED LOUDLY: no plyfile")
    trimesh = pytest.importorskip("trimesh", reason="SKIPPED LOUDLY: no trimesh")
    cloud = read_ply(scene / "pointcloud.ply")
    theirs = plyfile.PlyData.read(scene / "pointcloud.ply")["vertex"]
    assert [(p.name, p.val_dtype) for p in theirs.properties] == [
        *((axis, "f4") for axis in "xyz"),
        *((channel, "u1") for channel in ("red", "green", "blue")),
    ]
    np.testing.assert_array_equal(np.stack([theirs[axis] for axis in "xyz"], axis=1), cloud.points)
    mesh = trimesh.load(scene / "pointcloud.ply")
    np.testing.assert_allclose(mesh.vertices, cloud.points)
    np.testing.assert_array_equal(mesh.colors[:, :3], cloud.colors)
    assert np.isfinite(cloud.points).all() and len(cloud) == len(read_points3d(scene / "sparse/0/points3D.bin").ids)


def test_depth_is_in_millimetres_of_the_photos_pixels(exported):
    room, scene = exported
    number = 1
    depth = read_depth(scene / "depth" / room.names[number])
    assert depth.shape == room.pixel_map.original_size
    true = np.load(room.folder / "depth" / f"{number:06d}.npy")
    v, u = np.argwhere(depth > 0)[::97].T
    (sx, sy), (ox, oy) = room.pixel_map.scale, room.pixel_map.offset
    row, column = np.floor((v + 0.5) * sy - oy).astype(int), np.floor((u + 0.5) * sx - ox).astype(int)
    np.testing.assert_allclose(depth[v, u], true[row, column], atol=6e-4)
    assert len(v) > 100 and (depth > 0).mean() > 0.7


def test_up_is_z_and_the_readme_says_so(exported):
    _, scene = exported
    poses = np.stack([camera.world_from_cam for camera in read_transforms(scene / "transforms.json").cameras])
    np.testing.assert_allclose(up_of_cameras(poses), (0, 0, 1), atol=1e-6)
    mean = poses[:, :3, 1].mean(axis=0)
    assert -mean[2] / np.linalg.norm(mean) > 0.9999  # these cameras are hardly tilted, so that is their own up, too
    text = (scene / "README.txt").read_text()
    assert re.search(r"z is up", text) and "Metres" in text and "cut3r" in text
