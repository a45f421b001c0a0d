"""Where a new chunk stands, from points that both chunks saw."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import pose_from_parts
from cut3r.geometry.registration import Similarity
from cut3r.inference.joints import Joint, JointKind, Sight, join

POINTS = 200


def similarity(seed: int, scale: float) -> Similarity:
    draw = torch.Generator().manual_seed(seed)
    turn, shift = torch.randn(2, 3, generator=draw, dtype=torch.float64)
    return Similarity(rotation_from_vector(turn), shift, torch.tensor(scale).double())


def overlap(
    before_from_after: Similarity, *, seed: int = 0, outliers: float = 0.0, noise: float = 0.0, frames: int = 4
):
    """The same frames as two chunks see them: the second is the exact one."""
    draw = torch.Generator().manual_seed(seed)
    before, after = [], []
    for k in range(frames):
        pose = pose_from_parts(rotation_from_vector(torch.randn(3, generator=draw) / 5), torch.tensor([0.1 * k, 0, 0]))
        points = torch.rand(POINTS, 3, generator=draw) * 3 + torch.tensor([-1.5, -1.5, 1])
        confidence = 1 + torch.rand(POINTS, generator=draw)
        moved = before_from_after.apply(points.double()).float()
        moved = moved + noise * torch.randn(POINTS, 3, generator=draw)
        wrong = torch.rand(POINTS, 1, generator=draw) < outliers
        moved = torch.where(wrong, 10 * torch.rand(POINTS, 3, generator=draw) - 5, moved)
        before.append(Sight(moved, confidence, before_from_after.place(pose)))
        after.append(Sight(points, confidence, pose))
    return before, after


def distance(a: Similarity, b: Similarity) -> float:
    return float((a.matrix() - b.matrix()).abs().max())


@given(seed=st.integers(0, 1000), scale=st.floats(0.5, 2.0))
def test_a_known_similarity_is_found_among_outliers(seed, scale):
    place = similarity(seed, scale)
    found, residual, _ = join(*overlap(place, seed=seed, outliers=0.2), JointKind.sim3)
    assert distance(found, place) < 1e-3 and residual < 1e-3


@given(seed=st.integers(0, 1000))
def test_a_known_rigid_transform_is_found_among_outliers(seed):
    place = similarity(seed, 1.0)
    found, residual, _ = join(*overlap(place, seed=seed, outliers=0.2), JointKind.se3)
    assert distance(found, place) < 1e-3 and residual < 1e-3 and float(found.scale) == 1.0


@pytest.mark.parametrize("kind", JointKind)
def test_the_same_twice_moves_nothing(kind):
    before, after = overlap(Similarity.identity())
    if kind is JointKind.published:  # it takes the new pose for the identity
        after = [Sight(each.points, each.confidence, torch.eye(4)) for each in after]
        before[-1] = Sight(before[-1].points, before[-1].confidence, torch.eye(4))
    assert distance(join(before, after, kind)[0], Similarity.identity()) < 1e-6


@pytest.mark.parametrize(("scale", "trusted"), [(1.03, True), (1.2, False), (1 / 1.2, False)])
def test_metres_are_believed_unless_they_are_clearly_others(scale, trusted):
    found, _, _ = join(*overlap(similarity(3, scale), noise=0.01), JointKind.se3)
    assert (float(found.scale) == 1.0) is trusted
    assert trusted or abs(float(found.scale) / scale - 1) < 0.01


def test_another_scale_that_explains_nothing_is_not_taken():
    before, after = overlap(similarity(3, 1.06), noise=0.4)  # the noise is larger than what the scale changes
    assert float(join(before, after, JointKind.se3)[0].scale) == 1.0


def test_pixels_of_which_either_chunk_is_unsure_have_no_say():
    before, after = overlap(similarity(5, 1.0), outliers=0.0)
    for sights in (before, after):
        for k, each in enumerate(sights):
            wrong = torch.arange(POINTS) % 2 == 0
            confidence = torch.where(wrong, torch.tensor(1.0), torch.tensor(100.0))
            points = torch.where(wrong[:, None], each.points + 3, each.points) if sights is before else each.points
            sights[k] = Sight(points, confidence, each.chunk_from_cam)
    assert distance(join(before, after, JointKind.se3)[0], similarity(5, 1.0)) < 1e-3


@pytest.mark.parametrize("kind", [JointKind.pose, JointKind.se3])
def test_poses_are_what_is_left_where_no_point_counts(kind):
    before, after = overlap(similarity(2, 1.0))
    before = [Sight(each.points, torch.zeros(POINTS), each.chunk_from_cam) for each in before]
    found, residual, _ = join(before, after, kind)
    assert distance(found, similarity(2, 1.0)) < 1e-5 and math.isnan(residual)


def joint(**changed) -> Joint:
    said = {"residual_m": 0.02, "depth_m": 2.0, "frames": 8, "place": similarity(1, 1.03), "time_s": 72.0} | changed
    return Joint(chunk=1, first=300, reason="its confidence collapsed", kind=JointKind.se3, **said)


@pytest.mark.parametrize(
    ("changed", "doubt"),
    [
        ({}, ""),
        ({"place": similarity(1, 1.2)}, r"scale changes by \+20 %"),
        ({"residual_m": 0.3}, "points are 30 cm off"),
        ({"frames": 0}, "no frame in common"),
        ({"residual_m": math.nan, "depth_m": math.nan}, ""),
    ],
)
def test_a_joint_that_may_be_wrong_says_so(changed, doubt):
    import re

    assert re.search(doubt, joint(**changed).doubt) and bool(joint(**changed).doubt) is bool(doubt)


def test_a_joint_says_what_happened_and_when():
    assert joint().tell() == (
        "chunk 1 begins with frame 300 at 1:12.0 (its confidence collapsed): "
        "joined over 8 frames with +3.0 % scale change, points 2.0 cm off"
    )


@pytest.mark.parametrize("residual", [0.02, math.nan])
def test_a_report_of_a_joint_is_the_joint(residual):
    before = joint(residual_m=residual)
    after = Joint.reported(before.report())
    assert distance(before.place, after.place) < 1e-12 and after.tell() == before.tell()


@pytest.mark.parametrize(("scale", "taken"), [(1.0, False), (1.02, True), (1 / 1.02, True), (1.3, True)])
def test_auto_takes_a_scale_that_the_frames_agree_on_however_little(scale, taken):
    """2 % are lost in the residual, where `se3` looks, but eight frames say them alike."""
    before, after = overlap(similarity(3, scale), noise=0.05, outliers=0.05, frames=8)
    found = float(join(before, after, JointKind.auto)[0].scale)
    assert (found != 1.0) is taken and abs(found / scale - 1) < 0.01
    assert abs(scale - 1) > 0.05 or float(join(before, after, JointKind.se3)[0].scale) == 1.0


@given(seed=st.integers(0, 1000))
def test_auto_seldom_takes_noise_for_a_scale(seed):
    """What it then takes is as small as the noise."""
    before, after = overlap(similarity(seed, 1.0), seed=seed, noise=0.05, frames=8)
    assert abs(float(join(before, after, JointKind.auto)[0].scale) - 1) < 0.01


def test_errors_of_poses_change_nothing_of_the_scale_that_auto_takes():
    """Each frame stands a little elsewhere than it should: a fit of all points takes that for scale, frames do not."""
    errors = dict.fromkeys((JointKind.auto, JointKind.sim3), 0.0)
    for seed in range(10):
        before, after = overlap(similarity(seed, 1.05), seed=seed, noise=0.02, frames=8)
        draw = torch.Generator().manual_seed(seed)
        for k, each in enumerate(before):
            shift = 0.1 * torch.randn(3, generator=draw)
            pose = each.chunk_from_cam.clone()
            pose[:3, 3] += shift
            before[k] = Sight(each.points + shift, each.confidence, pose)
        for kind in errors:
            errors[kind] += abs(float(join(before, after, kind)[0].scale) / 1.05 - 1)
    assert errors[JointKind.auto] < errors[JointKind.sim3] / 2, errors


def test_two_frames_are_too_few_to_agree():
    before, after = overlap(similarity(3, 1.02), frames=2)
    assert float(join(before, after, JointKind.auto)[0].scale) == 1.0
