"""Drift over segments: closed forms, and evo's relative pose error over segments that a loop finds."""

import math

import numpy as np
import pytest
import torch
from evo.core import lie_algebra
from evo.core.metrics import RPE

from cut3r.metrics.odometry import LENGTHS_M, segment_errors


def drive(heading_deg, step_m: float = 1.0, frames: int = 1200) -> torch.Tensor:
    """A planar path; the heading (of travel and of the camera) is a function of the metres driven."""
    poses, place = [], np.zeros(3)
    for frame in range(frames):
        angle = math.radians(heading_deg(frame * step_m))
        pose = np.eye(4)
        pose[:3, :3] = [[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]]
        pose[:3, 3] = place
        place = place + step_m * pose[:3, 2]
        poses.append(pose)
    return torch.from_numpy(np.stack(poses))


def scaled(path: torch.Tensor, factor: float) -> torch.Tensor:
    longer = path.clone()
    longer[:, :3, 3] *= factor
    return longer


def test_the_truth_in_another_world_has_no_drift():
    true = drive(lambda metres: 0.1 * metres)
    errors = segment_errors(drive(lambda _: 33.0, frames=2)[1] @ true, true)
    assert errors.t_rel == pytest.approx(0, abs=1e-12)
    assert errors.r_rel == pytest.approx(0, abs=1e-6)
    assert set(errors.length_m.tolist()) == set(LENGTHS_M)


def test_an_error_of_scale_is_the_drift():
    """On a line the end of a segment is wrong by that share of its length; here it ends a step after the length."""
    true = drive(lambda _: 0.0)
    errors = segment_errors(scaled(true, 1.03), true)
    assert errors.drift.tolist() == pytest.approx((0.03 * (errors.length_m + 1) / errors.length_m).tolist())
    assert errors.r_rel == pytest.approx(0, abs=1e-9)


def test_a_steady_turn_of_a_straight_path_is_found_in_degrees_per_100_metres():
    errors = segment_errors(drive(lambda metres: 0.02 * metres), drive(lambda _: 0.0))
    hundred = errors.length_m == 100
    assert float(torch.rad2deg(errors.turn[hundred] * 100).mean()) == pytest.approx(0.02 * 101)
    radius = 1 / math.radians(0.02)
    chord = (radius * math.sin(101 / radius) - 101, radius * (1 - math.cos(101 / radius)))
    assert float(errors.drift[hundred].mean()) == pytest.approx(math.hypot(*chord) / 100, rel=0.02)


def test_segments_and_errors_are_those_of_a_loop_with_evos_errors():
    rng = np.random.default_rng(0)
    true = drive(lambda metres: 40 * math.sin(metres / 60), step_m=1.7, frames=700)
    said = torch.stack(
        [pose @ torch.from_numpy(lie_algebra.se3(lie_algebra.so3_exp(rng.normal(0, 0.02, 3)), rng.normal(0, 0.3, 3)))
         for pose in true]
    )  # fmt: skip
    way = np.concatenate(([0], np.linalg.norm(np.diff(true[:, :3, 3].numpy(), axis=0), axis=1).cumsum()))
    drift, turn = [], []
    for first in range(0, len(true), 10):
        for length in LENGTHS_M:
            last = next((k for k in range(first, len(true)) if way[k] > way[first] + length), None)
            if last is not None:
                wrong = RPE.rpe_base(*(poses[k].numpy() for poses in (true, said) for k in (first, last)))
                drift.append(np.linalg.norm(wrong[:3, 3]) / length)
                turn.append(np.linalg.norm(lie_algebra.so3_log(wrong[:3, :3])) / length)
    errors = segment_errors(said, true)
    assert len(drift) == len(errors.drift) > 200
    assert errors.t_rel == pytest.approx(np.mean(drift), rel=1e-3)  # |E^-1| and |E| differ where E turns
    assert errors.r_rel == pytest.approx(100 * math.degrees(np.mean(turn)))


def test_a_path_shorter_than_all_lengths_has_no_drift_to_speak_of():
    errors = segment_errors(drive(lambda _: 0.0, frames=90), drive(lambda _: 0.0, frames=90))
    assert len(errors.drift) == 0
    assert math.isnan(errors.t_rel)
