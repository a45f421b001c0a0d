"""Bonn, TUM and KITTI: which frames are taken, from folders and archives, and that the readers open what was made."""

import shutil
import tarfile

import numpy as np
import pytest

from eval.prepare.__main__ import main
from eval.sequences import bonn, kitti, open_set, tum
from tests.eval.sequences.trees import touch, write, write_picture, write_values


def prepare(name, raw, out, *flags):
    return main([name, "--raw", str(raw), "--out", str(out), *flags])


def stamp(tick, shift_s=0.0):
    return f"{1548266469 + tick / 30 + shift_s:.5f}"


def make_bonn(raw, count=150, lost_depth=()):
    """Depth of tick i holds i, 4 ms late; of the camera, the y coordinate is i, at every second tick."""
    for name in bonn.SEQUENCES:
        folder = raw / f"rgbd_bonn_dataset/rgbd_bonn_{name}"
        for tick in range(count):
            touch(folder / f"rgb/{stamp(tick)}.png")
            if tick not in lost_depth:
                write_values(folder / f"depth/{stamp(tick, 0.004)}.png", np.full((2, 2), 5000 + tick))
        rows = [f"{stamp(tick)} 0 {tick} 0 0 0 0 1\n" for tick in range(0, count, 2)]
        write(folder / "groundtruth.txt", "# timestamp tx ty tz qx qy qz qw\n" + "".join(rows))


def ticks(sequence):
    return [round((float(stem) - 1548266469) * 30) for stem in sequence.stems]


def depth_ticks(sequence):
    return [round(sequence.read_depth(i)[0, 0] * 5000 - 5000) for i in range(len(sequence))]


def test_bonn_begins_with_frame_30_and_pairs_by_time(tmp_path, caplog):
    make_bonn(tmp_path / "raw", lost_depth=[3, 40, 41])
    assert prepare("bonn", tmp_path / "raw", tmp_path) == 0
    assert "2 pictures have no depth within 0.02 s and are left out" in caplog.text
    sequences = open_set("video_depth", "bonn", tmp_path)
    wanted = [tick for tick in range(30, 142) if tick not in (40, 41)]
    for sequence in sequences:
        assert ticks(sequence) == depth_ticks(sequence) == wanted
    rows = (bonn.folder_of(tmp_path, None) / "rgbd_bonn_crowd2/groundtruth_110.txt").read_text().splitlines()
    assert [int(row.split()[2]) for row in rows] == [tick for tick in wanted if tick % 2 == 0]


def test_bonn_pairs_by_count_with_parity(tmp_path):
    make_bonn(tmp_path / "raw", count=200, lost_depth=[3])
    assert prepare("bonn", tmp_path / "raw", tmp_path, "--parity", "--frames", "100") == 0
    sequence = open_set("video_depth", "bonn_s1_100", tmp_path, complete=False, parity=True)[0]
    assert ticks(sequence)[:3] == [30, 31, 32] and depth_ticks(sequence)[:3] == [31, 32, 33]
    rows = (bonn.folder_of(tmp_path, 100) / "rgbd_bonn_crowd2/groundtruth_100.txt").read_text().splitlines()
    assert rows[0].split()[2] == "60" and len(rows) == len(sequence) == 70  # the poses end first


def test_bonn_from_the_zip_in_several_lengths(tmp_path):
    make_bonn(tmp_path / "unpacked", count=60)
    (tmp_path / "raw").mkdir()
    shutil.make_archive(str(tmp_path / "raw/rgbd_bonn_dataset"), "zip", tmp_path / "unpacked")
    for frames in ("20", "50"):
        assert prepare("bonn", tmp_path / "raw", tmp_path / "out", "--frames", frames) == 0
    assert {len(each) for each in open_set("video_depth", "bonn_s1_20", tmp_path / "out")} == {20}
    short = open_set("video_depth", "bonn_s1_50", tmp_path / "out", complete=False)  # 60 frames give 30
    assert {len(each) for each in short} == {30}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".prepared", "long_bonn_s1"]


def test_bonn_needs_its_110_frames(tmp_path, caplog):
    caplog.set_level("INFO")
    make_bonn(tmp_path / "raw", count=60)
    assert prepare("bonn", tmp_path / "raw", tmp_path) == 1
    assert "gives 30 frames from number 30 on; expected 110" in caplog.text


def make_tum(folder, count, name):
    """Pictures at 30 Hz, cameras at 100 Hz that begin with the 5th picture."""
    times_s = [1341845948 + tick / 30 for tick in range(count)]
    for time_s in times_s:
        touch(folder / name / f"rgb/{time_s:.6f}.png")
    listing = "".join(f"{time_s:.6f} rgb/{time_s:.6f}.png\n" for time_s in times_s)
    write(folder / name / "rgb.txt", f"# color images\n# file\n# timestamp filename\n{listing}")
    rows = "".join(f"{times_s[5] + i / 100 + 0.002:.4f} {i} 0 0 0 0 0 1\n" for i in range(4 * count))
    write(folder / name / "groundtruth.txt", f"# ground truth\n{rows}")


