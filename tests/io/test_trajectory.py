import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cut3r.io.trajectory import read_kitti, read_tum, write_kitti, write_tum


def random_path(count: int, seed: int = 0) -> np.ndarray:
    world_from_cams = np.tile(np.eye(4), (count, 1, 1))
    if count:
        world_from_cams[:, :3, :3] = Rotation.random(count, random_state=seed).as_matrix()
    world_from_cams[:, :3, 3] = 100 * np.random.default_rng(seed).normal(size=(count, 3))
    return world_from_cams


@given(count=st.integers(0, 20), seed=st.integers(0, 2**31), start=st.floats(0, 2e9))
def test_tum_survives_the_round_trip(tmp_path_factory, count, seed, start):
    path, world_from_cams = tmp_path_factory.mktemp("tum") / "path.tum", random_path(count, seed)
    times_s = start + np.arange(count) / 30
    write_tum(path, world_from_cams, times_s)
    read, read_times_s = read_tum(path)
    np.testing.assert_allclose(read, world_from_cams, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(read_times_s, times_s, rtol=0, atol=1e-6)


@given(count=st.integers(0, 20), seed=st.integers(0, 2**31))
def test_kitti_gives_float32_back_exactly(tmp_path_factory, count, seed):
    path, world_from_cams = tmp_path_factory.mktemp("kitti") / "path.kitti", random_path(count, seed).astype(np.float32)
    write_kitti(path, world_from_cams)
    np.testing.assert_array_equal(read_kitti(path).astype(np.float32), world_from_cams)


def test_a_tum_line_is_time_then_position_then_quaternion_with_w_last(tmp_path):
    world_from_cam = np.eye(4)[None]
    world_from_cam[0, :3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    world_from_cam[0, :3, 3] = 1, 2, 3
    write_tum(tmp_path / "path.tum", world_from_cam, np.array([0.25]))
    comment, line = (tmp_path / "path.tum").read_text().splitlines()
    half = np.sqrt(0.5)
    assert comment.startswith("#")
    np.testing.assert_allclose([float(word) for word in line.split()], [0.25, 1, 2, 3, 0, 0, half, half], atol=1e-8)


def test_a_kitti_line_is_the_matrix_row_by_row(tmp_path):
    matrix = np.arange(16.0).reshape(1, 4, 4)
    write_kitti(tmp_path / "path.kitti", matrix)
    assert (tmp_path / "path.kitti").read_text() == "0 1 2 3 4 5 6 7 8 9 10 11\n"


def test_frame_numbers_stand_in_for_time_stamps_when_one_is_unknown(tmp_path):
    write_tum(tmp_path / "path.tum", random_path(3), np.array([10.0, np.nan, 12.0]))
    assert read_tum(tmp_path / "path.tum")[1].tolist() == [0, 1, 2]


def test_comments_and_unnormalised_quaternions_are_read(tmp_path):
    (tmp_path / "path.txt").write_text("# ground truth\n\n1.5 0 0 0 0 0 0 2  # identity\n")
    world_from_cams, times_s = read_tum(tmp_path / "path.txt")
    np.testing.assert_allclose(world_from_cams, np.eye(4)[None])
    assert times_s.tolist() == [1.5]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0 1 2 3\n", "line 1: 4 numbers; expected 8"),
        ("#\n0 1 2 3 0 0 0 east\n", "line 2: .*east.*expected numbers"),
        ("0 1 2 3 0 0 0 1\n1 1 2 3 0 0 0 0\n", "line 2: .*no rotation"),
        ("0,1,nan 3 0 0 0 1\n", "line 1: .*finite"),
        ("inf 1 2 3 0 0 0 1\n", "line 1: .*finite"),
        ("0 1 2 3 0 0 -1.#IND 1\n", "line 1: .*finite"),
    ],
)
def test_other_lines_are_refused_with_their_number(tmp_path, text, complaint):
    (tmp_path / "bad.tum").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        read_tum(tmp_path / "bad.tum")


IDENTITY = "1 0 0 0 0 1 0 0 0 0 1 0\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (IDENTITY + "1 0 0 0 0 1 0 0 0 0 nan 0\n", "line 2: .*finite"),
        (IDENTITY + "\n0 0 0 1 0 0 0 2 0 0 0 3\n", "line 3: .*no rotation"),
        ("1 0 0 0 0 1 0 0 0 0 -1 0\n", "line 1: .*no rotation"),
        ("2 0 0 0 0 2 0 0 0 0 2 0\n", "line 1: .*no rotation"),
        ("1e200 0 0 0 0 1e200 0 0 0 0 1e200 0\n", "line 1: .*no rotation"),
    ],
)
def test_a_kitti_line_that_is_no_pose_is_refused_with_its_number(tmp_path, text, complaint):
    (tmp_path / "bad.kitti").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        read_kitti(tmp_path / "bad.kitti")


def test_a_rotation_with_few_decimals_is_one(tmp_path):
    (tmp_path / "path.kitti").write_text("0.866 -0.5 0 0 0.5 0.866 0 0 0 0 1 0\n")
    assert len(read_kitti(tmp_path / "path.kitti")) == 1


def path_with_lost(count: int, *lost: int) -> np.ndarray:
    world_from_cams = random_path(count)
    world_from_cams[list(lost), 0, 0] = np.nan
    world_from_cams[list(lost), 2, 3] = np.inf
    return world_from_cams


@pytest.mark.parametrize("times_s", [np.array([0, 0.5, 1, 1.5]), np.full(4, np.nan)])
def test_tum_leaves_out_a_camera_that_is_not_finite(tmp_path, caplog, times_s):
    path, world_from_cams = tmp_path / "path.tum", path_with_lost(4, 1)
    write_tum(path, world_from_cams, times_s)
    read, stamps = read_tum(path)
    np.testing.assert_allclose(read, world_from_cams[[0, 2, 3]], rtol=1e-8, atol=1e-8)
    assert stamps.tolist() == ([0, 2, 3] if np.isnan(times_s[0]) else [0, 1, 1.5])
    assert f"1 of 4 cameras are not finite and were left out of {path}" in caplog.text


@pytest.mark.parametrize(
    ("lost", "rows"), [((1, 2, 4), [0, 0, 0, 3, 3]), ((0, 1), [2, 2, 2, 3, 4]), ((), [0, 1, 2, 3, 4])]
)
def test_kitti_repeats_the_camera_before_one_that_is_not_finite(tmp_path, caplog, lost, rows):
    path, world_from_cams = tmp_path / "path.kitti", path_with_lost(5, *lost)
    write_kitti(path, world_from_cams)
    np.testing.assert_allclose(read_kitti(path), world_from_cams[rows], rtol=1e-8, atol=1e-8)
    assert (f"{len(lost)} of 5 cameras are not finite; in their lines {path} repeats" in caplog.text) == bool(lost)


def test_a_path_without_a_finite_camera_can_be_written(tmp_path):
    lost = np.full((2, 4, 4), np.nan)
    write_tum(tmp_path / "path.tum", lost, np.arange(2.0))
    write_kitti(tmp_path / "path.kitti", lost)
    assert len(read_tum(tmp_path / "path.tum")[0]) == 0
    np.testing.assert_array_equal(read_kitti(tmp_path / "path.kitti"), np.tile(np.eye(4), (2, 1, 1)))
