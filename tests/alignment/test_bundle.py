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
from cut3r.alignment.bundle_packages import check_packages
from cut3r.alignment.tracks import Tracks
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
    points, camera = after.points_cam[2].double(), after.intrinsics[2].double()
    seen = points / points[..., 2:] @ camera.mT
    y, x = torch.meshgrid(torch.arange(48), torch.arange(64), indexing="ij")
    offset = (seen[..., :2] - torch.stack((x, y), dim=-1)).abs().amax()
    assert float(offset) < (0.01 if report["k1"] == [0.0] else 1.5)


def test_depth_is_scaled_to_agree_with_the_new_points(planted):
    wrong = replace(planted.aligned, scales=torch.tensor([1.0, 1.0, 1.12, 1.0, 1.0, 1.0]))
    after, report = adjust_tracks(wrong, planted.tracks)
    assert report["verdict"] == "kept" and report["depth_scales"][2] == pytest.approx(1 / 1.12, rel=0.02)
    assert float(after.scales[2]) == pytest.approx(1.0, rel=0.02)


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
def test_a_room_without_texture_gets_no_worse():
    room = without_texture(frames=6)
    aligned = room.disturbed()
    after, report = bundle_adjust(aligned, lambda: iter(room.frames))
    if report["verdict"] == "kept":
        assert room.errors(after)[0] < room.errors(aligned)[0]
        assert room.errors(after)[1] < room.errors(aligned)[1]
    else:
        assert after is aligned
