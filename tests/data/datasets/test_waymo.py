import json
import re
import struct
import sys
import zlib
from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.spatial import cKDTree

from cut3r.data.datasets.waymo import Waymo
from datasets_preprocess.runner import run
from datasets_preprocess.tfrecord import read_records
from datasets_preprocess.waymo import CONVERTER, WaymoOptions
from datasets_preprocess.waymo_v1 import read_frames as read_v1
from datasets_preprocess.waymo_v2 import read_frames as read_v2
from tests.data.datasets.raw_waymo import CONTEXT, SEGMENT, bitwise_crc, field, write_records, write_v1, write_v2
from tests.data.datasets.waymo_drive import drive

FRAMES = 6
SIDES = (1, 2)


@pytest.fixture(scope="module")
def driven():
    return drive(FRAMES)


@pytest.fixture(scope="module", params=["v1", "v2"])
def raw(request, driven, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write_v1(folder, driven.frames, sums=False) if request.param == "v1" else write_v2(folder, driven.frames)
    return folder


def convert(raw, out, **options):
    return run(CONVERTER, raw, out, options=WaymoOptions(check=False), **options)


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


def test_the_original_misses_what_moves_and_bends(driven, raw, tmp_path):
    """The law above has teeth: 08_waymo.md quirks 3 and 4 break it."""
    assert convert(raw, tmp_path / "out", parity=True).complete
    with h5py.File(tmp_path / "out" / "invalid_files.h5", "w"):
        pass
    dataset = open_waymo(tmp_path / "out", parity=True)
    errors = [pixels for _, _, pixels, _ in misplaced(driven, dataset)]
    assert np.percentile(np.concatenate(errors), 90) > 2


def test_both_versions_and_both_ways_to_store_numbers_give_the_same_frames(driven, tmp_path):
    write_v1(tmp_path, driven.frames[:2], sums=False)
    (tmp_path / "packed").mkdir()
    write_v1(tmp_path / "packed", driven.frames[:2], packed=True)
    write_v2(tmp_path, driven.frames[:2], shuffle=3)
    first = list(read_v1(tmp_path / SEGMENT, check=False))
    for others in (read_v1(tmp_path / "packed" / SEGMENT, check=False), read_v2(tmp_path, CONTEXT)):
        for frame, other, true in zip(first, others, driven.frames, strict=False):
            same_frames(frame, other)
            same_frames(frame, true)


def same_frames(frame, other):
    assert frame.number == other.number
    np.testing.assert_array_equal(frame.world_from_vehicle, other.world_from_vehicle)
    assert frame.cameras.keys() == other.cameras.keys()
    for name, camera in frame.cameras.items():
        assert camera.size == other.cameras[name].size
        for what in ("intrinsics", "distortion", "vehicle_from_cam"):
            np.testing.assert_array_equal(getattr(camera, what), getattr(other.cameras[name], what))
    for picture, second in zip(frame.pictures, other.pictures, strict=True):
        assert (picture.camera, picture.jpeg) == (second.camera, second.jpeg)
        np.testing.assert_array_equal(picture.world_from_vehicle, second.world_from_vehicle)
    for sweep, second in zip(frame.sweeps, other.sweeps, strict=True):
        assert sweep.laser.name == second.laser.name
        h = len(sweep.ranges)
        np.testing.assert_allclose(sweep.laser.row_inclinations(h), second.laser.row_inclinations(h), rtol=1e-12)
        np.testing.assert_array_equal(sweep.ranges, second.ranges)
        np.testing.assert_array_equal(sweep.projections, second.projections)
        assert (sweep.pixel_poses is None) == (second.pixel_poses is None)
        if sweep.pixel_poses is not None:
            np.testing.assert_allclose(sweep.pixel_poses, second.pixel_poses, rtol=1e-6)


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
    report = run(CONVERTER, tmp_path / "raw", tmp_path / "out", options=WaymoOptions(check=False, min_pixels=0))
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
    convert(tmp_path / "raw", tmp_path / "out")
    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "out" / ".status").glob("*.json"))
    assert "none of its 6 pictures is usable; 00000_1: 0 pixels have depth" in record["reason"]


def test_checksums_find_a_damaged_record_and_name_its_place(tmp_path):
    path = tmp_path / SEGMENT
    write_records(path, [field(2, 7), field(2, 8) * 40, b""])
    second = 12 + 2 + 4
    content = bytearray(path.read_bytes())
    content[second + 12 + 5] ^= 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{SEGMENT}: the record at byte {second} is damaged .* download it again"):
        list(read_records(path))
    assert [data for _, data in read_records(path, check=False)][2] == b""


