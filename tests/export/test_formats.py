"""Each format read back by our own reader: cameras are the true ones within 0.01 pixels, however photos were fitted."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cut3r.export.config import ExportConfig
from cut3r.export.sink import ExportSink
from cut3r.export.upright import upright_from_world
from cut3r.geometry.registration import Similarity
from cut3r.inference.preprocess import FitConfig, FitMode
from cut3r.inference.sink import Sinks
from cut3r.io.colmap import read_cameras, read_images
from cut3r.io.depth import read_depth
from cut3r.io.frames import open_frames
from cut3r.io.glb import frusta, read_glb
from cut3r.io.ply import read_ply
from cut3r.io.trajectory import read_kitti, read_tum
from cut3r.io.transforms_json import read_transforms
from cut3r.run.formats import FORMATS
from tests.export.wall import DISTANCE, NORMAL, Wall, make_photos

NEAR = 0.01  # pixels
SHAPES = {
    "cropped": ((101, 180), 1, FitMode.crop),
    "resized with other scales in x and y": ((125, 187), 1, FitMode.resize),
    "stretched": ((125, 187), 1, FitMode.stretch),
    "padded": ((103, 187), 1, FitMode.pad),
    "upright": ((187, 125), 1, FitMode.crop),
    "stored turned": ((187, 125), 6, FitMode.crop),
    "stored turned, padded": ((187, 125), 8, FitMode.pad),
    "stored upside down": ((125, 187), 3, FitMode.resize),
}
ALL = tuple(name for name in FORMATS if name not in ("masks", "mesh", "video", "rerun"))  # those: test_shown.py


@pytest.fixture(scope="module", params=SHAPES)
def exported(request, tmp_path_factory):
    """A wall, and the folder that has it in all formats."""
    size, orientation, mode = SHAPES[request.param]
    root = tmp_path_factory.mktemp("wall")
    make_photos(root / "photos", size, orientation=orientation)
    wall = Wall(root / "photos", config=FitConfig(size=64, mode=mode))
    export(wall, root / "all", ALL)
    return wall, root / "all"


def export(wall, folder, formats=("scene",), **options):
    with Sinks({"export": ExportSink(folder, ExportConfig(pictures="png"), formats=formats, **options)}) as sinks:
        for result in wall.results():
            sinks.add(result)


def upright(wall):
    return upright_from_world(
        np.stack([wall.pose(number) for number in range(wall.frames)]).astype(np.float32).astype(float)
    )


def projected(world, intrinsics, world_from_cam):
    cam = (world - world_from_cam[:3, 3]) @ world_from_cam[:3, :3]
    return (cam @ intrinsics.T)[:, :2] / cam[:, 2:]


def in_files(wall, world):
    turn = upright(wall)
    return world @ turn[:3, :3].T + turn[:3, 3]


@pytest.mark.parametrize("suffix", [".bin", ".txt"])
def test_colmap(exported, suffix):
    wall, folder = exported
    cameras = read_cameras(folder / f"sparse/0/cameras{suffix}")
    for number, image in enumerate(read_images(folder / f"sparse/0/images{suffix}", points=True)):
        world, pixels = wall.seen(number)
        lens = cameras[image.camera].lens()
        found = projected(in_files(wall, world), lens.intrinsics, image.world_from_cam)
        np.testing.assert_allclose(found, pixels, atol=NEAR)
        on_wall = wall.depth(number, wall.intrinsics, lens.size)
        assert (image.pixels > -0.5).all() and (image.pixels < np.array(lens.size[::-1]) - 0.5).all()
        assert len(image.pixels) > 50 and (on_wall > 0).all()


def test_nerfstudio(exported):
    wall, folder = exported
    for number, camera in enumerate(read_transforms(folder / "transforms.json").cameras):
        world, pixels = wall.seen(number)
        found = projected(in_files(wall, world), camera.lens.intrinsics, camera.world_from_cam)
        np.testing.assert_allclose(found, pixels, atol=NEAR)


def test_pictures_are_those_that_were_read(exported):
    wall, folder = exported
    for frame, path in zip(open_frames(str(wall.folder)), sorted((folder / "images").iterdir()), strict=True):
        with Image.open(path) as picture:
            np.testing.assert_array_equal(np.asarray(picture), frame.rgb)
            assert not picture.getexif()


def test_points(exported):
    wall, folder = exported
    points, turn = read_ply(folder / "pointcloud.ply").points, upright(wall)
    back = (points - turn[:3, 3]) @ turn[:3, :3]
    assert len(points) > 200
    off = np.abs(back @ NORMAL - DISTANCE)  # depth between pixels is interpolated, so a few millimetres at most
    assert np.median(off) < 1e-4 and off.max() < 5e-3


def test_glb_stands_upright(exported):
    wall, folder = exported
    scene, turn = read_glb(folder / "scene.glb"), upright(wall)
    poses = np.stack([turn @ wall.pose(number) for number in range(wall.frames)])
    sizes = np.array([read_cameras(folder / "sparse/0/cameras.bin")[1].size] * wall.frames)
    true = frusta(poses, np.stack([wall.intrinsics] * wall.frames), sizes, 0.1)
    np.testing.assert_allclose(scene.frusta, true, atol=0.1 * NEAR / wall.intrinsics[0, 0])
    np.testing.assert_array_equal(scene.cloud.points, read_ply(folder / "pointcloud.ply").points)
    np.testing.assert_array_equal(scene.gltf_from_world[:3, :3] @ (0, 0, 1), (0, 1, 0))


def test_depth(exported):
    wall, folder = exported
    for number, path in enumerate(sorted((folder / "depth").iterdir())):
        depth = read_depth(path)
        true = wall.depth(number, wall.intrinsics, depth.shape)
        known = depth > 0
        assert known.mean() > 0.6
        slope = np.abs(np.gradient(true)).sum(axis=0)  # per pixel of the photo; the network's are three times as large
        assert (np.abs(depth - true)[known] < 1e-3 + 2.5 * slope[known]).all()


def test_paths(exported):
    wall, folder = exported
    turn = upright(wall)
    true = np.stack([turn @ wall.pose(number) for number in range(wall.frames)])
    poses, times = read_tum(folder / "trajectory.tum")
    np.testing.assert_allclose(poses, true, atol=1e-6)
    np.testing.assert_allclose(read_kitti(folder / "trajectory.kitti"), true, atol=1e-6)
    assert times.tolist() == [0, 1, 2, 3], "photos without time stamps are numbered"


def test_the_way_back_to_the_world_of_the_stream_is_recorded(exported):
    wall, folder = exported
    applied = json.loads((folder / "transforms.json").read_text())["applied_transform"]
    np.testing.assert_allclose(applied, upright(wall)[:3], atol=1e-6)
    said = (folder / "README.txt").read_text().split("turned by\n")[1].splitlines()[:3]
    np.testing.assert_allclose([list(map(float, line.split())) for line in said], upright(wall)[:3, :3], atol=1e-8)


def test_time_stamps_of_a_video_are_kept(tmp_path):
    make_photos(tmp_path / "photos", (101, 180))
    export(Wall(tmp_path / "photos", video=True), tmp_path / "path", ["tum"])
    np.testing.assert_allclose(read_tum(tmp_path / "path/trajectory.tum")[1], np.arange(4) / 7, atol=1e-6)


def test_a_picture_that_was_changed_after_it_was_read_is_not_copied_from_its_file(tmp_path):
    """As where the lens's distortion was undone."""
    make_photos(tmp_path / "photos", (101, 180))
    sink, shown = ExportSink(tmp_path / "all", ExportConfig(pictures="png"), formats=["colmap"]), []
    for result in Wall(tmp_path / "photos").results():
        shown.append(np.ascontiguousarray(result.frame.rgb[:, ::-1]))
        sink.add(replace(result, frame=replace(result.frame, rgb=shown[-1])))
    sink.finish()
    for path, rgb in zip(sorted((tmp_path / "all/images").iterdir()), shown, strict=True):
        with Image.open(path) as picture:
            np.testing.assert_array_equal(np.asarray(picture), rgb)


