"""ScanNet: .sens recordings and exported folders."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from eval.prepare import scannet as preparation
from eval.prepare.__main__ import main
from eval.prepare.runner import Order
from eval.prepare.sens import read_frames, read_header
from eval.sequences import open_set, scannet
from tests.eval.sequences.trees import camera_at, matrix_text, write, write_picture, write_values

LOST = np.full((4, 4), -np.inf)


def jpeg(level):
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(buffer, format="JPEG", quality=90)
    return buffer.getvalue()


def write_sens(path, count, *, units_per_metre=1000.0, lost=(), version=4, depth_codec=1):
    """Frame i: grey i, depth 1 m + i units, camera at x = i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<IQ", version, 9) + b"StructSen" + np.tile(np.eye(4, dtype="<f4"), (4, 1)).tobytes())
        file.write(struct.pack("<iiIIIIfQ", 2, depth_codec, 8, 8, 6, 4, units_per_metre, count))
        for i in range(count):
            depth = np.full((4, 6), units_per_metre + i, "<u2").tobytes()
            depth = zlib.compress(depth) if depth_codec == 1 else depth
            pose = (LOST if i in lost else camera_at(i + 1e-7)).astype("<f4")
            color = jpeg(i % 256)
            file.write(pose.tobytes() + struct.pack("<4Q", i, i, len(color), len(depth)) + color + depth)


def write_exported(folder, count, lost_depth=()):
    for i in range(count):
        write_picture(folder / f"color/{i}.jpg", i, (8, 8))
        if i not in lost_depth:
            write_values(folder / f"depth/{i}.png", np.full((4, 6), 1000 + i))
        write(folder / f"pose/{i}.txt", matrix_text(LOST if i == 3 else camera_at(i)))


def prepare(raw, out, *flags):
    return main(["scannet", "--raw", str(raw), "--out", str(out), *flags])


def read_first(out, name="scannet"):
    return open_set("relpose", name, out, complete=False)[0]


def test_every_third_frame_of_a_recording(tmp_path):
    write_sens(tmp_path / "raw/scans_test/scene0707_00/scene0707_00.sens", 300, lost=[6])
    assert prepare(tmp_path / "raw", tmp_path) == 1  # ninety-nine scans are not there
    sequence = read_first(tmp_path)
    assert len(sequence) == 90 and sequence.name == "scene0707_00"
    known = sequence.known_cameras()
    assert np.flatnonzero(~known).tolist() == [2]
    np.testing.assert_allclose(sequence.world_from_cam[known, 0, 3], np.delete(np.arange(0, 270, 3), 2), atol=1e-6)
    assert sequence.images[30].read_bytes() == jpeg(90)  # as recorded
    with Image.open(tmp_path / "scannetv2/scene0707_00/depth_90/frame_0030.png") as image:
        assert np.asarray(image).tolist() == np.full((4, 6), 1090).tolist()


def test_a_long_variant_of_a_recording(tmp_path, caplog):
    caplog.set_level("INFO")
    write_sens(tmp_path / "raw/scene0707_00/scene0707_00.sens", 50)
    prepare(tmp_path / "raw", tmp_path, "--frames", "100")
    assert len(read_first(tmp_path, "scannet_s3_100")) == 16  # 50 // 3; a 17th, frame 48, would not be a whole step
    assert "1 made now, 0 already there, 99 failed" in caplog.text
    assert "scene0806_00: FileNotFoundError: there is no folder scene0806_00" in caplog.text


def test_exported_poses_have_six_decimals_and_pictures_are_written_again_with_parity(tmp_path):
    write_sens(tmp_path / "raw/scene0707_00/scene0707_00.sens", 30)
    prepare(tmp_path / "raw", tmp_path, "--frames", "10", "--parity")
    sequence = read_first(tmp_path, "scannet_s3_10")
    np.testing.assert_array_equal(sequence.world_from_cam[:, 0, 3], np.arange(0, 30, 3))
    assert sequence.images[5].read_bytes() != jpeg(15)


@pytest.mark.parametrize("depth_codec", [0, 1])
def test_depth_is_stored_in_millimetres_whatever_the_unit(tmp_path, depth_codec):
    write_sens(tmp_path / "a.sens", 4, units_per_metre=5000, depth_codec=depth_codec)
    with (tmp_path / "a.sens").open("rb") as file:
        frames = list(read_frames(file, read_header(file), range(0, 4, 3)))
    assert [frame.depth_mm[0, 0] for frame in frames] == [1000, 1001]


def test_a_damaged_recording_is_refused(tmp_path):
    write_sens(tmp_path / "old.sens", 1, version=3)
    write_sens(tmp_path / "odd.sens", 1, depth_codec=2)
    write_sens(tmp_path / "short.sens", 3)
    whole = (tmp_path / "short.sens").read_bytes()
    (tmp_path / "short.sens").write_bytes(whole[:-1])
    for name, message in (("old", "version 3; expected 4"), ("odd", "depth codec 2"), ("short", "ends too early")):
        with (tmp_path / f"{name}.sens").open("rb") as file, pytest.raises(ValueError, match=message):
            list(read_frames(file, read_header(file), range(3)))


def test_exported_folders_are_joined_by_number_and_zipped_with_parity(tmp_path):
    write_exported(tmp_path / "raw/scene0707_00", 30, lost_depth=[2])
    prepare(tmp_path / "raw", tmp_path, "--frames", "9")
    sequence = read_first(tmp_path, "scannet_s3_9")
    np.testing.assert_array_equal(sequence.world_from_cam[:3, 0, 3], [0, 4, 7])
    assert depth_numbers(tmp_path) == [0, 4, 7]
    prepare(tmp_path / "raw", tmp_path, "--frames", "9", "--parity")
    assert depth_numbers(tmp_path) == [0, 4, 7]
    sequence = read_first(tmp_path, "scannet_s3_9")
    assert np.flatnonzero(~sequence.known_cameras()).tolist() == [1]  # pose 3 beside depth 4
    np.testing.assert_array_equal(sequence.world_from_cam[2, 0, 3], 6)


def depth_numbers(out):
    folder = scannet.folder_of(out, 9) / "scene0707_00/depth_9"
    return [int(np.asarray(Image.open(path))[0, 0]) - 1000 for path in sorted(folder.iterdir())[:3]]


def test_a_scan_that_is_too_short_is_refused(tmp_path):
    write_exported(tmp_path / "scene0707_00", 12)
    hidden = tuple(tmp_path / name for name in ("d", "p", "c"))
    with pytest.raises(ValueError, match="gives 4 frames at step 3; expected 90"):
        preparation.make(Order(tmp_path, tmp_path), "scene0707_00", hidden)


def test_numbers_sort_as_numbers(tmp_path):
    write_exported(tmp_path / "raw/scene0707_00", 12)
    prepare(tmp_path / "raw", tmp_path, "--frames", "4")
    world_from_cam = read_first(tmp_path, "scannet_s3_4").world_from_cam
    assert np.isneginf(world_from_cam[1]).all() and world_from_cam[[0, 2, 3], 0, 3].tolist() == [0, 6, 9]
