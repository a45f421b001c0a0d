"""Recordings of one's own: which files belong together, in every layout, and what is wrong with them."""

import numpy as np
import pytest
from PIL import Image

from cut3r.data.recording import find_recordings, open_recording, read_intrinsics
from cut3r.data.shot import read_metres
from cut3r.io.trajectory import write_kitti, write_tum
from tests.data.datasets.recordings import cameras, write_recording


@pytest.mark.parametrize("layout", ["sevenscenes", "matrices", "tum", "kitti"])
def test_every_layout_gives_the_same_frames(tmp_path, layout):
    write_recording(tmp_path / "room", layout, frames=11)
    shots = open_recording(tmp_path / "room").shots
    assert len(shots) == 11
    found = np.stack([shot.world_from_cam() for shot in shots.values()])
    np.testing.assert_allclose(found, cameras(11), atol=1e-6)
    for number, shot in enumerate(shots.values()):
        assert int(np.asarray(Image.open(shot.picture))[0, 0, 0]) == pytest.approx(10 * number, abs=3)
        assert shot.depth.read()[0, 0] == np.float32(1 + 0.1 * number)


def test_numbers_without_leading_zeros_are_in_order(tmp_path):
    write_recording(tmp_path / "room", "matrices", frames=11, digits=1)
    assert list(open_recording(tmp_path / "room").shots) == [str(number) for number in range(11)]


def test_time_stamps_of_pictures_depth_and_cameras_need_not_be_equal(tmp_path):
    folder = tmp_path / "room"
    write_recording(folder, "tum", frames=4)
    for kind, late in (("rgb", 0.015), ("depth", 0.0)):
        for number in range(4):
            (folder / f"{kind}/{number:06d}.png").rename(
                folder / f"{kind}/{1305031102.1 + 0.1 * number + late:.6f}.png"
            )
    write_tum(folder / "trajectory.txt", cameras(4), 1305031102.105 + 0.1 * np.arange(4))
    shots = open_recording(folder).shots
    assert next(iter(shots)) == "1305031102.115000"
    assert [shot.depth.read()[0, 0] for shot in shots.values()] == pytest.approx([1, 1.1, 1.2, 1.3])
    assert [shot.world_from_cam()[0, 3] for shot in shots.values()] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_folder_is_a_recording_or_holds_some(tmp_path):
    for name, layout in (("a", "kitti"), ("b", "sevenscenes")):
        write_recording(tmp_path / name, layout, frames=2)
    (tmp_path / "notes").mkdir()
    assert find_recordings(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert find_recordings(tmp_path / "b") == [tmp_path / "b"]


@pytest.mark.parametrize(("layout", "depth"), [("sevenscenes", "frame-000001.depth.png"), ("tum", "depth/000001.png")])
def test_pictures_without_depth_are_left_out_and_counted(tmp_path, caplog, layout, depth):
    write_recording(tmp_path / "room", layout, frames=3)
    (tmp_path / "room" / depth).unlink()
    assert len(open_recording(tmp_path / "room").shots) == 2
    assert "1 of 3 pictures left out" in caplog.text and "has no depth map" in caplog.text


def test_a_picture_without_a_camera_is_left_out(tmp_path, caplog):
    write_recording(tmp_path / "room", "tum", frames=3)
    write_tum(tmp_path / "room/trajectory.txt", cameras(3)[:2], np.arange(2.0))
    assert list(open_recording(tmp_path / "room").shots) == ["000000", "000001"]
    assert "000002.png has no pose" in caplog.text


def test_a_folder_without_depth_says_what_is_expected(tmp_path):
    write_recording(tmp_path / "room", "kitti", frames=2)
    (tmp_path / "room/depth").rename(tmp_path / "room/dept")
    with pytest.raises(
        ValueError, match=r"0 frames.*the first: 000000\.png has no depth map; expected are .*folders rgb"
    ):
        open_recording(tmp_path / "room")


def test_a_trajectory_without_time_stamps_must_have_all_cameras(tmp_path):
    write_recording(tmp_path / "room", "kitti", frames=3)
    write_kitti(tmp_path / "room/trajectory.txt", cameras(2))
    with pytest.raises(ValueError, match="has 2 lines for 3 pictures"):
        open_recording(tmp_path / "room")


def test_a_picture_that_is_there_twice_is_refused(tmp_path):
    write_recording(tmp_path / "room", "kitti", frames=2)
    Image.new("RGB", (64, 48)).save(tmp_path / "room/rgb/000001.jpg")
    with pytest.raises(ValueError, match=r"both 000001\.jpg and 000001\.png"):
        open_recording(tmp_path / "room")


def test_a_pose_that_is_no_rigid_motion_is_named(tmp_path):
    write_recording(tmp_path / "room", "matrices", frames=2)
    np.savetxt(tmp_path / "room/pose/000001.txt", np.diag([2.0, 2.0, 2.0, 1.0]))
    shots = open_recording(tmp_path / "room").shots
    with pytest.raises(ValueError, match=r"pose/000001\.txt is no rotation and translation"):
        shots["000001"].world_from_cam()


def test_depth_counts_in_parts_of_a_metre_and_what_is_saturated_is_unknown(tmp_path):
    Image.fromarray(np.array([[0, 5000, 65535]], np.uint16)).save(tmp_path / "d.png")
    assert read_metres(tmp_path / "d.png", per_metre=5000.0).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("text", ["60 61 31.5 23.5", "60 0 31.5\n0 61 23.5\n0 0 1\n"])
def test_intrinsics_are_four_numbers_or_a_matrix(tmp_path, text):
    (tmp_path / "intrinsics.txt").write_text(text)
    assert read_intrinsics(tmp_path).tolist() == [[60, 0, 31.5], [0, 61, 23.5], [0, 0, 1]]


@pytest.mark.parametrize("text", ["0 61 31.5 23.5", "nan 61 31.5 23.5"])
def test_intrinsics_without_focal_length_are_refused(tmp_path, text):
    (tmp_path / "intrinsics.txt").write_text(text)
    with pytest.raises(ValueError, match="has no focal length"):
        read_intrinsics(tmp_path)


def test_no_intrinsics_are_none(tmp_path):
    assert read_intrinsics(tmp_path) is None
