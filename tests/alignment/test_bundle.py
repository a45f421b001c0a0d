"""Bundle adjustment: errors fall, what is known stays, and a result that is no better is refused."""

import json
import sys
from dataclasses import replace
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest
import torch

pytest.importorskip("pycolmap", reason="SKIPPED LOUDLY: no pycolmap (pip install cut3r[ba])")
pytest.importorskip("pyceres", reason="SKIPPED LOUDLY: no pyceres (pip install cut3r[ba])")

from cut3r.alignment.bundle import BundleConfig, adjust_tracks, bundle_adjust
from cut3r.alignment.bundle_gate import GateConfig
from cut3r.alignment.bundle_known import PosePulls
from cut3r.alignment.bundle_packages import check_packages
from cut3r.alignment.tracks import Tracks
from cut3r.geometry.poses import rotation_angle
from tests.alignment.planted_tracks import plant, with_known_poses
from tests.alignment.rendered import scene, without_texture


@pytest.fixture(scope="module")
def planted():
    return plant()


@pytest.fixture(scope="module")
def adjusted(planted):
    return adjust_tracks(planted.aligned, planted.tracks)


def test_errors_fall(planted, adjusted):
    after, report = adjusted
    assert report["verdict"] == "kept"
    before = planted.errors(planted.aligned)
    assert all(ours < 0.25 * theirs for ours, theirs in zip(planted.errors(after), before, strict=True))
    assert report["reprojection_after_px"] < 0.2 * report["reprojection_before_px"]


def test_the_report_is_json_and_says_what_was_done(adjusted):
    _, report = adjusted
    assert json.loads(json.dumps(report)) == report
    assert report["inliers"] > 0.9 * report["observations"] and report["parallax_deg"] > 2
    assert report["focal_px"]["after"] == pytest.approx([200.0], rel=0.02)


def test_the_first_camera_and_the_unit_stay(planted, adjusted):
    after, _ = adjusted
    assert torch.equal(after.world_from_cam[0], planted.aligned.world_from_cam[0])
    assert float(after.world_from_cam[-1, :3, 3].norm()) == pytest.approx(
        float(planted.world_from_cam[-1, :3, 3].norm()), rel=0.02
    )


def test_points_lie_on_the_rays_of_the_new_lens(adjusted):
    after, report = adjusted
    points, camera = after.points(2).double(), after.intrinsics[2].double()
    seen = points / points[..., 2:] @ camera.mT
    y, x = torch.meshgrid(torch.arange(48), torch.arange(64), indexing="ij")
    offset = (seen[..., :2] - torch.stack((x, y), dim=-1)).abs().amax()
    assert float(offset) < (0.01 if report["k1"] == [0.0] else 1.5)
    some = after.points_at(2, torch.tensor([3, 60]), torch.tensor([7, 40]))
    torch.testing.assert_close(some, after.points(2)[[7, 40], [3, 60]])


def test_depth_is_scaled_to_agree_with_the_new_points(planted):
    wrong = replace(planted.aligned, scales=torch.tensor([1.0, 1.0, 1.12, 1.0, 1.0, 1.0]))
    after, report = adjust_tracks(wrong, planted.tracks)
    assert report["verdict"] == "kept" and report["depth_scales"][2] == pytest.approx(1 / 1.12, rel=0.02)
    assert float(after.scales[2]) == pytest.approx(1.0, rel=0.02)


def test_before_is_where_frames_were_before_with_points_as_large_as_then(planted):
    """What the page's switch shows: depth was scaled since, and must be scaled back."""
    wrong = replace(planted.aligned, scales=torch.tensor([1.0, 1.0, 1.12, 1.0, 1.0, 1.0]))
    after, report = adjust_tracks(wrong, planted.tracks)
    assert report["verdict"] == "kept" and not torch.equal(after.world_from_cam, wrong.world_from_cam)
    assert torch.equal(after.before.translation, wrong.before.translation)
    for k in range(6):
        then, now = wrong.points(k)[..., 2] * wrong.before.scale[k], after.points(k)[..., 2] * after.before.scale[k]
        torch.testing.assert_close(now, then, atol=0, rtol=1e-4)