def test_tum_takes_every_third_pair(tmp_path):
    for name in tum.SEQUENCES:
        make_tum(tmp_path / "raw", 280, name)
    assert prepare("tum", tmp_path / "raw", tmp_path) == 0
    sequence = open_set("relpose", "tum", tmp_path)[0]
    rgb_times_s = np.array([float(stem) for stem in sequence.stems])
    np.testing.assert_allclose((rgb_times_s - 1341845948) * 30, np.arange(5, 275, 3), atol=1e-3)
    assert np.abs(sequence.times_s - rgb_times_s).max() < 0.006
    assert sequence.world_from_cam[1, 0, 3] == 10  # 0.1 s later, at 100 Hz


def test_tum_from_archives_stride_one(tmp_path):
    (tmp_path / "raw").mkdir()
    for name in tum.SEQUENCES:
        make_tum(tmp_path / "unpacked", 40, name)
        with tarfile.open(tmp_path / f"raw/{name}.tgz", "w:gz") as tar:
            tar.add(tmp_path / "unpacked" / name, name)
    assert prepare("tum", tmp_path / "raw", tmp_path / "out", "--frames", "20") == 0
    sequences = open_set("relpose", "tum_s1_20", tmp_path / "out")
    assert {len(each) for each in sequences} == {20}
    assert np.diff([float(stem) for stem in sequences[7].stems]) == pytest.approx(1 / 30, abs=1e-5)
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".unpacked")]


def make_kitti(raw, extra=5, lost_picture=None, longest=110):
    for drive, known in kitti.DRIVES.items():
        known = min(known, longest)
        for number in range(5, 5 + known + (extra if known == 110 else 0)):
            touch(raw / f"val/{drive}_sync/proj_depth/groundtruth/image_02/{number:010d}.png")
        for number in range(5 + known + 10):
            if number != lost_picture:
                touch(raw / f"{drive[:10]}/{drive}_sync/image_02/data/{number:010d}.png")


def test_kitti_takes_the_first_frames_with_depth(tmp_path):
    make_kitti(tmp_path / "raw")
    assert prepare("kitti", tmp_path / "raw", tmp_path) == 0
    sequences = open_set("video_depth", "kitti", tmp_path)
    assert (len(sequences), sum(map(len, sequences))) == (13, 1269) and sequences[0].stems[0] == "0000000005"


def test_kitti_leaves_out_depth_without_a_picture_but_not_with_parity(tmp_path, caplog):
    make_kitti(tmp_path / "raw", lost_picture=7, longest=20)
    assert prepare("kitti", tmp_path / "raw", tmp_path, "--frames", "10") == 0
    assert "1 depth maps have no picture, first 0000000007.png" in caplog.text
    images, depths = (next(folder.iterdir()) for folder in kitti.folders_of(tmp_path, 10))
    assert len(list(images.iterdir())) == len(list(depths.iterdir())) == 9
    assert prepare("kitti", tmp_path / "raw", tmp_path, "--frames", "10", "--parity") == 0
    assert len(list(images.iterdir())) == 9 and len(list(depths.iterdir())) == 10


def test_kitti_from_archives(tmp_path):
    make_kitti(tmp_path / "unpacked", extra=0, longest=60)
    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.make_archive(str(raw / "data_depth_annotated"), "zip", tmp_path / "unpacked", "val")
    drive = next(iter(kitti.DRIVES))
    shutil.make_archive(str(raw / f"{drive}_sync"), "zip", tmp_path / "unpacked", f"{drive[:10]}/{drive}_sync")
    assert prepare("kitti", raw, tmp_path / "out", "--frames", "50") == 1  # the pictures of twelve drives are not there
    (sequence,) = open_set("video_depth", "kitti_s1_50", tmp_path / "out", complete=False)
    assert sequence.name == f"{drive}_sync_02" and len(sequence) == 50


def test_checking_decodes_a_little_of_each_sequence(tmp_path, caplog):
    caplog.set_level("INFO")
    for name in bonn.SEQUENCES:
        folder = bonn.folder_of(tmp_path, 3) / f"rgbd_bonn_{name}"
        for tick in range(3):
            write_picture(folder / f"rgb_3/{stamp(tick)}.png")
            write_values(folder / f"depth_3/{stamp(tick)}.png", np.ones((3, 4)))
    command = ["check", "bonn", "--out", str(tmp_path), "--frames", "3"]
    assert main(command) == 0
    assert "bonn_s1_3 for video_depth: 5 sequences, 15 frames" in caplog.text
    write(bonn.folder_of(tmp_path, 3) / f"rgbd_bonn_crowd3/rgb_3/{stamp(0)}.png", "no picture")
    assert main(command) == 2


def test_the_data_root_may_hold_the_download_itself(tmp_path):
    make_bonn(tmp_path / "bonn")
    assert prepare("bonn", tmp_path, tmp_path) == 0
    folder = bonn.folder_of(tmp_path, None) / "rgbd_bonn_crowd2"
    names = ["depth", "depth_110", "groundtruth.txt", "groundtruth_110.txt", "rgb", "rgb_110"]
    assert sorted(path.name for path in folder.iterdir()) == names
