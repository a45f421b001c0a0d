"""Points that several frames agree on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.export.exported import ExportedFrame
from cut3r.export.tracks import TrackConfig, find_tracks
from cut3r.inference.frame_folder import read_frame_folder
from tests.export.room import make_room


def frames_of(room):
    return [
        ExportedFrame.of_view(saved.view(), f"{saved.number}", confidence=1.0, edges=0.03)
        for saved in read_frame_folder(room.folder)
    ]


@pytest.fixture(scope="module")
def frames(room):
    return frames_of(room)


def observations(tracks, number):
    """The points that a frame sees, and where."""
    return tracks.world[tracks.points[number]], tracks.pixels[number]


def test_what_a_frame_sees_is_what_its_depth_says_and_nothing_hidden(frames):
    tracks = find_tracks(frames, TrackConfig())
    assert len(tracks.world) > 5000 and tracks.confirmed > 0.8
    for number, frame in enumerate(frames):
        world, pixels = observations(tracks, number)
        cam = (world - frame.world_from_cam[:3, 3].numpy()) @ frame.world_from_cam[:3, :3].numpy()
        at = frame.pixel_map.pixels_to_image(torch.from_numpy(pixels)).round().long().numpy()
        depth = frame.depth.numpy()[at[:, 1], at[:, 0]]
        known = depth > 0
        assert known.mean() > 0.9
        assert np.median(np.abs(cam[known, 2] / depth[known] - 1)) < 5e-3  # the nearest pixel is half a pixel off
        assert np.quantile(np.abs(cam[known, 2] / depth[known] - 1), 0.98) < 0.04


def test_errors_are_those_of_the_projections(tmp_path):
    frames = frames_of(make_room(tmp_path, frames=4, noise=0.005))
    tracks = find_tracks(frames, TrackConfig())
    off = np.zeros(len(tracks.world))
    for number, frame in enumerate(frames):
        world, pixels = observations(tracks, number)
        cam = (world - frame.world_from_cam[:3, 3].numpy()) @ frame.world_from_cam[:3, :3].numpy()
        projected = (cam @ frame.intrinsics_original.T)[:, :2] / cam[:, 2:]
        np.add.at(off, tracks.points[number], np.linalg.norm(projected - pixels, axis=1))
    np.testing.assert_allclose(off / np.diff(tracks.starts), tracks.errors, atol=1e-9)
    assert 1e-3 < tracks.errors.mean() < 1


def test_a_surface_has_one_layer_of_points(frames):
    """As many points as a few pictures have pixels, not as all of them together."""
    tracks = find_tracks(frames, TrackConfig())
    pixels = int((frames[0].depth > 0).sum())
    assert len(tracks.world) < 2.5 * pixels < sum(int((frame.depth > 0).sum()) for frame in frames) / 3


def test_there_are_at_most_as_many_points_as_are_wanted_and_all_frames_see_some(frames):
    tracks = find_tracks(frames, TrackConfig(most=500))
    assert 300 < len(tracks.world) <= 500
    assert min(map(len, tracks.pixels)) > 100
    assert np.diff(tracks.starts).min() >= 3


def test_a_frame_in_a_wrong_place_sees_nothing(frames):
    wrong = frames[3].world_from_cam.clone()
    wrong[:3, 3] += torch.tensor([0.0, 0.0, 40.0])
    moved = [*frames[:3], replace(frames[3], world_from_cam=wrong), *frames[4:]]
    tracks = find_tracks(moved, TrackConfig())
    assert len(tracks.pixels[3]) == 0
    kept = [number for number in range(len(frames)) if number != 3]
    rest = tracks.of_frames(kept)
    assert len(rest.pixels) == len(frames) - 1 and set(rest.frames) == set(range(len(frames) - 1))
    for place, number in enumerate(kept):
        np.testing.assert_array_equal(rest.pixels[place], tracks.pixels[number])


def test_two_frames_need_no_third(frames):
    assert np.diff(find_tracks(frames[:2], TrackConfig()).starts).tolist().count(2) > 1000
    assert len(find_tracks(frames[:1], TrackConfig()).world) > 1000


@pytest.mark.parametrize("wrong", [{"most": 0}, {"tolerance": 1.0}, {"views": 0}, {"neighbours": 0}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="cannot be made"):
        TrackConfig(**wrong)