def test_known_intrinsics_stay_exactly():
    planted = plant(known=True)
    after, report = adjust_tracks(planted.aligned, planted.tracks)
    assert report["verdict"] == "kept"
    assert torch.equal(after.intrinsics, planted.aligned.intrinsics)
    assert planted.errors(after)[0] < 0.25 * planted.errors(planted.aligned)[0]


def test_known_poses_stay_exactly(planted):
    aligned = with_known_poses(planted, [1, 4])
    after, report = adjust_tracks(aligned, planted.tracks)
    assert report["verdict"] == "kept"
    assert torch.equal(after.world_from_cam[[1, 4]], aligned.world_from_cam[[1, 4]])
    assert planted.errors(after)[1] < 0.01


SIGMA = (0.002, 0.001)  # metres, radians


def off(aligned, planted, frames):
    """The largest distance (metres) and turn (radians) of these frames from the truth."""
    found, truth = aligned.world_from_cam[frames].double(), planted.world_from_cam[frames]
    turn = rotation_angle(found[:, :3, :3], truth[:, :3, :3])
    return float((found - truth)[:, :3, 3].norm(dim=-1).max()), float(turn.max())


def test_poses_with_a_small_error_pull_their_frames_to_them(planted):
    known = {k: planted.world_from_cam[k] for k in (1, 3, 5)}
    aligned = replace(planted.aligned, taken=replace(planted.aligned.taken, world_from_cam=known))
    after, report = adjust_tracks(aligned, planted.tracks, BundleConfig(pose_sigma=SIGMA))
    free, _ = adjust_tracks(aligned, planted.tracks, held=())
    assert report["verdict"] == "kept"
    near, far = off(after, planted, [1, 3, 5]), off(free, planted, [1, 3, 5])
    assert near[0] < 3 * SIGMA[0] and near[1] < 3 * SIGMA[1], "they were off by 5 cm and 1.5 degrees"
    assert far[0] > 2 * near[0], "without the pull, scale and bend come from predictions"
    assert off(after, planted, [0, 2, 4])[0] < 0.02


def test_poses_with_a_large_error_pull_little(planted):
    wrong = {k: planted.world_from_cam[k].clone() for k in (1, 3, 5)}
    wrong[3][:3, 3] += torch.tensor((0.0, 0.1, 0.0))
    aligned = replace(planted.aligned, taken=replace(planted.aligned.taken, world_from_cam=wrong))
    after, report = adjust_tracks(aligned, planted.tracks, BundleConfig(pose_sigma=(0.1, 0.1)))
    assert report["verdict"] == "kept" and off(after, planted, [3])[0] < 0.04


def test_a_single_pose_with_an_error_stays(planted):
    aligned = with_known_poses(planted, [2])
    after, report = adjust_tracks(aligned, planted.tracks, BundleConfig(pose_sigma=SIGMA))
    assert report["verdict"] == "kept" and torch.equal(after.world_from_cam[2], aligned.world_from_cam[2])


def test_known_poses_grow_with_a_world_that_a_distance_made_larger(planted):
    known = {k: planted.world_from_cam[k] for k in (1, 3, 5)}
    aligned = replace(planted.aligned, taken=replace(planted.aligned.taken, world_from_cam=known))
    aligned = replace(aligned, report=aligned.report | {"world_scaled_by": 3.0})
    pulls = PosePulls.of(aligned, [list(range(6))], SIGMA)
    torch.testing.assert_close(torch.from_numpy(pulls.poses[3][:3, 3]), 3 * known[3][:3, 3])
    assert pulls.sigma == (3 * SIGMA[0], SIGMA[1]) and float(known[3][0, 3]) == float(planted.world_from_cam[3, 0, 3])


