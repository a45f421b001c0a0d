"""Known distances and camera centres say how large the world is, and where."""

import numpy as np
import pytest
import torch

from cut3r.alignment.align import AlignConfig, Method, align
from cut3r.alignment.datum import number_of, onto_centres, scaled
from cut3r.alignment.taken import take
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.registration import Similarity
from cut3r.inference.known_distance import KnownDistance
from cut3r.inference.preprocess import FitConfig
from cut3r.io.frame import Frame
from tests.alignment.planted import Walk

FIT = FitConfig(size=64)
ALL = [list(range(12))]


def frames(*names: str) -> list[Frame]:
    pictures = np.random.default_rng(0).integers(0, 256, (len(names), 96, 128, 3), dtype=np.uint8)
    return [Frame(rgb, 10 * k, None, name) for k, (rgb, name) in enumerate(zip(pictures, names, strict=True))]


@pytest.mark.parametrize("method", [Method.graph, Method.original])
def test_a_known_distance_is_exact(tiny_linear, method):
    config = AlignConfig(method, distance=KnownDistance("a", "c.png", 1.5), steps=3)
    plain = align(tiny_linear, take(frames("a.png", "b.png", "c.png"), FIT), AlignConfig(method, steps=3))
    scaled = align(tiny_linear, take(frames("a.png", "b.png", "c.png"), FIT), config)
    centres = scaled.world_from_cam[:, :3, 3]
    assert float((centres[0] - centres[2]).norm()) == pytest.approx(1.5, rel=1e-5)
    factor = scaled.report["world_scaled_by"]
    torch.testing.assert_close(centres, factor * plain.world_from_cam[:, :3, 3], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scaled.scales, factor * plain.scales, rtol=1e-4, atol=0)


def test_words_of_a_distance():
    assert KnownDistance.parse("IMG_1, IMG 9.jpg = 1.5 m") == KnownDistance("IMG_1", "IMG 9.jpg", 1.5)
    for text in ("IMG_1,IMG_9", "IMG_1=1.5", "a,b=wide", "a,b=1.2.3"):
        with pytest.raises(ValueError, match=r"IMG_1,IMG_9=1\.5"):
            KnownDistance.parse(text)
    with pytest.raises(ValueError, match="above 0"):
        KnownDistance.parse("a,b=0")
    with pytest.raises(ValueError, match="itself"):
        KnownDistance.parse("a,a=1")


def test_frames_are_found_by_name_stem_and_index():
    some = frames("a.png", "20.png", "c.jpg", "c.png")
    assert [number_of(name, some) for name in ("a.png", "a", "20", "10", "c.jpg")] == [0, 0, 1, 1, 2]
    with pytest.raises(ValueError, match=r"called d; they are called a\.png, 20\.png, c\.jpg, \.\.\."):
        number_of("d", some)
    with pytest.raises(ValueError, match="2 frames are called c"):
        number_of("c", some)


def test_frames_that_no_pairs_connect_have_no_distance():
    poses = torch.eye(4).repeat(3, 1, 1)
    distance = KnownDistance("a", "c", 1.0)
    with pytest.raises(ValueError, match="no pairs connect a and c"):
        scaled(distance, frames("a", "b", "c"), poses, [[0, 1], [2]])
    with pytest.raises(ValueError, match="at the same place"):
        scaled(distance, frames("a", "b", "c"), poses, [[0, 1, 2]])


def moved() -> tuple[torch.Tensor, Similarity]:
    turn = rotation_from_vector(torch.tensor([0.5, -1.0, 2.0]).double())
    return Walk(12).world_from_cam, Similarity(turn, torch.tensor([5.0, 6.0, 7.0]).double(), torch.tensor(3.0).double())


def test_centres_say_where_and_how_large_whatever_their_cameras_look_at():
    world_from_cam, other = moved()
    known = {k: other.place(world_from_cam[k]) for k in (1, 4, 9)}
    for camera in known.values():
        camera[:3, :3] = torch.eye(3)
    found = onto_centres(world_from_cam, known, ALL)
    torch.testing.assert_close(found.matrix(), other.matrix(), atol=1e-9, rtol=0)


def test_one_wrong_centre_of_many_has_little_say():
    world_from_cam, other = moved()
    known = {k: other.place(world_from_cam[k]) for k in range(12)}
    known[3][:3, 3] += 20
    found = onto_centres(world_from_cam, known, ALL)
    torch.testing.assert_close(found.scale, other.scale, rtol=0.02, atol=0)


def test_centres_that_leave_the_scene_free_are_refused():
    world_from_cam, _ = moved()
    with pytest.raises(ValueError, match="2 known camera centres"):
        onto_centres(world_from_cam, {0: world_from_cam[0], 1: world_from_cam[1]}, ALL)
    line = torch.eye(4).double().repeat(12, 1, 1)
    line[:, 0, 3] = torch.arange(12)
    with pytest.raises(ValueError, match="on one line"):
        onto_centres(world_from_cam, {k: line[k] for k in range(4)}, ALL)
    with pytest.raises(ValueError, match="no pairs connect"):
        onto_centres(world_from_cam, {k: world_from_cam[k] for k in range(4)}, [[0, 1], list(range(2, 12))])


def test_centres_do_not_hold_the_frames(tiny_linear):
    """They only move the finished scene as a whole."""
    some = frames("a", "b", "c", "d")
    given = []
    for k, (x, y) in enumerate(((0, 0), (1, 0), (0, 1), (4, 4))):
        pose = np.eye(4)
        pose[:2, 3] = (x, y)
        given.append(Frame(some[k].rgb, k, None, some[k].name, world_from_cam=pose))
    plain, placed = (
        align(tiny_linear, take(some, FIT)),
        align(tiny_linear, take(given, FIT), AlignConfig(centres_only=True)),
    )
    distances = [torch.pdist(one.world_from_cam[:, :3, 3]) for one in (plain, placed)]
    ratios = distances[1] / distances[0]
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios), rtol=1e-3, atol=0)


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="leave them out"):
        AlignConfig(centres_only=True, pose_sigma=(0.1, 0.1))
