"""7-Scenes, NRGBD and recordings of one's own: selection, depth limits, axes, intrinsics."""

import logging

import numpy as np
import pytest

from eval.sequences import MissingDataError, nrgbd, open_set, sevenscenes
from tests.eval.sequences.trees import camera_at, matrix_text, touch, write, write_picture, write_values


def make_sevenscenes(root, step, names=sevenscenes.SEQUENCES):
    for name in names:
        for number in range(0, sevenscenes.frames_of(name), step):
            color, depth, pose = (root / "7scenes" / name / file for file in sevenscenes.names_of(number))
            touch(color)
            touch(depth)
            write(pose, matrix_text(camera_at(number)))


def test_sevenscenes_takes_every_200th_frame(tmp_path):
    make_sevenscenes(tmp_path, 200)
    sequences = {each.name: each for each in open_set("mv_recon", "sevenscenes", tmp_path)}
    assert len(sequences) == 18 and sum(map(len, sequences.values())) == 16 * 5 + 2 * 3
    assert sequences["stairs/seq-04"].stems == tuple(f"frame-{n:06d}.color" for n in (0, 200, 400))
    assert sequences["chess/seq-03"].world_from_cam[:, 0, 3].tolist() == [0, 200, 400, 600, 800]
    assert sequences["chess/seq-03"].intrinsics[4].tolist() == [[525, 0, 320], [0, 525, 240], [0, 0, 1]]


def test_the_long_variant_takes_every_second_frame_first_and_then_cuts(tmp_path):
    make_sevenscenes(tmp_path, 2, ["chess/seq-03", "heads/seq-01", "stairs/seq-01"])
    sequences = {each.name: each for each in open_set("mv_recon", "sevenscenes_s2_400", tmp_path, complete=False)}
    assert len(sequences["chess/seq-03"]) == 400 and len(sequences["stairs/seq-01"]) == 250
    assert sequences["heads/seq-01"].stems[-1] == "frame-000798.color"


def test_depth_that_was_not_registered_is_missing(tmp_path):
    make_sevenscenes(tmp_path, 200)
    (tmp_path / "7scenes/fire/seq-03/frame-000400.depth.proj.png").unlink()
    with pytest.raises(
        MissingDataError, match=r"1 missing: fire/seq-03/frame-000400\.depth\.proj\.png.*prepare sevensc"
    ):
        open_set("mv_recon", "sevenscenes", tmp_path)
    sequences = open_set("mv_recon", "sevenscenes", tmp_path, complete=False)
    assert [len(each) for each in sequences if each.name == "fire/seq-03"] == [4]


def test_depth_of_sevenscenes_is_what_the_reference_reads(golden, tmp_path):
    with np.load(golden / "eval" / "recon_7scenes_registration.npz") as recorded:
        write_values(tmp_path / "depth.png", recorded["registered_mm"])
        depth = sevenscenes.read_depth(tmp_path / "depth.png")
        assert depth.dtype == recorded["metres"].dtype == np.float32
        np.testing.assert_array_equal(depth, recorded["metres"])


def test_depth_has_limits(tmp_path):
    write_values(tmp_path / "depth.png", [[0, 1, 10000, 10001, 65534, 65535]])
    assert sevenscenes.read_depth(tmp_path / "depth.png").tolist() == [[0, np.float32(0.001), 10, 0, 0, 0]]


def make_nrgbd(root, counts, *, depth=None, lost=()):
    """Rooms with so many pictures, and depth of these frames, or of all."""
    for name, count in counts.items():
        folder = root / "neural_rgbd" / name
        for number in range(count):
            touch(folder / f"images/img{number}.png")
        for number in range(count) if depth is None else depth:
            touch(folder / f"depth/depth{number}.png")
        poses = [np.full((4, 4), np.nan) if number in lost else camera_at(number) for number in range(count)]
        write(folder / "poses.txt", "".join(matrix_text(each) for each in poses))
        write(folder / "focal.txt", f"{nrgbd.FOCAL}\n")


