import json
import re
from dataclasses import replace

import cv2
import h5py
import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cut3r.data.datasets.waymo import Waymo
from cut3r.io.depth import read_depth
from datasets_preprocess.runner import run
from datasets_preprocess.verify import verify
from datasets_preprocess.waymo import CONVERTER, WaymoOptions
from datasets_preprocess.waymo_frames import Camera, Laser, Picture, Sweep, WaymoFrame
from datasets_preprocess.waymo_lidar import Points, Seen, frame_points, seen_by
from datasets_preprocess.waymo_pictures import View
from datasets_preprocess.waymo_v1 import read_frames as read_v1
from tests.data.datasets.raw_waymo import SEGMENT, write_v1, write_v2
from tests.data.datasets.recorded import load_views, unpack
from tests.data.datasets.waymo_drive import CAMERAS, drive, rigid

FRAMES = 6
SIDES = (1, 2)


@pytest.fixture(scope="module")
def driven():
    return drive(FRAMES)


@pytest.fixture(scope="module", params=["v1", "v2"])
def raw(request, driven, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write_v1(folder, driven.frames) if request.param == "v1" else write_v2(folder, driven.frames)
    return folder


def convert(raw, out, **options):
    return run(CONVERTER, raw, out, **options)


def open_waymo(out, **options):
    return Waymo(out, **{"num_views": 3, "sizes": [(48, 64)], **options})


def misplaced(driven, dataset):
    """Of every pixel with depth: how far it is from the nearest laser point of its frame, in pixels of the raw picture,
    and how far that point's depth is from the pixel's, relative."""
    for scene in dataset.scenes:
        for position, name in enumerate(scene.frames):
            frame = dataset.read(scene, position)
            row, column = np.nonzero(frame.depth)
            depth = frame.depth[row, column].astype(np.float64)
            rays = np.stack((column, row, np.ones_like(row)), axis=-1) @ np.linalg.inv(frame.intrinsics).T
            pose = frame.world_from_cam
            true = driven.points_world[int(name[:5])]
            points_cam = (true - pose[:3, 3]) @ pose[:3, :3]
            distance, nearest = cKDTree(points_cam).query(rays * depth[:, None])
            scale = 512 / 160
            pixels = distance / depth * frame.intrinsics[0, 0] / scale
            yield scene, frame, pixels, np.abs(points_cam[nearest, 2] - depth) / depth


def test_points_come_back_to_within_the_rounding_of_pixels(driven, raw, tmp_path):
    assert convert(raw, tmp_path / "out").complete
    dataset = open_waymo(tmp_path / "out")
    assert [scene.name for scene in dataset.scenes] == [f"{SEGMENT}/1", f"{SEGMENT}/2"]
    for scene, frame, pixels, depth in misplaced(driven, dataset):
        assert len(scene.frames) == FRAMES
        assert frame.size == (384, 512)
        assert len(pixels) > 150, "points are lost"
        assert pixels.max() < 1.0, "half a pixel of the raw picture and half a stored one, in both directions"
        assert np.median(depth) < 1e-4


def test_default_points_are_those_of_the_recording(tmp_path):
    values = {name: array for name, array in load_views("waymo").items() if name.startswith("default/")}
    raw = unpack("waymo", "raw", tmp_path)
    checked = 0
    for segment in sorted({name.split("/")[1].split("_")[0] for name in values}):
        for frame in read_v1(raw / f"{segment}_with_camera_labels.tfrecord"):
            points = frame_points(frame)
            for picture in frame.pictures:
                expected = values.get(f"default/{segment}_{frame.number:05d}_{picture.camera}_xyz")
                if expected is None:
                    continue
                seen = seen_by(frame.cameras[picture.camera], picture, frame, points)
                ours = np.column_stack((seen.pixels, seen.depth))
                np.testing.assert_allclose(by_place(ours), by_place(expected), rtol=1e-5)
                checked += 1
    assert checked == len(values) > 0


def by_place(rows):
    return rows[np.lexsort(rows.T)]


def test_default_depth_is_the_nearest_of_the_recorded_points(tmp_path):
    raw, name = unpack("waymo", "raw", tmp_path), "segment-000_with_camera_labels.tfrecord"
    run(CONVERTER, raw, tmp_path / "out")
    for number, frame in zip(range(2), read_v1(raw / name), strict=False):
        rows = load_views("waymo")[f"default/segment-000_{number:05d}_1_xyz"]
        with np.load(tmp_path / "out" / name / f"{number:05d}_1.npz") as stored:
            intrinsics = stored["intrinsics"]
            assert not stored["distortion"].any(), "the stored picture has none"
        camera = frame.cameras[1]
        pixels = cv2.undistortPoints(rows[:, None, :2], camera.intrinsics, camera.distortion, P=intrinsics)[:, 0]
        expected = np.zeros((384, 512))
        for z, (x, y) in sorted(zip(-rows[:, 2], pixels.round().astype(int).tolist(), strict=True)):
            if 0 <= x < 512 and 0 <= y < 384:
                expected[y, x] = -z
        ours = read_depth(tmp_path / "out" / name / "depth" / f"{number:05d}_1.npz")
        np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_a_laser_point_is_where_the_description_says():
    laser = Laser(
        2, np.array([-0.3, -0.2, -0.1, 0.05]), (0, 0), rigid(Rotation.from_euler("z", np.pi / 6), (1.4, 0, 2.2))
    )
    ranges, projections = np.zeros((4, 8)), np.zeros((4, 8, 6), int)
    ranges[1, 2], projections[1, 2, 0] = 10, 1
    world_from_vehicle = rigid(Rotation.from_euler("ZYX", [0.5, 0.02, 0.01]), (1000, 2000, 30))
    frame = WaymoFrame(0, world_from_vehicle, {}, (), (Sweep(laser, ranges, projections),))
    np.testing.assert_allclose(frame_points(frame).xyz, [[5.207716, 9.192640, 1.201666]], atol=1e-6)
    poses = np.broadcast_to([0.01, 0.02, 0.51, 1000.3, 2000.1, 30], (4, 8, 6))
    roof = Sweep(replace(laser, name=1), ranges, projections, poses)
    np.testing.assert_allclose(
        frame_points(replace(frame, sweeps=(roof,))).xyz, [[5.426828, 9.188480, 1.206090]], atol=1e-6
    )
    camera = Camera(1, (48, 64), np.eye(3), np.zeros(5), rigid(Rotation.from_euler("z", np.pi / 4), (1.5, 0.1, 2.1)))
    seen = seen_by(
        camera, Picture(1, b"", world_from_vehicle), frame, Points(np.array([[10.0, 12, 1]]), projections[1:2, 2])
    )
    np.testing.assert_allclose(seen.depth, [14.424978], atol=1e-6)


def test_the_picture_loses_the_bend_of_its_lens():
    camera = CAMERAS[1]
    h, w = camera.size
    grid = np.stack(np.meshgrid(np.arange(w, dtype=float), np.arange(h, dtype=float)), axis=-1).reshape(-1, 1, 2)
    rays = cv2.undistortPoints(grid, camera.intrinsics, camera.distortion, criteria=(3, 100, 1e-12)).reshape(h, w, 2)
    view = View.of(camera, 512)
    picture = view.picture(coloured(rays))
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    straight = (np.stack((x, y, np.ones_like(x)), axis=-1) @ np.linalg.inv(view.intrinsics).T)[..., :2]
    inside = (slice(8, -8), slice(8, -8))
    assert np.abs(picture[inside].astype(int) - coloured(straight)[inside]).max() <= 4
    bent = View.of(camera, 512, parity=True).picture(coloured(rays))
    assert np.abs(bent[inside].astype(int) - coloured(straight)[inside]).max() > 8, "the bend can be seen"


def coloured(rays):
    x, y = np.moveaxis(rays, -1, 0)
    colours = np.stack((128 + 220 * x, 128 + 220 * y, 128 + 0 * x), axis=-1)
    return colours.round().clip(0, 255).astype(np.uint8)


def test_of_points_on_one_pixel_the_nearest_stays_and_those_outside_are_dropped():
    view = View.of(Camera(1, (30, 40), np.array([[40.0, 0, 20], [0, 40, 15], [0, 0, 1]]), np.zeros(5), np.eye(4)), 40)
    seen = Seen(np.array([[3.0, 4], [3, 4], [3, 4], [40, 5], [-1, 29]]), np.array([7.0, 5, 9, 2, 3]))
    depth = view.depth(seen)
    assert depth[4, 3] == 5 and (depth > 0).sum() == 1
    parity = view.depth(seen, parity=True)
    assert parity[4, 3] == 9 and parity[5, 39] == 2 and parity[29, 0] == 3


def test_what_was_converted_passes_verification_also_after_a_change_of_mode(driven, tmp_path):
    write_v1(tmp_path / "raw", driven.frames)
    for parity in (True, False):
        assert convert(tmp_path / "raw", tmp_path / "out", parity=parity).complete
        if parity:
            with h5py.File(tmp_path / "out" / "invalid_files.h5", "w"):
                pass
        verification = verify("waymo", tmp_path / "out", converter=CONVERTER)
        assert not verification.problems and not verification.without_depth, str(verification)
        assert (verification.scenes, verification.frames) == (2, 2 * FRAMES)
        assert len(list((tmp_path / "out" / SEGMENT).glob("*.exr"))) == (2 * FRAMES if parity else 0)


def test_the_original_misses_what_moves_and_bends(driven, raw, tmp_path):
    """The law above has teeth: 08_waymo.md quirks 3 and 4 break it."""
    assert convert(raw, tmp_path / "out", parity=True).complete
    with h5py.File(tmp_path / "out" / "invalid_files.h5", "w"):
        pass
    dataset = open_waymo(tmp_path / "out", parity=True)
    errors = [pixels for _, _, pixels, _ in misplaced(driven, dataset)]
    assert np.percentile(np.concatenate(errors), 90) > 2


def test_a_frame_that_moves_away_or_shows_too_little_is_not_used(driven, tmp_path):
    frames = list(driven.frames)
    far = frames[3].world_from_vehicle.copy()
    far[:2, 3] += 8
    pictures = tuple(replace(picture, world_from_vehicle=far) for picture in frames[3].pictures)
    frames[3] = replace(frames[3], pictures=pictures)
    bare = tuple(replace(sweep, ranges=np.zeros_like(sweep.ranges)) for sweep in frames[1].sweeps)
    frames[1] = replace(frames[1], sweeps=bare)
    write_v1(tmp_path / "raw", frames)
    assert convert(tmp_path / "raw", tmp_path / "out").complete
    listed = json.loads((tmp_path / "out" / "invalid_frames.json").read_text())[SEGMENT]
    assert listed["00001_1"].startswith("0 pixels")
    assert "jumped" in listed["00003_1"] and "jumped" in listed["00004_1"], "there and back"
    kept = tuple(f"{n:05d}_1" for n in (0, 2, 5))
    scenes = open_waymo(tmp_path / "out").scenes
    assert tuple(scenes[0].frames) == kept
    with h5py.File(tmp_path / "out" / "invalid_files.h5", "w") as file:
        file[f"{SEGMENT}/invalid_pairs"] = np.array([b"1_00002", b"2_00000"])
    scenes = open_waymo(tmp_path / "out").scenes
    assert tuple(scenes[0].frames) == tuple(f"{n:05d}_1" for n in (0, 1, 3, 4, 5)), "the published list goes first"
    assert len(scenes[1].frames) == FRAMES - 1


def test_a_step_counts_per_frame_also_where_pictures_are_missing(driven, tmp_path):
    frames = [replace(frame, pictures=()) if frame.number == 2 else frame for frame in driven.frames]
    write_v1(tmp_path / "raw", frames)
    convert(tmp_path / "raw", tmp_path / "out", options=WaymoOptions(max_step_m=2.0))  # the vehicle makes 1.5
    assert all(len(scene.frames) == FRAMES - 1 for scene in open_waymo(tmp_path / "out").scenes)


def test_the_original_needs_its_list_of_invalid_frames(driven, tmp_path):
    write_v1(tmp_path / "raw", driven.frames[:3])
    convert(tmp_path / "raw", tmp_path / "out", parity=True)
    with pytest.raises(FileNotFoundError, match=re.escape("invalid_files.h5, which the original needs; download")):
        open_waymo(tmp_path / "out", parity=True)
    assert len(open_waymo(tmp_path / "out").scenes) == 2


def test_what_a_frame_lacks_does_not_harm_the_others(driven, tmp_path):
    frames = list(driven.frames)
    frames[1] = replace(frames[1], pictures=frames[1].pictures[1:])
    frames[2] = replace(frames[2], pictures=())
    roof, bumper = frames[3].sweeps
    none = {"ranges": np.zeros((0, 0), np.float32), "projections": np.zeros((0, 0, 6), np.int32)}
    frames[3] = replace(frames[3], sweeps=(replace(roof, ranges=-np.abs(roof.ranges)), bumper))
    frames[4] = replace(frames[4], sweeps=(roof, replace(bumper, **none)))
    broken = replace(frames[5].pictures[0], jpeg=frames[5].pictures[0].jpeg[:50])
    frames[5] = replace(frames[5], pictures=(broken, frames[5].pictures[1]))
    write_v1(tmp_path / "raw", [replace(f, sweeps=() if n == 3 else f.sweeps) for n, f in enumerate(frames)])
    report = run(CONVERTER, tmp_path / "raw", tmp_path / "out", options=WaymoOptions(min_pixels=0))
    assert report.complete, str(report)
    scenes = open_waymo(tmp_path / "out", num_views=1).scenes
    assert [list(scene.frames) for scene in scenes] == [
        [f"{n:05d}_1" for n in (0, 3, 4)],
        [f"{n:05d}_2" for n in (0, 1, 3, 4, 5)],
    ]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_segment_without_lasers_is_left_out_with_the_reason(version, driven, tmp_path):
    frames = [replace(frame, sweeps=()) for frame in driven.frames[:3]]
    write_v1(tmp_path / "raw", frames) if version == "v1" else write_v2(tmp_path / "raw", frames)
    (record,) = convert(tmp_path / "raw", tmp_path / "out").left_out
    assert "no laser sees anything in any of its 6 pictures" in record.reason


def test_camera_4_takes_smaller_steps_and_camera_5_is_never_read(driven, tmp_path):
    renamed = {1: 4, 2: 5}
    frames = [
        replace(
            frame,
            cameras={renamed[name]: replace(camera, name=renamed[name]) for name, camera in frame.cameras.items()},
            pictures=tuple(replace(picture, camera=renamed[picture.camera]) for picture in frame.pictures),
            sweeps=tuple(
                replace(
                    sweep, projections=sweep.projections + np.where(sweep.projections > 0, 3, 0) * [1, 0, 0, 1, 0, 0]
                )
                for sweep in frame.sweeps
            ),
        )
        for frame in driven.frames
    ]
    write_v1(tmp_path / "raw", frames)
    assert convert(tmp_path / "raw", tmp_path / "out").complete
    assert (tmp_path / "out" / SEGMENT / "00000_5.jpg").is_file()
    dataset = open_waymo(tmp_path / "out")
    (scene,) = dataset.scenes
    assert scene.name == f"{SEGMENT}/4" and scene.facts["camera"] == 4
    assert dataset.policy_of(scene).max_interval == 4
    assert len(dataset) == FRAMES - 2
