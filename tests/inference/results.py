"""Small results as a session would give them, without a network, and scenes of them."""

from dataclasses import replace

import numpy as np
import torch

from cut3r.geometry.cameras import pinhole
from cut3r.inference.preprocess import PixelMap
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.result import FrameResult, PointSource
from cut3r.io.frames import Frame
from cut3r.model.prediction import Prediction

SIZE = (6, 8)
PIXEL_MAP = PixelMap(original_size=(14, 20), image_size=SIZE, scale=(0.5, 0.5), offset=(1.0, 0.5))


def make_result(number: int, *, source: PointSource = PointSource.self) -> FrameResult:
    """A frame of valid points without depth edges, with confidences from 1 to 5, seen from 10 m beside the origin."""
    generator = torch.Generator().manual_seed(number)
    world_from_cam = torch.tensor([[0.0, -1, 0, 10], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    prediction = Prediction(
        points_cam=torch.rand((1, *SIZE, 3), generator=generator) + 1,
        conf_cam=1 + 4 * torch.rand((1, *SIZE), generator=generator),
        points_world=torch.rand((1, *SIZE, 3), generator=generator) - 20,
        conf_world=torch.full((1, *SIZE), 3.0),
        world_from_cam=world_from_cam[None],
    )
    image = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    frame = Frame(np.zeros((14, 20, 3), np.uint8), index=10 * number, time_s=number / 4, name=f"{number}.jpg")
    valid = torch.ones(SIZE, dtype=torch.bool)
    return FrameResult(frame, number, image, prediction, pinhole(SIZE, 9.0), PIXEL_MAP, valid, chunk=2, source=source)


def lost_result(number: int) -> FrameResult:
    """A frame of a network that diverged."""
    result = make_result(number)
    assert result.prediction.world_from_cam is not None
    lost = replace(result.prediction, world_from_cam=result.prediction.world_from_cam * torch.nan)
    return replace(result, prediction=lost, valid=torch.zeros(SIZE, dtype=torch.bool))


def filled(count: int, **options: object) -> Reconstruction:
    scene = Reconstruction(**options)  # type: ignore[arg-type]
    for number in range(count):
        scene.add(make_result(number))
    return scene
