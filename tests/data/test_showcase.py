from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cut3r.data import showcase
from cut3r.data.shading import render
from cut3r.data.synthetic import plan_walk
from cut3r.data.walks import WalkConfig
from cut3r.io.images import read_image

ASSETS = Path(__file__).parents[2] / "assets"
SMALL = (24, 32)


@pytest.fixture
def truth():
    return np.load(ASSETS / "example_ground_truth.npz")


def read_video(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (result := capture.read())[0]:
        frames.append(result[1][..., ::-1])
    return np.stack(frames)


def test_the_example_clip_is_the_walk_that_the_code_renders(truth):
    plan = plan_walk(showcase.CLIP_SEED, showcase.CLIP_INDEX, showcase.CLIP)
    np.testing.assert_allclose(truth["world_from_cam"], plan.world_from_cam, atol=1e-5)
    np.testing.assert_allclose(truth["intrinsics"], plan.intrinsics, atol=1e-4)
    some = slice(10, 90, 40)
    cameras = (plan.world_from_cam[some], torch.from_numpy(truth["depth_intrinsics"][some]))
    _, depth = render(plan.room, *cameras, showcase.CLIP_DEPTH_SIZE, plan.time_s[some])
    wrong = np.abs(truth["depth_mm"][some] - 1000 * depth.numpy()) > 1  # a pixel on an edge may see either side
    assert wrong.mean() < 1e-3
    small = cv2.resize(showcase.antialiased(plan, showcase.CLIP.size, slice(40, 41))[0].numpy(), (96, 72))
    shown = cv2.resize(read_video(ASSETS / "example.mp4")[40], (96, 72))
    assert np.abs(small.astype(float) - shown).mean() < 6


def test_the_example_clip_is_complete_and_small(truth):
    assert len(read_video(ASSETS / "example.mp4")) == showcase.CLIP.frames == len(truth["time_s"])
    assert (ASSETS / "example.mp4").stat().st_size < 1.5e6
    assert (ASSETS / "example_ground_truth.npz").stat().st_size < 1.2e6


def test_a_clip_can_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr(showcase, "CLIP", replace(showcase.CLIP, size=(48, 64), frames=3))
    monkeypatch.setattr(showcase, "CLIP_DEPTH_SIZE", SMALL)
    showcase.make_clip(tmp_path)
    made = np.load(tmp_path / "example_ground_truth.npz")
    assert read_video(tmp_path / "example.mp4").shape == (3, 48, 64, 3)
    assert made["depth_mm"].shape == (3, *SMALL) and made["depth_mm"].min() > 100
    assert made["depth_intrinsics"][0, 0, 0] == pytest.approx(made["intrinsics"][0, 0, 0] / 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["example.mp4", "example_ground_truth.npz"]


def test_a_gallery_can_be_made(tmp_path, monkeypatch):
    for name, value in {"TILE": SMALL, "ROWS": 1, "COLUMNS": 2, "WALK": 1}.items():
        monkeypatch.setattr(showcase, f"GALLERY_{name}", value)
    showcase.make_gallery(tmp_path / "gallery.png")
    assert read_image(tmp_path / "gallery.png").shape == (3 * SMALL[0], 2 * SMALL[1], 3)


def test_antialiasing_keeps_the_picture_where_it_is():
    plan = plan_walk(0, 1, WalkConfig(size=(48, 64), frames=1))
    sharp, _ = render(plan.room, plan.world_from_cam, plan.intrinsics, (48, 64), plan.time_s)
    smooth = showcase.antialiased(plan, (48, 64)).float() / 255
    shifted = (smooth[:, :, 1:] - sharp[:, :, :-1]).abs().mean()
    assert (smooth - sharp).abs().mean() < 0.5 * shifted
