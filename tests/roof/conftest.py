"""What the demo is tried on: a tiny network, photos, a video."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cut3r.model.network import Cut3r
from cut3r.weights import checkpoint
from cut3r.weights.checkpoint import save


@pytest.fixture
def weights(tiny_linear: Cut3r, tmp_path: Path) -> Path:
    """A checkpoint of a tiny network that puts points in front of the camera, with confidence."""
    with torch.no_grad():
        last = tiny_linear.heads.points_cam.mlp.fc2
        last.weight.mul_(0.1)
        last.bias.view(4, -1).copy_(torch.tensor([[0.0], [0.0], [0.7], [1.0]]).expand(4, last.bias.numel() // 4))
    save(tiny_linear, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"photo_{number}.png")
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    for number in range(8):
        writer.write(np.full((48, 64, 3), 30 * number, np.uint8))
    writer.release()
    return path


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is refused is refused before the network is loaded."""

    def load(*_args: object, **_options: object) -> None:
        raise AssertionError("the network was loaded")

    monkeypatch.setattr(checkpoint, "load", load)