def test_nrgbd_takes_every_500th_frame_or_halves_a_short_scene(tmp_path):
    counts = {"green_room": 1001, "kitchen": 1501, "morning_apartment": 920, "thin_geometry": 395}
    make_nrgbd(tmp_path, counts, depth=[0, 197, 394, 460, 500, 1000, 1500])
    sequences = {each.name: each for each in open_set("mv_recon", "nrgbd", tmp_path, complete=False)}
    stems = {name: [int(stem.removeprefix("img")) for stem in each.stems] for name, each in sequences.items()}
    assert stems["green_room"] == [0, 500, 1000] and stems["kitchen"] == [0, 500, 1000, 1500]
    assert stems["morning_apartment"] == [0, 460] and stems["thin_geometry"] == [0, 197, 394]


def test_the_long_variant_of_nrgbd_takes_every_second_frame(tmp_path):
    make_nrgbd(tmp_path, {"thin_geometry": 305})
    (cut,) = open_set("mv_recon", "nrgbd_s2_50", tmp_path, complete=False)
    (whole,) = open_set("mv_recon", "nrgbd_s2_300", tmp_path, complete=False)
    assert cut.stems[-1] == "img98" and (len(whole), whole.stems[-1]) == (153, "img304")


def test_nrgbd_gives_opencv_axes(tmp_path):
    make_nrgbd(tmp_path, {"kitchen": 4})
    (sequence,) = open_set("mv_recon", "nrgbd", tmp_path, complete=False)
    np.testing.assert_array_equal(sequence.world_from_cam[1, :3, :3], np.diag([1, -1, -1]))
    assert sequence.world_from_cam[1, 0, 3] == 2


def test_a_camera_of_nrgbd_called_nan_is_unknown_and_the_unit_camera_with_parity(tmp_path):
    make_nrgbd(tmp_path, {"kitchen": 4}, lost=[2])
    (sequence,) = open_set("mv_recon", "nrgbd", tmp_path, complete=False)
    assert sequence.known_cameras().tolist() == [True, False]
    (sequence,) = open_set("mv_recon", "nrgbd", tmp_path, complete=False, parity=True)
    np.testing.assert_array_equal(sequence.world_from_cam[1], np.diag([1, -1, -1, 1]))


def test_only_the_first_line_of_a_nan_counts_with_parity(tmp_path):
    matrix = camera_at(3)
    matrix[2] = np.nan
    write(tmp_path / "poses.txt", matrix_text(matrix))
    assert np.isnan(nrgbd.read_poses(tmp_path / "poses.txt", parity=True)).any()


def test_the_focal_length_of_nrgbd_is_read_and_a_difference_reported(tmp_path, caplog):
    make_nrgbd(tmp_path, {"kitchen": 4})
    write(tmp_path / "neural_rgbd/kitchen/focal.txt", "500.0")
    with caplog.at_level(logging.WARNING, "eval.sequences.nrgbd"):
        (ours,) = open_set("mv_recon", "nrgbd", tmp_path, complete=False)
        assert "says 500.000, which is used" in caplog.text
    (theirs,) = open_set("mv_recon", "nrgbd", tmp_path, complete=False, parity=True)
    assert ours.intrinsics[0, 0, 0] == 500 and theirs.intrinsics[0, 0, 0] == nrgbd.FOCAL


def test_an_incomplete_room_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(nrgbd, "FEWEST_FRAMES", {"kitchen": 12, "staircase": 8})
    make_nrgbd(tmp_path, {"kitchen": 10, "staircase": 8})
    (tmp_path / "neural_rgbd/staircase/depth/depth4.png").unlink()
    with pytest.raises(MissingDataError, match=r"2 missing: kitchen \(10 of 12 frames\), staircase/depth/depth4\.png;"):
        open_set("mv_recon", "nrgbd", tmp_path)


def make_recording(folder, numbers, *, suffix=".png", size=(480, 640)):
    for number in numbers:
        write_picture(folder / f"frame-{number:06d}.color{suffix}")
        write_values(folder / f"frame-{number:06d}.depth.png", np.full(size, 1500 + number))
        write(folder / f"frame-{number:06d}.pose.txt", matrix_text(camera_at(number)))