def test_a_frame_without_details_keeps_its_place_among_its_neighbours(planted):
    tracks = planted.tracks
    rows = tracks.frame != 3
    count = np.bincount(tracks.track[rows], minlength=len(tracks))
    rows &= count[tracks.track] >= 2
    _, track = np.unique(tracks.track[rows], return_inverse=True)
    gate = GateConfig(frames=0.8)
    after, report = adjust_tracks(
        planted.aligned, Tracks(track, tracks.frame[rows], tracks.pixels[rows]), BundleConfig(gate=gate)
    )
    assert report["verdict"] == "kept"
    assert float((after.world_from_cam[3] - planted.world_from_cam[3]).abs().max()) < 0.1


def test_without_any_track_the_alignment_stands(planted):
    nothing = Tracks(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 2)))
    after, report = adjust_tracks(planted.aligned, nothing)
    assert after is planted.aligned and report["verdict"] == "no point was found in two pictures"


def test_what_is_refused_leaves_the_alignment_as_it_is(planted):
    after, report = adjust_tracks(planted.aligned, planted.tracks, BundleConfig(gate=GateConfig(fewest_inliers=10**6)))
    assert after is planted.aligned and "of the frames have" in report["verdict"]


def test_without_parallax_the_focal_length_stays():
    planted = plant(metres=0.0, degrees=0.5, travel=0.0)  # a camera that only turns
    _, report = adjust_tracks(planted.aligned, planted.tracks)
    assert report["parallax_deg"] < 1
    assert report["focal_px"]["after"] == pytest.approx([210.0], rel=1e-6)


@pytest.mark.parametrize("missing", ["pycolmap", "pyceres"])
def test_a_missing_package_is_one_sentence(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match=rf"needs pycolmap and pyceres.*{missing}.*cut3r\[ba\]"):
        check_packages()


def test_packages_of_different_ceres_are_refused(monkeypatch):
    other = ModuleType("pyceres")
    other.__ceres_version__ = "1.9.0"
    monkeypatch.setitem(sys.modules, "pyceres", other)
    with pytest.raises(ValueError, match="cannot share a problem"):
        check_packages()


def test_the_packages_here_fit():
    check_packages()
    assert import_module("pyceres").__ceres_version__


@pytest.mark.slow
def test_a_rendered_room_is_put_right():
    room = scene(frames=8)
    aligned = room.disturbed()
    after, report = bundle_adjust(aligned, lambda: iter(room.frames))
    assert report["verdict"] == "kept"
    ours, theirs = room.errors(after), room.errors(aligned)
    assert ours[0] < 0.1 * theirs[0] and ours[1] < 0.2 * theirs[1] and ours[2] < 0.5 * theirs[2]
    assert report["reprojection_after_px"] < 0.2 * report["reprojection_before_px"]


@pytest.mark.slow
def test_a_rendered_room_stays_near_poses_that_are_known_well():
    room = scene(frames=6)
    known = {k: room.world_from_cam[k] for k in (0, 2, 5)}
    aligned = room.disturbed()
    aligned = replace(aligned, taken=replace(aligned.taken, world_from_cam=known))
    after, report = bundle_adjust(aligned, lambda: iter(room.frames), BundleConfig(pose_sigma=SIGMA))
    free, _ = bundle_adjust(aligned, lambda: iter(room.frames), held=())
    assert report["verdict"] == "kept"
    near, far = off(after, room, [0, 2, 5]), off(free, room, [0, 2, 5])
    assert near[0] < 3 * SIGMA[0] and near[1] < 3 * SIGMA[1] and far[0] > near[0]
    assert room.errors(after)[1] < 0.1 * room.errors(aligned)[1]


@pytest.mark.slow
def test_a_room_without_texture_gets_no_worse():
    room = without_texture(frames=6)
    aligned = room.disturbed()
    after, report = bundle_adjust(aligned, lambda: iter(room.frames))
    if report["verdict"] == "kept":
        assert room.errors(after)[0] < room.errors(aligned)[0]
        assert room.errors(after)[1] < room.errors(aligned)[1]
    else:
        assert after is aligned
