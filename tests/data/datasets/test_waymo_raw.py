"""What is read of Waymo's files, and what is said of damaged ones."""

import re
import struct
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_preprocess import waymo_v1
from datasets_preprocess.crc32c import crc32c, masked
from datasets_preprocess.protobuf import Message, decode_varints
from datasets_preprocess.runner import run
from datasets_preprocess.tfrecord import read_records
from datasets_preprocess.waymo import CONVERTER
from datasets_preprocess.waymo_v1 import read_frames as read_v1
from datasets_preprocess.waymo_v2 import read_frames as read_v2
from tests.data.datasets.raw_waymo import (
    CONTEXT,
    SEGMENT,
    doubles,
    field,
    masked_crc,
    varint,
    write_records,
    write_v1,
    write_v2,
)
from tests.data.datasets.waymo_drive import drive

INT64 = st.integers(-(2**63), 2**63 - 1)


@pytest.fixture(scope="module")
def driven():
    return drive(3)


def test_both_versions_and_both_ways_to_store_numbers_give_the_same_frames(driven, tmp_path):
    write_v1(tmp_path, driven.frames[:2])
    (tmp_path / "packed").mkdir()
    write_v1(tmp_path / "packed", driven.frames[:2], packed=True)
    write_v2(tmp_path, driven.frames[:2], shuffle=3)
    first = list(read_v1(tmp_path / SEGMENT))
    for others in (read_v1(tmp_path / "packed" / SEGMENT), read_v2(tmp_path, CONTEXT)):
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


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content[:-3], r"is broken off: its record at byte \d+ ends at \d+, the file at \d+; download"),
        (lambda content: content + b"abc", r"is broken off: at byte \d+, 3 bytes are left"),
        (lambda content: b"", "is empty; download it again"),
        (lambda content: b"\1" + content[1:], "the record at byte 0 has a damaged length"),
        (
            lambda content: content[:12] + b"\7" + content[13:],
            r"the record at byte 0 is damaged \(its checksum does not fit\); download it again",
        ),
    ],
    ids=["cut", "more", "empty", "length", "content"],
)
def test_a_damaged_segment_is_named_with_its_place(change, reason, driven, tmp_path):
    path = write_v1(tmp_path / "raw", driven.frames[:3])
    path.write_bytes(change(path.read_bytes()))
    report = run(CONVERTER, tmp_path / "raw", tmp_path / "out")
    (failure,) = report.failures
    assert SEGMENT in failure.reason and re.search(reason, failure.reason)
    assert not list((tmp_path / "out").rglob("*.jpg")), "nothing of a segment that will not be whole"


def test_a_record_that_is_no_frame_is_named_with_its_place(tmp_path):
    write_records(tmp_path / SEGMENT, [b"\7abc"])
    with pytest.raises(ValueError, match=rf"{SEGMENT}: the record at byte 0 is no frame of Waymo v1 .*; download"):
        list(read_v1(tmp_path / SEGMENT))


def test_an_absurd_range_image_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(waymo_v1, "LARGEST_IMAGE", 1000)
    bomb = field(2, zlib.compress(bytes(10_000)))
    record = field(1, field(3, field(1, 1) + field(5, field(1, struct.pack("<16d", *np.eye(4).ravel())))))
    record += field(3, field(1, struct.pack("<16d", *np.eye(4).ravel()))) + field(5, field(1, 1) + field(2, bomb))
    write_records(tmp_path / SEGMENT, [record])
    with pytest.raises(ValueError, match="the range image of laser 1 is broken off, or larger than"):
        list(read_v1(tmp_path / SEGMENT))


def test_a_missing_component_is_named(driven, tmp_path):
    write_v2(tmp_path, driven.frames[:1])
    component(tmp_path, "lidar_pose").unlink()
    with pytest.raises(ValueError, match=f"lacks lidar_pose of segment {CONTEXT}; download"):
        list(read_v2(tmp_path, CONTEXT))


def test_a_component_with_the_columns_of_another_is_named(driven, tmp_path):
    write_v2(tmp_path, driven.frames[:1])
    component(tmp_path, "vehicle_pose").write_bytes(component(tmp_path, "camera_calibration").read_bytes())
    with pytest.raises(ValueError, match=r"vehicle_pose.*lacks the columns key.frame_timestamp_micros"):
        list(read_v2(tmp_path, CONTEXT))


