"""Each reason for which a bundle adjustment is refused."""

from dataclasses import replace

import numpy as np
import pytest

from cut3r.alignment.bundle_gate import GateConfig, judge
from cut3r.alignment.bundle_state import BundleState
from cut3r.alignment.tracks import Tracks

SIZES = [(480, 640)] * 4
CAMERA = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])


def good(points: int = 50) -> tuple[BundleState, Tracks]:
    """Four cameras 0.1 m apart that see all points exactly."""
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, 0, 3] = 0.1 * np.arange(4)
    cloud = rng.uniform((-1, -1, 3), (1, 1, 5), (points, 3))
    state = BundleState(poses, np.tile(CAMERA, (4, 1, 1)), np.zeros(4), np.zeros(4, int), cloud)
    track, frame = np.repeat(np.arange(points), 4), np.tile(np.arange(4), points)
    local = state.local(Tracks(track, frame, np.zeros((4 * points, 2))))
    return state, Tracks(track, frame, local[:, :2] / local[:, 2:] * 500 + (320, 240))


def moved(state: BundleState, frame: int, metres: float, degrees: float = 0.0) -> BundleState:
    poses = state.world_from_cam.copy()
    poses[frame, 1, 3] += metres
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    poses[frame, :3, :3] = [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    return replace(state, world_from_cam=poses)


def worse(state: BundleState) -> BundleState:
    return replace(state, points=state.points + 0.3)


def test_what_is_better_is_kept():
    state, tracks = good()
    verdict = judge(worse(state), state, tracks, SIZES)
    assert verdict.keeps and verdict.frames_with_inliers == 1
    assert verdict.reprojection_after_px < 1e-6 < verdict.reprojection_before_px


def test_an_error_that_does_not_fall_is_refused():
    state, tracks = good()
    assert "would not fall" in judge(state, worse(state), tracks, SIZES).reason
    assert "would not fall" in judge(state, state, tracks, SIZES).reason


@pytest.mark.parametrize(("points", "kept"), [(29, False), (30, True)])
def test_frames_need_inliers(points, kept):
    state, tracks = good(points)
    verdict = judge(worse(state), state, tracks, SIZES)
    assert verdict.keeps == kept and ("points that fit" in verdict.reason) != kept


def test_one_frame_in_ten_may_have_too_few():
    state, tracks = good()
    rows = (tracks.frame != 2) | (tracks.track < 5)
    few = Tracks(tracks.track[rows], tracks.frame[rows], tracks.pixels[rows])
    assert not judge(worse(state), state, few, SIZES).keeps
    assert judge(worse(state), state, few, SIZES, GateConfig(frames=0.75)).keeps


@pytest.mark.parametrize(("metres", "degrees", "part"), [(2.0, 0.0, "move by"), (0.0, 30.0, "turn by")])
def test_a_camera_that_jumps_is_refused(metres, degrees, part):
    state, tracks = good()
    before = worse(moved(state, 3, metres, degrees))
    verdict = judge(before, state, tracks, SIZES)
    assert verdict.reason.startswith("frame 3 would") and part in verdict.reason


def test_a_point_behind_a_camera_is_no_inlier():
    state, tracks = good()
    behind = replace(state, points=state.points * (1, 1, -1))
    assert judge(worse(state), behind, tracks, SIZES).frames_with_inliers == 0
