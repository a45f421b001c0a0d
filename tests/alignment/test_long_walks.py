"""The table of long walks: several seeds, recordings as walks, and what is skipped says so."""

import argparse
import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

import cut3r
from eval.sequences.sequence import Sequence
from tests.alignment.walked import BY_COUNT, Drift, DriftingOracle, Way, run

accuracy, walks, stream = (importlib.import_module(name) for name in ("long_accuracy", "long_walks", "long_stream"))


def recording() -> Sequence:
    """A camera that moves sideways in front of a wall two metres away."""
    cameras = np.tile(np.eye(4), (12, 1, 1))
    cameras[:, 0, 3] = np.linspace(0, 0.5, 12)
    pinhole = np.array([[60.0, 0, 47.5], [0, 60.0, 31.5], [0, 0, 1]])
    depth = np.full((64, 96), 2.0)
    depth[:, :10] = 0  # unknown
    images = tuple(Path(f"{number}.png") for number in range(12))
    return Sequence("wall", images, lambda _: depth, cameras, np.tile(pinhole, (12, 1, 1)))


def test_a_recording_becomes_a_walk_whose_truth_the_session_finds():
    walk = walks.RecordedWalk(recording(), 40)
    assert walk.world_from_cam[:, 0, 3].diff().abs().max() < 0.05, "to and fro, without a jump"
    assert torch.equal(walk.world_from_cam[22], walk.world_from_cam[0])
    points = (walk._rays * walk.depth[0][..., None])[:, 10:]
    assert points[..., 2].unique().tolist() == [2.0]
    # the last column lies over columns 94 and 95 of the picture, whose middle is 47.5
    assert points[0, -1, 0].item() == pytest.approx(2 * (94.5 - 47.5) / 60)
    done = run(DriftingOracle(walk, Drift.none()), Way(BY_COUNT))
    assert done.ate_m < 1e-3 and len(done.world_from_cam) == len(done.quality) == 40


def test_rounded_poses_become_rigid_again():
    rounded = torch.eye(4).double()[None].repeat(3, 1, 1)
    rounded[:, :3, :3] = torch.tensor([[0.866, -0.5, 0], [0.5, 0.866, 0], [0, 0, 1.0]]).double()
    rounded[:, :3, 3] = 7.0
    rotation = walks.rigid(rounded)[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).double().expand(3, 3, 3), atol=1e-12, rtol=0)
    torch.testing.assert_close(rotation, rounded[:, :3, :3], atol=1e-3, rtol=0)


def test_to_and_fro_shows_no_frame_twice_in_a_row():
    assert walks.to_and_fro(3, 8) == [0, 1, 2, 1, 0, 1, 2, 1]


def arguments(**changed) -> argparse.Namespace:
    return argparse.Namespace(**{"frames": [24], "seeds": 2, "ways": ["no reset"], "brief": True} | changed)


def test_rows_tell_the_mean_and_spread_over_seeds():
    (row,), reason = accuracy.compare("walk", arguments())
    errors = [
        run(DriftingOracle(accuracy.PlantedWalk(24, size=accuracy.SIZE, seed=seed), seed=seed), Way()).ate_m
        for seed in range(2)
    ]
    assert row["ate_cm"] == pytest.approx(100 * np.mean(errors), abs=0.01) and not reason
    assert row["sd_cm"] == pytest.approx(100 * np.std(errors, ddof=1), abs=0.01)
    assert row["without_drift_cm"] == ""


def test_a_recording_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(walks.open_room, "__defaults__", (tmp_path,))
    rows, reason = accuracy.compare("room", arguments())
    assert rows == [] and str(tmp_path) in reason


def test_a_long_stream_that_keeps_nothing_is_no_measurement():
    model = stream.with_points_ahead(stream.random_network(stream.tiny(), torch.device("cpu")))
    session, scene = cut3r.Session(model, resets=cut3r.ResetConfig(), loops=cut3r.StreamLoops()), cut3r.Reconstruction()
    with pytest.raises(RuntimeError, match="no points and no anchors and no frames of the overlap"):
        stream.check_kept(session, scene, chunks=True)
    for frame in stream.moving_pattern(3):
        scene.add(session.push(frame))
    stream.check_kept(session, scene, chunks=True)
