import cv2
import numpy as np
import pytest

from cut3r.io.sky import find_sky
from tests.data.datasets.raw_walks import render_walk

SKIES = {"clear": ((70, 120, 200), (170, 200, 235)), "cloudy": ((225, 228, 232), (205, 208, 212))}


def street(seed: int, kind: str, h: int = 180, w: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Houses before a sky whose colour changes downwards, and where the sky is."""
    rng = np.random.default_rng(seed)
    top, bottom = (np.array(each, float) for each in SKIES[kind])
    down = np.linspace(0, 1, h)[:, None, None]
    picture, sky = np.tile(top * (1 - down) + bottom * down, (1, w, 1)), np.ones((h, w), bool)
    left = 0
    while left < w:
        width, height = int(rng.integers(20, 60)), int(rng.integers(h // 4, 3 * h // 4))
        bricks = rng.uniform(-60, 60, (height // 4 + 1, width // 4 + 1)).astype(np.float32)
        wall = rng.uniform(60, 160, 3) + cv2.resize(bricks, (width, height), interpolation=cv2.INTER_NEAREST)[..., None]
        picture[h - height :, left : left + width] = wall[:, : w - left]
        sky[h - height :, left : left + width] = False
        left += width
    return np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8), sky


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", SKIES)
def test_sky_above_houses_is_found(kind, seed):
    picture, sky = street(seed, kind)
    found = find_sky(picture)
    assert (found & sky).sum() / (found | sky).sum() > 0.93 and found[~sky].mean() < 0.02


def test_rooms_have_no_sky():
    for seed in range(5):
        (frame,) = render_walk((96, 128), frames=1, seed=seed)
        assert not find_sky(frame.rgb).any(), f"room {seed}"


def test_what_has_depth_is_no_sky():
    picture, sky = street(0, "clear")
    depth = np.where(sky, 0, 5).astype(np.float32)
    depth[5:9, 20:30] = 30  # a bird
    found = find_sky(picture, depth)
    assert found[sky].mean() > 0.9 and not (found & (depth > 0)).any()
    assert not find_sky(picture, np.full(depth.shape, 5, np.float32)).any(), "a painted wall"


def test_a_picture_of_nothing_but_blue_may_be_a_wall():
    assert not find_sky(np.full((60, 80, 3), (90, 130, 220), np.uint8)).any()
