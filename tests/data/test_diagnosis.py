"""Each wrong convention is named rightly, what is right passes, and what nobody can tell is not guessed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.data import hypotheses
from cut3r.data.diagnosis import Verdict, diagnose, percent
from cut3r.geometry.cameras import resize_intrinsics
from tests.data.walk_frames import MISTAKES, along_ray, exact, pairs_of, sparse, stored, walk_frames

COARSE = [name for name in MISTAKES if "principal" not in name]
SEEDS = (0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2)))


def judged(frames, mistake=exact, **choice):
    return diagnose(pairs_of([mistake(frame) for frame in frames], **choice))


def kept(kind, seed):
    frames = walk_frames(seed, size=(240, 320)) if kind is sparse else walk_frames(seed)
    return [kind(frame) for frame in frames]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", [exact, stored, sparse])
def test_what_is_right_fits(kind, seed):
    diagnosis = judged(kept(kind, seed))
    assert diagnosis.verdict is Verdict.fits and diagnosis.best is diagnosis.as_given
    assert not diagnosis.not_ruled_out and diagnosis.sentence.startswith("the conventions fit")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", [exact, stored])
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name, kind, seed):
    diagnosis = judged(kept(kind, seed), MISTAKES[name])
    assert diagnosis.verdict is Verdict.wrong and diagnosis.best.hypothesis.name == name
    assert diagnosis.best.depth_error < 0.001


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("axes", ["x", "y", "x, y"])
def test_a_principal_point_that_is_counted_from_another_side_is_named(axes, seed):
    def off_centre(frame):  # cut off 6 columns and 5 rows, so that the middle is elsewhere
        intrinsics = frame.intrinsics.copy()
        intrinsics[:2, 2] -= 6, 5
        return replace(frame, rgb=frame.rgb[5:, 6:], depth=frame.depth[5:, 6:], intrinsics=intrinsics)

    frames = [off_centre(frame) for frame in walk_frames(seed)]
    assert judged(frames).verdict is Verdict.fits
    diagnosis = judged(frames, hypotheses.mirrored(axes).correct)  # its own inverse
    assert diagnosis.best.hypothesis.name == f"principal point mirrored in {axes}"
    assert diagnosis.best.depth_error < 0.001


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("zoom", [(1.06, 1.06), (1.0, 1.06)])
def test_the_calibration_of_another_lens_is_named(zoom, seed):
    def zoomed(frame):
        intrinsics = frame.intrinsics.copy()
        intrinsics[[0, 1], [0, 1]] *= zoom
        return replace(frame, intrinsics=intrinsics)

    frames = [stored(frame) for frame in walk_frames(seed)]
    best = judged(frames, zoomed).best
    assert best.hypothesis.name == "other intrinsics"
    fitted = best.hypothesis.correct(zoomed(frames[0])).intrinsics
    np.testing.assert_allclose(np.diag(fitted), np.diag(frames[0].intrinsics), rtol=0.01)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", COARSE)
def test_a_mistake_is_named_where_two_percent_of_the_depth_are_known(name, seed):
    diagnosis = judged(kept(sparse, seed), MISTAKES[name])
    assert diagnosis.verdict is Verdict.wrong and diagnosis.best.hypothesis.name == name


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sign", ["+", "-"])
def test_sparse_depth_never_names_another_mistake_for_half_a_pixel(sign, seed):
    name = f"principal point {sign}0.5 px"
    assert judged(kept(sparse, seed), MISTAKES[name]).best.hypothesis.name in ("as given", name)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_noisy_depth_neither_passes_for_half_a_pixel_nor_for_another_scale(noise, seed):
    rng = np.random.default_rng(seed)
    frames = [
        replace(frame, depth=(frame.depth * (1 + noise * rng.standard_normal(frame.size))).astype(np.float32))
        for frame in walk_frames(seed)
    ]
    assert judged(frames).verdict is Verdict.fits
    assert judged(frames, hypotheses.inverted_pose).best.hypothesis is hypotheses.INVERTED


@pytest.mark.parametrize("unit", [0.01, 37.0])
@pytest.mark.parametrize("name", ["pose inverted", "depth along ray", "principal point +0.5 px"])
def test_the_unit_of_a_scene_does_not_matter(name, unit):
    def in_another_unit(frame):
        pose = frame.world_from_cam.copy()
        pose[:3, 3] *= unit
        return replace(frame, depth=frame.depth * np.float32(unit), world_from_cam=pose)

    frames = [in_another_unit(frame) for frame in walk_frames(1)]
    assert judged(frames).verdict is Verdict.fits
    assert judged(frames, MISTAKES[name]).best.hypothesis.name == name


@pytest.mark.parametrize("factor", [0.4, 3.0])
def test_any_other_scale_is_measured(factor):
    best = judged(walk_frames(2), lambda frame: hypotheses.scaled_depth(frame, factor)).best
    assert best.hypothesis.factor == pytest.approx(1 / factor, rel=0.01) and best.depth_error < 0.002


def test_two_mistakes_are_both_named():
    def both(frame):
        return hypotheses.scaled_depth(hypotheses.inverted_pose(frame), 1000.0)

    assert judged(walk_frames(0), both).best.hypothesis.name == "pose inverted, depth x0.001"
    opengl = judged(walk_frames(0), lambda frame: along_ray(hypotheses.opengl_axes(frame)))
    assert opengl.best.hypothesis.name == "OpenGL axes, depth along ray"


def test_pixels_that_are_not_square_are_swapped_back():
    def narrowed(frame):
        intrinsics = resize_intrinsics_np(frame.intrinsics, (0.5, 1.0))
        rgb, depth = frame.rgb[:, ::2], frame.depth[:, ::2]
        intrinsics[0, 2] += 0.25  # every second pixel: centres are at even columns
        return replace(frame, rgb=rgb, depth=depth, intrinsics=intrinsics)

    frames = [narrowed(frame) for frame in walk_frames(0)]
    assert judged(frames).verdict is Verdict.fits
    assert judged(frames, hypotheses.swapped_intrinsics).best.hypothesis is hypotheses.SWAPPED


def test_sky_and_unknown_depth_do_not_disturb():
    def outdoors(frame):
        depth = np.where(frame.depth > np.quantile(frame.depth, 0.8), np.float32(-1), frame.depth)
        depth[::3] = 0
        return replace(frame, depth=depth)

    frames = [outdoors(frame) for frame in walk_frames(1)]
    assert judged(frames).verdict is Verdict.fits
    assert judged(frames, hypotheses.opengl_axes).best.hypothesis is hypotheses.OPENGL


def test_a_camera_that_stands_still_cannot_tell():
    frame = walk_frames(0)[0]
    diagnosis = diagnose([(frame, stored(frame))] * 5)
    assert diagnosis.verdict is Verdict.unclear and "hardly moves" in diagnosis.sentence
    assert {pose.name for pose in hypotheses.POSES} <= set(diagnosis.not_ruled_out)


def test_a_camera_that_only_turns_does_not_know_the_unit():
    diagnosis = judged(walk_frames(0, speed_m=1e-6, shake=0.0))
    assert diagnosis.verdict is Verdict.fits and set(diagnosis.not_ruled_out) == {s.name for s in hypotheses.SCALES}


@pytest.mark.parametrize("seed", SEEDS)
def test_unrelated_pictures_cannot_tell(seed):
    ours, theirs = pairs_of(walk_frames(seed)), pairs_of(walk_frames(seed + 10))
    diagnosis = diagnose([(a, b) for (a, _), (_, b) in zip(ours, theirs, strict=True)])
    assert diagnosis.verdict is Verdict.unclear and diagnosis.sentence.startswith("cannot tell")


def test_poses_of_other_frames_cannot_tell():
    pairs = pairs_of(walk_frames(0))
    poses = [b.world_from_cam for _, b in pairs[3:] + pairs[:3]]
    mixed = [(a, replace(b, world_from_cam=pose)) for (a, b), pose in zip(pairs, poses, strict=True)]
    assert diagnose(mixed).verdict is Verdict.unclear


def test_equal_poses_of_different_pictures_are_said():
    pairs = [(a, replace(b, world_from_cam=a.world_from_cam)) for a, b in pairs_of(walk_frames(0))]
    diagnosis = diagnose(pairs)
    assert diagnosis.verdict is Verdict.unclear and "poses of each pair are equal" in diagnosis.sentence


def test_without_depth_nothing_is_told():
    frames = [replace(frame, depth=np.zeros_like(frame.depth)) for frame in walk_frames(0)]
    diagnosis = judged(frames)
    assert diagnosis.verdict is Verdict.unclear and "more depth" in diagnosis.sentence


def test_pictures_of_one_colour_are_judged_by_depth():
    frames = [replace(frame, rgb=np.full_like(frame.rgb, 128)) for frame in walk_frames(0)]
    diagnosis = judged(frames, hypotheses.inverted_pose)
    assert diagnosis.best.hypothesis is hypotheses.INVERTED and np.isnan(diagnosis.best.photometric)


def test_few_pairs_need_a_large_improvement():
    assert judged(walk_frames(1), hypotheses.inverted_pose, count=1).best.hypothesis is hypotheses.INVERTED
    assert judged(walk_frames(1), MISTAKES["principal point +0.5 px"], count=3).verdict is Verdict.fits


def test_the_sentence_says_what_to_check():
    sentence = judged(walk_frames(1), hypotheses.inverted_pose).sentence
    assert sentence.startswith("the poses look inverted (cam_from_world): error ")
    assert " -> 0.00 %; check the converter's pose" in sentence


def test_no_pairs_are_an_error():
    with pytest.raises(ValueError, match="no pairs of frames to judge"):
        diagnose([])


@pytest.mark.parametrize(("share", "text"), [(0.8749, "87 %"), (0.0251, "2.5 %"), (0.0007, "0.07 %")])
def test_shares_are_printed_with_the_digits_that_count(share, text):
    assert percent(share) == text


def resize_intrinsics_np(intrinsics, scale):
    return resize_intrinsics(torch.from_numpy(intrinsics), scale).numpy()