def test_masks_of_frames_come_along(tmp_path):
    """Of a stream from anywhere: as `Frame.mask`, not as files."""
    make_photos(tmp_path / "photos", (101, 180))
    wall = Wall(tmp_path / "photos", video=True)
    mask = np.ones((101, 180), bool)
    mask[:, :60] = False
    with Sinks({"export": ExportSink(tmp_path / "scene", formats=["nerfstudio"])}) as sinks:
        for result in wall.results():
            valid = result.valid & result.pixel_map.mask_to_image(mask)
            sinks.add(replace(result, frame=replace(result.frame, mask=mask), valid=valid))
    for path in (tmp_path / "scene/masks").iterdir():
        with Image.open(path) as written:
            np.testing.assert_array_equal(np.asarray(written.convert("L")) > 0, mask)
        assert (read_depth(tmp_path / "scene/depth" / path.name)[:, :60] == 0).all()
    assert len(list((tmp_path / "scene/masks").iterdir())) == 4


def test_chunks_that_were_moved_later_stand_where_they_are_now(tmp_path):
    """As when a loop closes: an earlier chunk is moved by a later result, another in the end."""
    make_photos(tmp_path / "photos", (101, 180))
    wall = Wall(tmp_path / "photos")
    sink = ExportSink(tmp_path / "path", formats=["kitti"])
    wrong = Similarity.identity().matrix()
    wrong[0, 3] = 7.0
    wrong = Similarity.from_matrix(wrong)
    for result in wall.results():
        moves = {1: Similarity.identity()} if result.number == 2 else {}
        sink.add(replace(result, chunk=1 + result.number // 2, world_from_chunk=wrong, moves=moves))
    sink.move(2, Similarity.identity())
    sink.finish()
    true = np.stack([upright(wall) @ wall.pose(number) for number in range(4)])
    np.testing.assert_allclose(read_kitti(tmp_path / "path/trajectory.kitti"), true, atol=1e-5)


def test_nothing_is_left_beside_and_nothing_is_written_without_frames(tmp_path):
    make_photos(tmp_path / "photos", (101, 180))
    export(Wall(tmp_path / "photos"), tmp_path / "scene")
    sink = ExportSink(tmp_path / "none")
    sink.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "scene"]


def test_a_stream_that_goes_on_is_refused(tmp_path):
    with pytest.raises(ValueError, match="goes on at frame 7; make it of the run's folder"):
        ExportSink(tmp_path / "scene").begin(7)
