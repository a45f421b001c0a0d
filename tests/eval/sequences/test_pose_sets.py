"""Sintel, TUM, ScanNet and KITTI odometry: recorded cameras, pairing with pictures, what is missing."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cut3r.geometry.poses import standardize
from cut3r.io.trajectory import read_tum, write_kitti, write_tum
from eval.sequences import MissingDataError, open_set, scannet, sintel, tum
from eval.sequences.inventory import number_in_name
from eval.sequences.scannet import read_cameras
from eval.sequences.sintel import TAG, read_cam
from tests.eval.sequences.trees import camera_at, touch, write, write_cam


def assert_same_path(world_from_cam, xyz_wxyz):
    """Compare with rows of position and quaternion; quaternions have two signs."""
    np.testing.assert_allclose(world_from_cam[:, :3, 3], xyz_wxyz[:, :3], atol=1e-12)
    w, x, y, z = standardize(torch.from_numpy(xyz_wxyz[:, 3:])).T.numpy()
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    np.testing.assert_allclose(world_from_cam[:, :3, :3], rotation.transpose(2, 0, 1), atol=1e-9)


@pytest.fixture
def recorded(golden):
    return golden / "eval" / "pose_io"


def test_cameras_of_sintel(recorded, tmp_path):
    folder = tmp_path / "sintel/training"
    shutil.copytree(recorded / "sintel_cam", folder / "camdata_left/cave_2")
    for number in range(1, 6):
        touch(folder / f"final/cave_2/frame_{number:04d}.png")
    (sequence,) = open_set("relpose", "sintel", tmp_path, complete=False)
    with np.load(recorded / "sintel_cam_expected.npz") as expected:
        np.testing.assert_allclose(sequence.world_from_cam, expected["gt_c2w"], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(sequence.intrinsics, np.tile(expected["K"], (5, 1, 1)))
        centred = sequence.world_from_cam.copy()
        centred[:, :3, 3] -= centred[:, :3, 3].mean(axis=0)
        assert_same_path(centred, expected["traj_xyz_wxyz"])
        np.testing.assert_array_equal([int(stem[-4:]) for stem in sequence.stems], expected["timestamps"].ravel())


def test_poses_of_sintel_are_scored_on_14_sequences(tmp_path):
    for name in sintel.FRAMES:
        for number in range(1, sintel.FRAMES[name] + 1):
            touch(tmp_path / f"sintel/training/final/{name}/frame_{number:04d}.png")
            if name in sintel.POSE_SEQUENCES:
                cam = tmp_path / f"sintel/training/camdata_left/{name}/frame_{number:04d}.cam"
                write_cam(cam, camera_at(number), np.eye(3))
    sequences = open_set("relpose", "sintel", tmp_path)
    assert (len(sequences), sum(map(len, sequences))) == (14, 643)


def test_a_damaged_camera_is_refused(tmp_path):
    path = tmp_path / "frame_0001.cam"
    write_cam(path, np.eye(4), np.eye(3))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="expected 172"):
        sintel.read_cam(path)


def test_cameras_of_scannet(recorded):
    with np.load(recorded / "pose_90_expected.npz") as expected:
        assert_same_path(scannet.read_cameras(recorded / "pose_90.txt"), expected["traj_xyz_wxyz"])


def make_scannet(root, scene, count, poses):
    folder = root / "scannetv2" / scene
    for number in range(count):
        touch(folder / f"color_90/frame_{number:04d}.jpg")
    write(folder / "pose_90.txt", poses)


def test_lost_cameras_of_scannet_stay_in_their_places(recorded, tmp_path):
    assert "did not converge" in (recorded / "pose_90_inf_expected.txt").read_text()  # the reference drops the scene
    poses = (recorded / "pose_90_inf.txt").read_text()
    count = len(poses.splitlines())
    make_scannet(tmp_path, "scene0711_00", count, poses)
    (sequence,) = open_set("relpose", "scannet", tmp_path, complete=False)
    assert sequence.name == "scene0711_00" and len(sequence) == count
    lost = ["inf" in line for line in poses.splitlines()]
    np.testing.assert_array_equal(~sequence.known_cameras(), lost)
    assert np.isneginf(sequence.world_from_cam[lost]).all()


def test_pictures_of_scannet_find_their_cameras_by_number(tmp_path):
    poses = "".join(" ".join(map(str, camera_at(x).ravel())) + "\n" for x in range(90))
    make_scannet(tmp_path, "scene0707_00", 90, poses)
    (tmp_path / "scannetv2/scene0707_00/color_90/frame_0003.jpg").unlink()
    with pytest.raises(MissingDataError, match="89 pictures but 90 cameras"):
        open_set("relpose", "scannet", tmp_path)
    (sequence,) = open_set("relpose", "scannet", tmp_path, complete=False)
    np.testing.assert_array_equal(sequence.world_from_cam[:5, 0, 3], [0, 1, 2, 4, 5])


def test_the_test_scans_are_a_hundred(tmp_path):
    assert scannet.SCENES[0] == "scene0707_00" and scannet.SCENES[-1] == "scene0806_00" and len(scannet.SCENES) == 100
    with pytest.raises(MissingDataError, match=r"100 missing: scene0707_00 \(0 of 90 frames\).*and 90 more"):
        open_set("relpose", "scannet", tmp_path)


def test_a_line_of_scannet_has_sixteen_numbers(tmp_path):
    write(tmp_path / "pose.txt", "1 2 3\n")
    with pytest.raises(ValueError, match="line 1: 3 numbers; expected 16"):
        scannet.read_cameras(tmp_path / "pose.txt")


def make_tum(root, name, count, *, shift_s=0.0):
    times_s = 1341845948.747 + np.arange(count) / 10
    folder = root / "tum" / name
    for time_s in times_s:
        touch(folder / f"rgb_90/{time_s + 0.01:.6f}.png")
    write_tum(folder / "groundtruth_90.txt", np.stack([camera_at(x) for x in range(count)]), times_s + shift_s)


def test_cameras_of_tum(recorded):
    world_from_cam, times_s = read_tum(recorded / "groundtruth_90.txt")
    with np.load(recorded / "groundtruth_90_expected.npz") as expected:
        # Four decimals in the file: the recording holds its quaternion as it is, ours is normalised.
        xyz_wxyz = expected["traj_xyz_wxyz"]
        xyz_wxyz[:, 3:] /= np.linalg.norm(xyz_wxyz[:, 3:], axis=1, keepdims=True)
        assert_same_path(world_from_cam, xyz_wxyz)
        np.testing.assert_array_equal(times_s, expected["timestamps"])


def test_tum_gives_cameras_with_their_own_clock(tmp_path):
    for name in tum.SEQUENCES:
        make_tum(tmp_path, name, 90)
    sequences = open_set("relpose", "tum", tmp_path)
    assert len(sequences) == 8 and {len(each) for each in sequences} == {90}
    assert sequences[0].name == "rgbd_dataset_freiburg3_sitting_static"
    np.testing.assert_allclose(sequences[0].times_s, 1341845948.747 + np.arange(90) / 10, rtol=0, atol=1e-6)


def test_tum_notices_another_preparation_in_the_folder(tmp_path):
    make_tum(tmp_path, tum.SEQUENCES[0], 90, shift_s=0.05)
    with pytest.raises(ValueError, match=r"camera 1 is 0\.040 s away from picture 1341845948\.757000\.png"):
        open_set("relpose", "tum", tmp_path, complete=False)
    assert open_set("relpose", "tum", tmp_path, complete=False, parity=True)
    touch(tmp_path / "tum" / tum.SEQUENCES[0] / "rgb_90/1341845999.0.png")
    with pytest.raises(MissingDataError, match="91 pictures but 90 cameras"):
        open_set("relpose", "tum", tmp_path, complete=False)


def test_kitti_odometry_pairs_by_number(tmp_path):
    folder = tmp_path / "kitti_odometry/dataset"
    for name in (f"{number:02d}" for number in range(11)):
        for number in range(4):
            touch(folder / f"sequences/{name}/image_2/{number:06d}.png")
        write(folder / f"sequences/{name}/times.txt", "0\n0.1\n0.2\n0.3\n")
        write_kitti(folder / f"poses/{name}.txt", np.stack([camera_at(x) for x in range(4)]))
    sequences = open_set("relpose", "kitti_odometry", tmp_path)
    assert [each.name for each in sequences] == [f"{number:02d}" for number in range(11)]
    assert sequences[3].times_s.tolist() == [0, 0.1, 0.2, 0.3]
    assert sequences[3].intrinsics is None
    write(folder / "sequences/04/calib.txt", "P0: 7 0 6 0 0 7 1 0 0 0 1 0\nP2: 700 0 600 45 0 710 180 0 0 0 1 0\n")
    calibrated = open_set("relpose", "kitti_odometry", tmp_path)[4]
    assert calibrated.intrinsics.tolist() == [[[700, 0, 600], [0, 710, 180], [0, 0, 1]]] * 4
    write(folder / "sequences/04/calib.txt", "P0: 7 0 6 0 0 7 1 0 0 0 1 0\n")
    with pytest.raises(ValueError, match=r"calib\.txt has no line P2"):
        open_set("relpose", "kitti_odometry", tmp_path)
    (folder / "sequences/04/calib.txt").unlink()
    (folder / "sequences/04/image_2/000001.png").unlink()
    with pytest.raises(MissingDataError, match=r"04 \(3 pictures but 4 cameras\)"):
        open_set("relpose", "kitti_odometry", tmp_path)
    sequence = open_set("relpose", "kitti_odometry", tmp_path, complete=False)[4]
    assert sequence.world_from_cam[:, 0, 3].tolist() == [0, 2, 3] and sequence.times_s.tolist() == [0, 0.2, 0.3]
    shutil.rmtree(folder / "poses")
    with pytest.raises(MissingDataError, match=r"11 missing: poses/00\.txt"):
        open_set("relpose", "kitti_odometry", tmp_path, complete=False)


def test_a_camera_of_sintel_that_is_no_rotation_is_refused_by_name(tmp_path):
    for matrix in (np.zeros((3, 4)), np.full((3, 4), np.nan), np.diag([1.0, 1.0, -1.0, 0])[:3]):
        path = tmp_path / "frame_0001.cam"
        path.write_bytes(TAG.tobytes() + np.eye(3).tobytes() + matrix.tobytes())
        with pytest.raises(ValueError, match=r"frame_0001\.cam holds no rotation and translation"):
            read_cam(path)


def test_lost_cameras_of_scannet_are_understood_in_all_spellings(tmp_path):
    path = tmp_path / "pose.txt"
    path.write_text(" ".join(["-1.#IND"] * 16) + "\n" + ",".join(map(str, np.eye(4).ravel())) + "\n")
    lost, known = read_cameras(path)
    assert np.isnan(lost).all()
    assert (known == np.eye(4)).all()


def test_a_file_without_a_number_in_its_name_is_refused_by_name():
    with pytest.raises(ValueError, match=r"rgb/cover\.png is not named by a number; expected NUMBER\.png"):
        number_in_name(Path("rgb/cover.png"))
