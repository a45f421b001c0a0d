"""Predictions of other systems: what does not fit is refused by the name of its file."""

import numpy as np
import pytest

from cut3r.io.trajectory import write_tum
from eval.protocols.relpose import RelativePose
from eval.sequences import open_set
from eval.systems.base import FramePrediction
from eval.systems.reference import ReferencePredictions
from eval.systems.saved import SavedPredictions
from eval.systems.writing import save_predictions
from tests.eval.recordings import write_recordings

IDENTITY_ROW = "0 0 0 0 0 0 1"


@pytest.fixture
def saved(tmp_path):
    for kind in ("depth", "points", "confidence"):
        (tmp_path / kind).mkdir()
    return SavedPredictions(tmp_path, ("f0", "f1"))


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [
        ("depth", (4, 6, 1), "h w"),
        ("confidence", (1, 4, 6), "h w"),
        ("points", (4, 6), "h w 3"),
        ("points", (3, 4, 6), "h w 3"),
    ],
)
def test_arrays_of_other_axes_are_refused_by_name(saved, kind, shape, expected):
    np.save(saved.folder / kind / "f1.npy", np.ones(shape, np.float32))
    with pytest.raises(
        ValueError, match=rf"{kind}/f1\.npy holds float32 of shape .*; expected real numbers \({expected}\)"
    ):
        getattr(saved, kind)(1)


@pytest.mark.parametrize("size", [0, 5, 60, 100, -1])
def test_a_damaged_array_is_refused_by_name(saved, size):
    path = saved.folder / "depth" / "f0.npy"
    np.save(path, np.ones((4, 6), np.float32))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"depth/f0\.npy cannot be read"):
        saved.depth(0)


def test_a_header_that_claims_any_size_is_refused_by_name(saved):
    path = saved.folder / "depth" / "f0.npy"
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (10000000, 10000000), }".ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00v\x00" + header.encode())
    with pytest.raises(ValueError, match=r"depth/f0\.npy cannot be read"):
        saved.depth(0)


@pytest.mark.parametrize("content", [np.array(["a"]), np.array([[1j]]), np.array([{}], object)])
def test_what_is_no_number_is_refused_by_name(saved, content):
    np.save(saved.folder / "depth" / "f0.npy", content)
    with pytest.raises(ValueError, match=r"depth/f0\.npy"):
        saved.depth(0)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 16), (4, 4)])
def test_cameras_of_other_axes_are_refused_by_name(saved, shape):
    np.savez(saved.folder / "cameras.npz", world_from_cam=np.ones(shape))
    with pytest.raises(ValueError, match=r"cameras\.npz holds float64 of shape .*; expected real numbers \(v 4 4\)"):
        saved.cameras()


def test_a_damaged_archive_of_cameras_is_refused_by_name(saved):
    path = saved.folder / "cameras.npz"
    np.savez(path, world_from_cam=np.tile(np.eye(4), (2, 1, 1)))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"cameras\.npz cannot be read"):
        saved.cameras()
    np.savez(path, cameras=np.tile(np.eye(4), (2, 1, 1)))
    with pytest.raises(ValueError, match=r"cameras\.npz cannot be read .*world_from_cam"):
        saved.cameras()


def test_the_stamps_of_rows_are_compared_with_the_pictures(tmp_path):
    saved = SavedPredictions(tmp_path, tuple(f"frame-{number:06d}.color" for number in range(6)))
    rows = [f"{stamp} {IDENTITY_ROW}\n" for stamp in (1, 2, 3, 4, 5, 7)]
    (tmp_path / "cameras.tum").write_text("".join(rows))
    with pytest.raises(ValueError, match=r"cameras\.tum: the time stamps are not spaced like the pictures"):
        saved.cameras()


def test_a_path_of_the_original_without_rotation_is_refused_by_line(tmp_path):
    (tmp_path / "pred_traj.txt").write_text("0 0 0 0 1 0 0 0\n1 0 0 0 0 0 0 0\n")
    with pytest.raises(ValueError, match=r"pred_traj\.txt, line 2: its quaternion is no rotation"):
        ReferencePredictions(tmp_path, 2).cameras()
    (tmp_path / "pred_traj.txt").write_text("0 0 0 0 1 0 0 0\n1 0 0 0 1 0 0\n")
    with pytest.raises(ValueError, match=r"pred_traj\.txt, line 2: 7 numbers; expected 8"):
        ReferencePredictions(tmp_path, 2).cameras()


def test_a_folder_that_another_process_is_writing_is_left_alone(tmp_path):
    frames = [FramePrediction(depth=np.ones((2, 2), np.float32))]

    def while_the_other_writes():
        yield from frames
        save_predictions(tmp_path / "room", ("a",), frames, dtype=np.dtype("float32"))
        save_predictions(tmp_path / "room[1]", ("a",), frames, dtype=np.dtype("float32"))

    save_predictions(tmp_path / "room.2", ("a",), while_the_other_writes(), dtype=np.dtype("float32"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["room", "room.2", "room[1]"]
    assert (tmp_path / "room.2/depth/a.npy").is_file()


def test_what_a_killed_run_left_is_removed_whatever_its_name_holds(tmp_path):
    (tmp_path / ".room[1]@0000").mkdir()
    save_predictions(tmp_path / "room[1]", (), [], dtype=np.dtype("float32"))
    assert [path.name for path in tmp_path.iterdir()] == ["room[1]"]


def test_a_path_of_keyframes_is_scored_at_its_pictures(tmp_path):
    root = write_recordings(tmp_path / "set", names=("room",), frames=12)
    (sequence,) = open_set("relpose", "rgbd", root)
    true = sequence.world_from_cam
    folder = tmp_path / "room"
    keyframes = [0, 1, 4, 7, 11]
    write_tum(folder / "cameras.tum", true[keyframes], np.array(keyframes, float))
    saved = SavedPredictions(folder, sequence.stems)
    assert np.flatnonzero(saved.has_camera()).tolist() == keyframes
    score, _ = RelativePose().score(sequence, saved)
    assert score.notes["pictures_without_camera"] == 7
    metrics = score.groups["se3"][0].metrics
    assert metrics["ate"] == pytest.approx(0, abs=1e-6)
    assert metrics["rpe_trans"] == pytest.approx(0, abs=1e-6)  # of the one step between neighbours
    with pytest.raises(ValueError, match="parity needs all"):
        RelativePose(parity=True).score(sequence, saved)
    write_tum(folder / "cameras.tum", true[::2], np.arange(0.0, 12, 2))
    metrics = RelativePose().score(sequence, saved)[0].groups["sim3"][0].metrics
    assert metrics["ate"] == pytest.approx(0, abs=1e-6)
    assert "rpe_trans" not in metrics
