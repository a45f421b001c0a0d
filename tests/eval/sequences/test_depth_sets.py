"""Sintel, Bonn, KITTI and NYU: the recorded miniature, complete and incomplete sets, pairing."""

import logging

import numpy as np
import pytest

from eval.sequences import MissingDataError, bonn, kitti, nyu, open_set, sintel
from tests.eval.sequences.trees import touch, unzip_golden, write_values


@pytest.fixture
def miniature(golden, tmp_path):
    return unzip_golden(golden, tmp_path)


def make_sintel(root):
    for name, count in sintel.FRAMES.items():
        for number in range(1, count + 1):
            touch(root / f"sintel/training/final/{name}/frame_{number:04d}.png")
            touch(root / f"sintel/training/depth/{name}/frame_{number:04d}.dpt")


def make_kitti(root, frames=None):
    images, depths = kitti.folders_of(root, frames)
    for drive, known in kitti.DRIVES.items():
        for number in range(5, 5 + min(frames or known, known)):
            touch(images / f"{drive}_sync_02/{number:010d}.png")
            touch(depths / f"{drive}_sync_02/{number:010d}.png")


def make_bonn(root, frames=None, count=110, gap_s=0.01):
    for name in bonn.SEQUENCES:
        folder = bonn.folder_of(root, frames) / f"rgbd_bonn_{name}"
        for number in range(count):
            touch(folder / f"rgb_{frames or 110}/{1548266469 + number / 30:.5f}.png")
            touch(folder / f"depth_{frames or 110}/{1548266469 + number / 30 + gap_s:.5f}.png")


@pytest.mark.parametrize(("name", "dtype"), [("sintel", "float32"), ("bonn", "float64"), ("kitti", "float64")])
def test_depth_is_what_the_reference_reads(golden, miniature, name, dtype):
    sequence = {"sintel": "alley_2", "bonn": "crowd2", "kitti": "2011_09_26_drive_0002_sync_02"}[name]
    with np.load(miniature.parent / "expected" / "readers.npz") as expected:
        wanted = expected[name]
    found = {each.name: each for each in open_set("video_depth", name, miniature, complete=False)}
    depth = found[sequence].read_depth(0)
    assert depth.dtype == wanted.dtype == dtype
    np.testing.assert_array_equal(depth, wanted)


def test_depth_of_nyu_is_the_array(miniature):
    (sequence,) = open_set("monodepth", "nyu", miniature, complete=False)
    wanted = np.load(miniature / "nyu-v2/val/nyu_depths/00002.npy")
    assert (sequence.name, len(sequence), sequence.stems) == ("nyu", 3, ("00001", "00002", "00003"))
    np.testing.assert_array_equal(sequence.read_depth(1), wanted.astype(np.float32))


@pytest.mark.parametrize(("name", "count"), [("sintel", 14), ("bonn", 5), ("kitti", 3)])
def test_a_miniature_is_used_only_if_one_says_so(miniature, name, count, caplog):
    with pytest.raises(MissingDataError, match="to score what is there, set complete: false"):
        open_set("video_depth", name, miniature)
    with caplog.at_level(logging.WARNING):
        assert len(open_set("video_depth", name, miniature, complete=False)) == count
    assert f"the {count} sequences that are there are used" in caplog.text


def test_the_message_names_what_is_missing_and_where_to_get_it(miniature, tmp_path):
    with pytest.raises(MissingDataError) as caught:
        open_set("monodepth", "bonn", miniature)
    message = str(caught.value)
    assert "5 missing: balloon2 (2 of 110 frames), crowd2 (2 of 110 frames)" in message
    assert f"python -m eval.prepare bonn --raw DOWNLOAD --out {miniature}" in message
    with pytest.raises(
        MissingDataError, match=r"bamboo_1 with depth \(0 of 50 frames\), .*and 13 more; get MPI.*/sintel$"
    ):
        open_set("monodepth", "sintel", tmp_path / "empty")
    with pytest.raises(MissingDataError, match=r"--out \S+ --frames 300"):
        open_set("video_depth", "bonn_s1_300", tmp_path / "empty", complete=False)


def test_the_complete_sets_have_the_published_sizes_and_nothing_is_decoded(tmp_path):
    make_sintel(tmp_path)
    make_kitti(tmp_path)
    make_bonn(tmp_path)
    for number in range(654):
        touch(tmp_path / f"nyu-v2/val/nyu_images/{number:05d}.png")
        touch(tmp_path / f"nyu-v2/val/nyu_depths/{number:05d}.npy")
    sizes = {}
    for name in ("sintel", "bonn", "kitti", "nyu"):
        sequences = open_set("monodepth", name, tmp_path)
        sizes[name] = (len(sequences), sum(map(len, sequences)))
    assert sizes == {"sintel": (23, 1064), "bonn": (5, 550), "kitti": (13, 1269), "nyu": (1, 654)}