def damaged(driven, folder, change):
    path = write_v1(folder / "raw", driven.frames[:3])
    path.write_bytes(change(path.read_bytes()))
    report = convert(folder / "raw", folder / "out")
    assert not report.complete
    assert not list((folder / "out").rglob("*.jpg")) or "is no frame" in str(report)
    return str(report)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content[:-3], r"is broken off: its record at byte \d+ ends at \d+, the file at \d+; download"),
        (lambda content: content + b"abc", r"is broken off: at byte \d+, 3 bytes are left"),
        (lambda content: b"", "is empty; download it again"),
        (lambda content: b"\1" + content[1:], "the record at byte 0 has a damaged length"),
        (lambda content: content[:12] + b"\7" + content[13:], "the record at byte 0 is no frame of Waymo v1"),
    ],
    ids=["cut", "more", "empty", "length", "content"],
)
def test_a_damaged_segment_is_named_with_its_place(change, reason, driven, tmp_path):
    assert re.search(reason, damaged(driven, tmp_path, change))


def test_an_absurd_range_image_is_refused(driven, tmp_path):
    bomb = field(2, zlib.compress(bytes(1 << 27)))
    record = field(1, field(3, field(1, 1) + field(5, field(1, struct.pack("<16d", *np.eye(4).ravel())))))
    record += field(3, field(1, struct.pack("<16d", *np.eye(4).ravel()))) + field(5, field(1, 1) + field(2, bomb))
    write_records(tmp_path / SEGMENT, [record], sums=False)
    with pytest.raises(ValueError, match="the range image of laser 1 is broken off, or larger than"):
        list(read_v1(tmp_path / SEGMENT, check=False))


def test_missing_components_and_columns_are_named(driven, tmp_path):
    write_v2(tmp_path, driven.frames[:1])
    (tmp_path / "lidar_pose" / f"{CONTEXT}.parquet").unlink()
    with pytest.raises(ValueError, match=f"lacks lidar_pose of segment {CONTEXT}; download"):
        list(read_v2(tmp_path, CONTEXT))
    write_v2(tmp_path, driven.frames[:1])
    (tmp_path / "vehicle_pose" / f"{CONTEXT}.parquet").write_bytes(
        (tmp_path / "camera_calibration" / f"{CONTEXT}.parquet").read_bytes()
    )
    with pytest.raises(ValueError, match=r"vehicle_pose.*lacks the columns key.frame_timestamp_micros"):
        list(read_v2(tmp_path, CONTEXT))
    (tmp_path / "lidar" / f"{CONTEXT}.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"cannot be read .* download it again"):
        write_v2_keeps_lidar(tmp_path, driven)


def write_v2_keeps_lidar(folder, driven):
    broken = (folder / "lidar" / f"{CONTEXT}.parquet").read_bytes()
    write_v2(folder, driven.frames[:1])
    (folder / "lidar" / f"{CONTEXT}.parquet").write_bytes(broken)
    list(read_v2(folder, CONTEXT))


def test_without_pyarrow_the_error_says_what_to_install(driven, tmp_path, monkeypatch):
    write_v2(tmp_path, driven.frames[:1])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r'need the package pyarrow .*pip install "cut3r\[preprocess\]"'):
        list(read_v2(tmp_path, CONTEXT))


def test_camera_4_takes_smaller_steps_and_camera_5_is_never_read(driven, tmp_path):
    renamed = {1: 4, 2: 5}
    frames = [
        replace(
            frame,
            cameras={renamed[name]: replace(camera, name=renamed[name]) for name, camera in frame.cameras.items()},
            pictures=tuple(replace(picture, camera=renamed[picture.camera]) for picture in frame.pictures),
            sweeps=tuple(
                replace(sweep, projections=sweep.projections + np.where(sweep.projections > 0, 3, 0) * [1, 0, 0, 1, 0, 0])
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


def test_a_segment_keeps_its_name_in_both_versions(driven, tmp_path):
    write_v1(tmp_path / "training", driven.frames[:1])
    write_v2(tmp_path / "training", driven.frames[:1])
    (scene,) = CONVERTER.scenes(tmp_path)
    assert scene.name == SEGMENT and scene.facts["file"] == f"training/{SEGMENT}"


def test_checksums_are_those_of_the_definition():
    from datasets_preprocess.crc32c import crc32c, masked

    assert crc32c(b"123456789") == 0xE3069283
    rng = np.random.default_rng(0)
    for count in (0, 1, 3, 4, 5, 8, 63, 64, 65, 1023, 3000):
        data = rng.bytes(count)
        assert masked(crc32c(data)) == bitwise_crc(data), count