def test_one_recording_is_a_set_for_every_protocol(tmp_path):
    make_recording(tmp_path / "desk", [0, 5, 10])
    for protocol in ("monodepth", "video_depth", "relpose", "mv_recon"):
        (sequence,) = open_set(protocol, "rgbd", tmp_path / "desk")
        assert sequence.name == "desk" and len(sequence) == 3
        if protocol != "relpose":
            assert sequence.read_depth(1)[0, 0] == np.float32(1.505)
        if protocol in ("relpose", "mv_recon"):
            assert sequence.world_from_cam[:, 0, 3].tolist() == [0, 5, 10]
    assert sequence.intrinsics[0].tolist() == [[585, 0, 319.5], [0, 585, 239.5], [0, 0, 1]]


@pytest.mark.parametrize("below", ["", "rgbd"])
def test_a_folder_of_recordings_is_a_set(tmp_path, below):
    make_recording(tmp_path / below / "b", [0, 1], suffix=".jpg")
    make_recording(tmp_path / below / "a", [0])
    (tmp_path / below / "notes").mkdir()
    assert [each.name for each in open_set("mv_recon", "rgbd", tmp_path)] == ["a", "b"]


def test_a_recording_may_bring_its_intrinsics(tmp_path):
    make_recording(tmp_path, [0], size=(6, 8))
    with pytest.raises(ValueError, match=r"needs a camera-intrinsics.txt \(3x3\): 8x6 is not the 640x480 of 7-Scenes"):
        open_set("mv_recon", "rgbd", tmp_path)
    write(tmp_path / "camera-intrinsics.txt", "7 0 3.5\n0 7 2.5\n0 0 1\n")
    (sequence,) = open_set("mv_recon", "rgbd", tmp_path)
    assert sequence.intrinsics[0].tolist() == [[7, 0, 3.5], [0, 7, 2.5], [0, 0, 1]]
    write(tmp_path / "camera-intrinsics.txt", "7 0 3.5\n")
    with pytest.raises(ValueError, match="expected the 9 of a 3x3 matrix"):
        open_set("mv_recon", "rgbd", tmp_path)


def test_unknown_depth_of_a_recording_is_zero_and_far_depth_is_kept(tmp_path):
    make_recording(tmp_path, [0])
    write_values(tmp_path / "frame-000000.depth.png", np.tile([0, 65535, 65534, 30000], (480, 160)))
    (sequence,) = open_set("video_depth", "rgbd", tmp_path)
    np.testing.assert_array_equal(sequence.read_depth(0)[0, :4], np.float32([0, 0, 65.534, 30]))


def test_a_recording_lacks_only_what_the_protocol_needs(tmp_path):
    make_recording(tmp_path / "desk", [0, 1, 2])
    (tmp_path / "desk/frame-000001.depth.png").unlink()
    write(tmp_path / "desk/frame-000002.pose.txt", matrix_text(np.full((4, 4), -np.inf)))
    (sequence,) = open_set("relpose", "rgbd", tmp_path / "desk")
    assert sequence.known_cameras().tolist() == [True, True, False]
    with pytest.raises(MissingDataError, match=r"1 missing: desk/frame-000001\.depth\.png"):
        open_set("video_depth", "rgbd", tmp_path / "desk")
    assert len(open_set("video_depth", "rgbd", tmp_path / "desk", complete=False)[0]) == 2


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(MissingDataError, match="no frame-"):
        open_set("monodepth", "rgbd", tmp_path)
    touch(tmp_path / "frame-000000.color.png")
    touch(tmp_path / "frame-000000.color.jpg")
    with pytest.raises(ValueError, match="keep one of the two kinds"):
        open_set("monodepth", "rgbd", tmp_path)


@pytest.mark.footage
def test_the_example_room_serves_all_protocols(footage):
    for protocol in ("monodepth", "video_depth", "relpose", "mv_recon"):
        (sequence,) = open_set(protocol, "rgbd", footage / "rgbd_room")
        assert sequence.name == "rgbd_room" and len(sequence) == 80
    assert sequence.known_cameras().all() and sequence.intrinsics[0].tolist() == [
        [585, 0, 320],
        [0, 585, 240],
        [0, 0, 1],
    ]
    depth = sequence.read_depth(79)
    assert depth.shape == (480, 640) and 0.3 < np.median(depth[depth > 0]) < 6
