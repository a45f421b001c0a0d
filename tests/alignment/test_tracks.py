"""Points are found again where they really are: planted pictures whose motion is known."""

import cv2
import numpy as np
import pytest
import torch

from cut3r.alignment.guide import Guide
from cut3r.alignment.tracks import TrackConfig, find_tracks
from cut3r.inference.preprocess import PixelMap
from cut3r.io import features
from cut3r.io.frame import Frame

SIZE = (120, 160)
STEP = (3.0, -1.0)  # pixels that the picture moves from frame to frame
FOCAL = 160.0


def wall(frames: int = 5, wrong_px: float = 3.0, mask: np.ndarray | None = None) -> tuple[Guide, list[Frame]]:
    """A textured wall 2 m away, seen by a camera that moves along it; the guide's cameras are a little off."""
    noise = np.random.default_rng(0).uniform(0, 255, (60, 80)).astype(np.float32)
    texture = cv2.GaussianBlur(cv2.resize(noise, (480, 360), interpolation=cv2.INTER_CUBIC), (0, 0), 1.5)
    pictures, poses = [], np.tile(np.eye(4), (frames, 1, 1))
    for k in range(frames):
        shift = np.array([[1, 0, 100 + STEP[0] * k], [0, 1, 100 + STEP[1] * k]], dtype=np.float64)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        grey = cv2.warpAffine(texture, shift, SIZE[::-1], flags=flags).clip(0, 255).astype(np.uint8)
        pictures.append(Frame(np.repeat(grey[..., None], 3, axis=2), k, None, f"{k}", mask=mask))
        poses[k, :2, 3] = (np.array(STEP) * k + wrong_px * (k % 2)) * 2 / FOCAL
    h, w = SIZE
    camera = np.array([[FOCAL, 0, (w - 1) / 2], [0, FOCAL, (h - 1) / 2], [0, 0, 1]])
    pixel_map = PixelMap(SIZE, SIZE, (1.0, 1.0), (0.0, 0.0))
    x, y = np.meshgrid(np.arange(w), np.arange(h))
    points = np.stack(((x - camera[0, 2]) / FOCAL * 2, (y - camera[1, 2]) / FOCAL * 2, np.full(SIZE, 2.0)), axis=-1)
    points = torch.from_numpy(points.astype(np.float32))
    usable = np.ones((frames, *SIZE), dtype=bool)

    def points_at(_frame: int, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return points[y, x]

    return Guide(
        poses, np.tile(camera, (frames, 1, 1)), [SIZE] * frames, [pixel_map] * frames, points_at, usable
    ), pictures


@pytest.fixture(scope="module")
def found():
    guide, pictures = wall()
    return find_tracks(lambda: iter(pictures), guide, TrackConfig(limit=200))


def test_tracks_follow_the_picture(found):
    still = found.pixels + np.array(STEP) * found.frame[:, None]  # on the wall, all observations of a point agree
    first = np.searchsorted(found.track, found.track)
    error = np.linalg.norm(still - still[first], axis=1)
    assert len(found) > 100 and np.median(error) < 0.2 and (error < 1).mean() > 0.97


def test_a_track_has_one_observation_per_frame(found):
    assert len(np.unique(np.stack((found.track, found.frame)), axis=1).T) == len(found.track)
    assert (np.bincount(found.track) >= 2).all()
    assert (np.diff(found.track) >= 0).all()


def test_most_tracks_are_long(found):
    assert np.median(np.bincount(found.track)) >= 3


def test_nothing_is_found_under_a_mask():
    mask = np.ones(SIZE, dtype=bool)
    mask[:, :80] = False
    guide, pictures = wall(3, mask=mask)
    tracks = find_tracks(lambda: iter(pictures), guide)
    assert len(tracks) > 10 and (tracks.pixels[:, 0] > 79).all()


def test_nothing_is_found_on_a_blank_wall():
    guide, pictures = wall(3)
    blank = [Frame(np.full((*SIZE, 3), 128, np.uint8), k, None, f"{k}") for k in range(len(pictures))]
    assert len(find_tracks(lambda: iter(blank), guide)) == 0


def test_a_smaller_limit_gives_fewer_tracks(found):
    guide, pictures = wall()
    few = find_tracks(lambda: iter(pictures), guide, TrackConfig(limit=20))
    assert 0 < len(few) < len(found)


def test_groups_are_not_linked():
    guide, pictures = wall(4)
    tracks = find_tracks(lambda: iter(pictures), guide, groups=[[0, 1], [2, 3]])
    for track in range(len(tracks)):
        assert len(set(tracks.frame[tracks.track == track] // 2)) == 1


@pytest.mark.parametrize("change", ["fewer", "more", "smaller"])
def test_other_frames_than_before_are_one_sentence(change):
    guide, pictures = wall(3)
    smaller = [Frame(np.ascontiguousarray(p.rgb[::2]), p.index, None, p.name) for p in pictures]
    other = {"fewer": pictures[:2], "more": pictures + pictures[:1], "smaller": smaller}[change]
    with pytest.raises(ValueError, match="other frames now than the 3"):
        find_tracks(lambda: iter(other), guide)


def test_memory_holds_no_picture_but_the_last():
    guide, pictures = wall(5)
    alive = []

    def stream():
        import gc
        import weakref

        for picture in pictures:
            fresh = picture.rgb.copy()
            alive.append(weakref.ref(fresh))
            yield Frame(fresh, picture.index, None, picture.name)
            del fresh
            gc.collect()
            assert sum(ref() is not None for ref in alive) <= 2

    find_tracks(stream, guide)


def test_features_are_spread_over_the_picture():
    _, pictures = wall(1)
    found = features.detect(features.grey(pictures[0].rgb), None, 100)
    assert 60 < len(found) <= 200
    halves = (found.pixels[:, 0] < 80).mean()
    assert 0.3 < halves < 0.7
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-3)


def test_the_guide_knows_where_pixels_go():
    guide, _ = wall(3, wrong_px=0.0)
    pixels = np.array([[80.0, 60.0], [2.0, 60.0]])
    expected = guide.expect(0, 2, pixels)
    np.testing.assert_allclose(expected[0], pixels[0] - 2 * np.array(STEP), atol=1e-4)
    assert np.isnan(expected[1]).all()  # it has left the picture
    assert guide.overlap(0, np.array([1, 2])).tolist() == sorted(guide.overlap(0, np.array([1, 2])), reverse=True)
