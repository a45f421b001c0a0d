"""The benchmarks of training and of the bundled network: run as a user runs them, and the scores behind them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.clips import room_clip, seen_depth, some_depth, walk_clip
from benchmarks.scores import (
    Guess,
    Truth,
    constant_velocity,
    improvement,
    mean_depth_map,
    no_motion,
    path_length,
    score,
    summary,
)
from benchmarks.training_curve import draw, minutes
from cut3r.data.synthetic import HELD_OUT_SEED, TRAINING_SEED
from cut3r.data.walks import WalkConfig
from cut3r.geometry.poses import pose_from_parts
from cut3r.inference.preprocess import FitConfig, fit
from cut3r.io.depth import write_depth
from cut3r.model.network import Cut3r
from cut3r.weights.checkpoint import save

ROOT = Path(__file__).parents[2]
SCORES = {"abs_rel", "delta", "failed", "ate", "ate_sim3", "rotation_deg"}
CONFIG = WalkConfig(size=(12, 16), frames=4)


def run_benchmark(name: str, *flags: str) -> tuple[str, dict]:
    """Return what the benchmark prints, and its last line as a record."""
    command = [sys.executable, f"benchmarks/{name}.py", "--threads", "1", *flags]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout, json.loads(run.stdout.splitlines()[-1])


def turned(degrees: float) -> torch.Tensor:
    """A rotation about the vertical axis."""
    angle = torch.tensor(degrees).deg2rad()
    c, s = angle.cos(), angle.sin()
    return torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def straight_path(steps: list[float], degrees: float = 0) -> torch.Tensor:
    """Poses along the x axis, so many metres from frame to frame, each turned so much more."""
    x = torch.tensor([0.0, *steps]).cumsum(dim=0)
    return torch.stack(
        [pose_from_parts(turned(k * degrees), torch.tensor([float(at), 0, 0])) for k, at in enumerate(x)]
    )


def truth(first_from_cam: torch.Tensor, depth: float = 2.0) -> Truth:
    return Truth(torch.full((len(first_from_cam), 3, 4), depth), first_from_cam)


def write_room(folder: Path, frames: int = 3) -> None:
    folder.mkdir()
    for number in range(frames):
        stem = folder / f"frame-{5 * number:06d}"
        Image.fromarray(np.full((48, 64, 3), 40 * number, np.uint8)).save(f"{stem}.color.jpg")
        depth = np.full((48, 64), 1.5, np.float32)
        depth[0], depth[1] = 0, 65.535  # no depth, and too far
        write_depth(f"{stem}.depth.png", depth)
        np.savetxt(f"{stem}.pose.txt", straight_path([0.5] * frames)[number].numpy())


def test_the_truth_has_no_errors():
    clip = walk_clip((HELD_OUT_SEED, 0, CONFIG))
    first_from_cam = torch.from_numpy(np.linalg.inv(clip.world_from_cam[0]) @ clip.world_from_cam).double()
    exact = Truth(torch.from_numpy(np.stack(clip.depth)), first_from_cam)
    scores = score(Guess(exact.depth, exact.first_from_cam), exact)
    assert scores.pop("delta") == 1
    assert scores == pytest.approx(dict.fromkeys(SCORES - {"delta"}, 0.0), abs=1e-5)


def test_errors_of_the_path_are_shares_of_its_length():
    still = score(no_motion(truth(straight_path([1.0, 1.0, 1.0]))), truth(straight_path([1.0, 1.0, 1.0])))
    assert still["ate"] == pytest.approx(((0 + 1 + 4 + 9) / 4) ** 0.5 / 3)
    assert path_length(straight_path([1.0, 1.0, 1.0])) == pytest.approx(3)


def test_a_camera_that_stands_still_is_brought_to_the_middle_of_the_path():
    scores = score(no_motion(truth(straight_path([1.0, 1.0]))), truth(straight_path([1.0, 1.0])))
    assert scores["ate_sim3"] == pytest.approx((2 / 3) ** 0.5 / 2)


def test_no_motion_does_not_turn_either():
    turning = truth(straight_path([1.0, 1.0, 1.0], degrees=10))
    assert score(no_motion(turning), turning)["rotation_deg"] == pytest.approx((0 + 10 + 20 + 30) / 4, abs=1e-4)


def test_constant_velocity_repeats_the_first_step():
    walk = truth(straight_path([1.0, 2.0]))
    guess = constant_velocity(walk)
    assert guess.first_from_cam[:, 0, 3].tolist() == [0, 1, 2]
    assert score(guess, walk)["ate"] == pytest.approx((1 / 3) ** 0.5 / 3)


def test_constant_velocity_follows_a_steady_curve_exactly():
    step = pose_from_parts(turned(7.0), torch.tensor([0.3, 0.0, 1.0])).double()
    curve = truth(torch.stack([torch.linalg.matrix_power(step, k) for k in range(6)]))
    scores = score(constant_velocity(curve), curve)
    assert [scores["ate"], scores["rotation_deg"]] == pytest.approx([0, 0], abs=1e-6)


def test_only_the_aligned_error_forgives_another_scale():
    walk = truth(torch.stack([pose_from_parts(torch.eye(3), at) for at in torch.eye(3)]))
    scores = score(Guess(first_from_cam=truth(2 * walk.first_from_cam).first_from_cam), walk)
    assert scores["ate"] == pytest.approx(1 / (2 * 2**0.5))
    assert scores["ate_sim3"] == pytest.approx(0, abs=1e-6)


def test_the_mean_depth_map_stands_before_every_frame():
    walk = truth(straight_path([1.0, 1.0]), depth=4.0)
    scores = score(mean_depth_map(torch.full((6, 8), 3.0), walk), walk)
    assert scores["abs_rel"] == pytest.approx(0.25)
    assert scores["ate"] is None


def test_unknown_depth_is_not_scored():
    half = truth(straight_path([1.0, 1.0]), depth=4.0)
    half.depth[:, 0] = 0
    assert score(mean_depth_map(torch.full((3, 4), 3.0), half), half)["abs_rel"] == pytest.approx(0.25)


def test_a_camera_without_a_path_is_refused():
    with pytest.raises(ValueError, match="does not move"):
        score(no_motion(truth(straight_path([0.0, 0.0]))), truth(straight_path([0.0, 0.0])))


def test_times_better_compares_with_the_best_baseline():
    model = {"abs_rel": 0.1, "delta": 0.9, "ate": 0.2}
    baselines = [{"abs_rel": 0.5, "delta": 0.3, "ate": None}, {"abs_rel": None, "delta": None, "ate": 0.1}]
    assert improvement(model, baselines) == {"abs_rel": 5.0, "delta": None, "ate": 0.5}


def test_the_summary_of_nothing_is_nothing():
    assert summary([{"ate": 1.0, "delta": None}, {"ate": 4.0, "delta": None}]) == {
        "ate": {"mean": 2.5, "median": 2.5},
        "delta": None,
    }


def test_held_out_rooms_are_others():
    held_out, trained = (walk_clip((seed, 0, CONFIG)) for seed in (HELD_OUT_SEED, TRAINING_SEED))
    assert not np.array_equal(held_out.depth[0], trained.depth[0])


def test_the_mean_depth_map_is_made_of_the_depth_that_training_sees():
    config = WalkConfig(size=(12, 16), frames=11)
    depth = some_depth((TRAINING_SEED, 3, config))
    np.testing.assert_allclose(depth, np.stack(walk_clip((TRAINING_SEED, 3, config)).depth)[[0, 10]], rtol=1e-5)


def test_a_recorded_room_leaves_out_what_its_sensor_did_not_see(tmp_path):
    write_room(tmp_path / "room")
    clip = room_clip(tmp_path / "room")
    assert [frame.name for frame in clip.frames] == [f"frame-{n:06d}.color.jpg" for n in (0, 5, 10)]
    assert np.unique(clip.depth[0]).tolist() == [0, 1.5]
    assert clip.world_from_cam[:, 0, 3].tolist() == [0, 0.5, 1.0]


def test_a_folder_that_is_no_room_is_refused(tmp_path):
    with pytest.raises(ValueError, match="0 frames"):
        room_clip(tmp_path)


def test_true_depth_is_looked_up_where_the_network_looks():
    rgb = np.zeros((96, 160, 3), np.uint8)
    _, pixel_map = fit(rgb, FitConfig(size=64))
    column = np.broadcast_to(np.arange(160, dtype=np.float32), (96, 160)).copy()
    seen = seen_depth(column, pixel_map)
    assert seen.shape == pixel_map.image_size
    expected = (torch.arange(64) + 0.5) * 2.5 - 0.5  # 160 original columns over 64
    assert float((seen[0] - expected).abs().max()) <= 0.5


@pytest.mark.slow
def test_tiny_compares_the_network_with_the_baselines(tmp_path, tiny_linear: Cut3r):
    save(tiny_linear, tmp_path / "net.safetensors")
    write_room(tmp_path / "room")
    sizes = ["--walks", "2", "--frames", "10", "--mean_walks", "2", "--workers", "0"]
    files = ["--picture", str(tmp_path / "walks.png"), "--out", str(tmp_path / "record.json")]
    printed, record = run_benchmark(
        "tiny", "--model_path", str(tmp_path / "net.safetensors"), "--room", str(tmp_path / "room"), *sizes, *files
    )
    assert json.loads((tmp_path / "record.json").read_text()) == record
    assert (tmp_path / "walks.png").read_bytes().startswith(b"\x89PNG")
    assert printed.count("times better") == 2
    assert (record["walks"]["seed"], record["walks"]["count"], record["image_size"]) == (HELD_OUT_SEED, 2, [48, 64])
    for part, sequences in (("walks", 2), ("room", 1)):
        assert set(record[part]["scores"]) == {"network", "mean depth map", "no motion", "constant velocity"}
        assert all(set(row) == SCORES for row in record[part]["scores"].values())
        assert len(record[part]["network"]) == sequences
    assert record["room"]["scores"]["constant velocity"]["ate"]["mean"] == pytest.approx(0, abs=1e-6)
    assert record["walks"]["times_better"]["abs_rel"] > 0
    assert [(row["frames"], row["of"]) for row in record["walks"]["paths"]] == [
        (10, name) for name in ("network", "no motion", "constant velocity")
    ]
    assert record["walks"]["paths"][1]["ate_share"] == 1
    assert set(record["walks"]["motion_r2"]["network, another first frame"]) == {"yaw_3", "sideways_3", "forward_3"}
    assert record["walks"]["motion_r2"]["no motion"]["yaw_9"] == 0
    assert set(record["room"]["motion_r2"]["network"]) == {f"{axis}_1" for axis in ("yaw", "sideways", "forward")}
    assert 0 <= record["walks"]["confidence"]["share_1.5"] <= 1


@pytest.mark.slow
def test_train_step_says_where_the_time_goes():
    printed, record = run_benchmark("train_step", "smoke", "data.loader.batch_size=1", "--steps", "2", "--warmup", "1")
    (row,) = record["rows"]
    phases = [row[name] for name in ("waiting", "forward", "backward", "optimizer", "rest")]
    assert "waiting_share" in printed
    assert all(phase > 0 for phase in phases)
    assert row["waiting_share"] == pytest.approx(row["waiting"] / sum(phases))
    assert row["samples_per_s"] == pytest.approx(1e3 / sum(phases))
    assert row["frames_per_s"] == pytest.approx(row["views"] * row["samples_per_s"])


@pytest.mark.slow
def test_loader_measures_each_number_of_workers():
    _, record = run_benchmark("loader", "smoke", "--batches", "1", "--workers", "0", "--workers", "1")
    assert [row["workers"] for row in record["rows"]] == [0, 1]
    for row in record["rows"]:
        assert row["samples_per_s"] == pytest.approx(1e3 * 2 / row["ms_per_batch"])  # batches of two
        assert row["frames_per_s"] == pytest.approx(row["views"] * row["samples_per_s"])
    assert set(record["rendering"]) == {"plan_ms", "alone_ms", "together_ms"}


def log_line(time: float, kind: str = "train") -> dict:
    errors = {"abs_rel": 0.2, "translation_m": 0.1, "rotation_deg": 5.0}
    return {"kind": kind, "time": 1e9 + time, "loss": 1.0, **(errors if kind != "train" else {})}


def test_a_pause_between_two_runs_is_not_training():
    lines = [log_line(time) for time in (0, 20, 50, 70, 7270, 7300)]
    assert minutes(lines) == pytest.approx([0, 1 / 3, 5 / 6, 7 / 6, 7 / 6, 5 / 3])


def test_a_log_without_validation_cannot_be_drawn(tmp_path):
    with pytest.raises(ValueError, match="2 lines of training and 0 of validation"):
        draw([log_line(0), log_line(1)], tmp_path / "curve.png")
    draw([log_line(0), log_line(1, "synthetic")], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_overfit_tells_when_the_goals_were_reached():
    shorter = ["optim.epochs=2", "data.samples.synthetic=2", "data.num_views=2"]
    printed, record = run_benchmark("overfit", *shorter)
    assert "THE GOALS ARE NOT REACHED" in printed  # nothing is learned in four steps
    assert record["passed"] is None
    assert 1 < record["scene_size_m"] < 8  # a room
    assert [row["step"] for row in record["rows"]] == [2, 4]
    assert record["rows"][0]["pose_share"] > 0.02