def test_one_missing_frame_is_noticed(tmp_path):
    make_sintel(tmp_path)
    (tmp_path / "sintel/training/depth/cave_2/frame_0007.dpt").unlink()
    with pytest.raises(
        MissingDataError, match=r"the partner of final/cave_2/frame_0007.png, cave_2 with depth \(49 of"
    ):
        open_set("video_depth", "sintel", tmp_path)
    sequences = open_set("video_depth", "sintel", tmp_path, complete=False)
    (cave,) = (each for each in sequences if each.name == "cave_2")
    assert "frame_0007" not in cave.stems and len(cave) == 49


def test_a_missing_picture_shifts_the_pairs_with_parity_alone(miniature):
    drive = "2011_09_28_drive_0037_sync_02"
    images, depths = kitti.folders_of(miniature, None)
    (images / drive / "0000000006.png").unlink()
    last = kitti.read_depth(depths / drive / "0000000007.png")
    by_name, by_order = (
        next(
            each
            for each in open_set("video_depth", "kitti", miniature, complete=False, parity=parity)
            if each.name == drive
        )
        for parity in (False, True)
    )
    assert by_name.stems == by_order.stems == ("0000000005", "0000000007")
    np.testing.assert_array_equal(by_name.read_depth(1), last)
    assert not np.array_equal(by_order.read_depth(1), last)


def test_long_variants_end_where_their_sequence_ends(tmp_path):
    make_kitti(tmp_path, 200)
    lengths = {each.name: len(each) for each in open_set("video_depth", "kitti_s1_200", tmp_path)}
    assert lengths["2011_09_26_drive_0002_sync_02"] == 67 and lengths["2011_09_26_drive_0005_sync_02"] == 110
    make_bonn(tmp_path, 50, count=50)
    assert {len(each) for each in open_set("video_depth", "bonn_s1_50", tmp_path)} == {50}
    make_bonn(tmp_path, 300, count=70)
    with pytest.raises(MissingDataError, match="70 of 110"):
        open_set("video_depth", "bonn_s1_300", tmp_path)


def test_too_many_frames_are_no_complete_set(tmp_path):
    make_bonn(tmp_path, count=120)
    with pytest.raises(MissingDataError, match="120 of 110"):
        open_set("video_depth", "bonn", tmp_path)


def test_pictures_and_depth_that_drifted_apart_are_reported(tmp_path, caplog):
    make_bonn(tmp_path, gap_s=0.2)
    open_set("video_depth", "bonn", tmp_path, parity=True)
    assert not caplog.records
    open_set("video_depth", "bonn", tmp_path)
    assert "up to 0.200 s apart" in caplog.text


def test_eight_bit_depth_is_refused(tmp_path):
    write_values(tmp_path / "kitti.png", np.array([[0, 255]]))
    with pytest.raises(ValueError, match="holds nothing above 255"):
        kitti.read_depth(tmp_path / "kitti.png")


@pytest.mark.parametrize(
    ("data", "message"), [(b"PIEH" + bytes(8), None), (b"", "does not begin"), (b"PNG" + bytes(20), "does not begin")]
)
def test_only_files_of_sintel_are_read(tmp_path, data, message):
    path = tmp_path / "frame.dpt"
    path.write_bytes(data)
    if message is None:  # the tag spells PIEH
        assert sintel.read_dpt(path).shape == (0, 0)
    else:
        with pytest.raises(ValueError, match=message):
            sintel.read_dpt(path)


def test_a_truncated_depth_map_is_refused(miniature, tmp_path):
    whole = (miniature / "sintel/training/depth/alley_2/frame_0001.dpt").read_bytes()
    (tmp_path / "short.dpt").write_bytes(whole[:-4])
    with pytest.raises(ValueError, match="unpack it again"):
        sintel.read_dpt(tmp_path / "short.dpt")
    np.save(tmp_path / "colour.npy", np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match="expected a depth map"):
        nyu.read_depth(tmp_path / "colour.npy")


def test_a_depth_map_of_kitti_without_a_measurement_is_a_picture_without_truth(tmp_path):
    write_values(tmp_path / "empty.png", np.zeros((4, 6), np.uint16))
    assert (kitti.read_depth(tmp_path / "empty.png") == -1).all()