def test_a_damaged_component_is_named(driven, tmp_path):
    write_v2(tmp_path, driven.frames[:1])
    path = component(tmp_path, "lidar")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"lidar/.*cannot be read .* download it again"):
        list(read_v2(tmp_path, CONTEXT))


def component(folder, name):
    return folder / name / f"{CONTEXT}.parquet"


def test_without_pyarrow_the_error_says_what_to_install(driven, tmp_path, monkeypatch):
    write_v2(tmp_path, driven.frames[:1])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r'need the package pyarrow .*pip install "cut3r\[preprocess\]"'):
        list(read_v2(tmp_path, CONTEXT))


def test_a_segment_keeps_its_name_in_both_versions(driven, tmp_path):
    write_v1(tmp_path / "training", driven.frames[:1])
    write_v2(tmp_path / "training", driven.frames[:1])
    (scene,) = CONVERTER.scenes(tmp_path)
    assert scene.name == SEGMENT and scene.facts["file"] == f"training/{SEGMENT}"


def test_checksums_are_those_of_the_definition():
    assert crc32c(b"123456789") == 0xE3069283
    rng = np.random.default_rng(0)
    for count in (0, 1, 3, 4, 5, 8, 63, 64, 65, 1023, 3000):
        data = rng.bytes(count)
        assert masked(crc32c(data)) == masked_crc(data), count


@given(numbers=st.lists(INT64, max_size=20))
def test_packed_numbers_come_back(numbers):
    assert decode_varints(b"".join(map(varint, numbers))).tolist() == numbers


@given(parts=st.lists(st.lists(INT64, min_size=1, max_size=3), max_size=5))
def test_numbers_may_be_packed_or_not_or_mixed(parts):
    data = b"".join(
        field(7, b"".join(map(varint, part))) if k % 2 else b"".join(field(7, number) for number in part)
        for k, part in enumerate(parts)
    )
    assert Message(data).integers(7).tolist() == [number for part in parts for number in part]


def test_fractions_may_be_packed_or_not():
    data = doubles(3, [1.5, -2]) + field(9, 4) + doubles(3, [0.25], packed=True) + field(4, struct.pack("<2f", 1, 2))
    assert Message(data).doubles(3).tolist() == [1.5, -2, 0.25]
    assert Message(data).floats(4).tolist() == [1, 2]
    assert not len(Message(data).doubles(5)) and Message(data).integer(5) == 0


def test_a_message_in_parts_is_merged():
    data = field(1, field(2, 5)) + field(1, field(3, b"abc"))
    assert Message(data).message(1).integer(2) == 5
    assert Message(data).message(1).text(3) == "abc"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (field(1, b"abc")[:-1], "field 1 of a message has 3 bytes, 2 are left"),
        (b"\xff" * 11, "a number of a message is broken off"),
        (varint(1 << 3 | 3), "stored in the way 3"),
        (varint(2 << 3 | 1) + b"1234", "field 2 of a message has 8 bytes, 4 are left"),
    ],
)
def test_what_is_no_message_is_refused(data, reason):
    with pytest.raises(ValueError, match=reason):
        Message(data)


def test_fields_of_another_kind_are_refused():
    message = Message(field(1, 5) + field(2, b"abc"))
    for read in (lambda: message.doubles(1), lambda: message.message(1), lambda: message.floats(2)):
        with pytest.raises(ValueError, match=r"field \d of a message holds something else; expected"):
            read()
    with pytest.raises(ValueError, match="the last of packed numbers is broken off"):
        decode_varints(b"\x01\x80")
    with pytest.raises(ValueError, match="a packed number has 11 bytes"):
        decode_varints(b"\x80" * 10 + b"\x01")


def test_a_missing_component_fails_its_segment_alone(driven, tmp_path):
    write_v2(tmp_path / "raw", driven.frames[:1])
    component(tmp_path / "raw", "lidar_pose").unlink()
    (failure,) = run(CONVERTER, tmp_path / "raw", tmp_path / "out").failures
    assert "lacks lidar_pose" in failure.reason
    write_v2(tmp_path / "raw", driven.frames[:1])
    assert run(CONVERTER, tmp_path / "raw", tmp_path / "out").complete, "the repaired download is noticed"
