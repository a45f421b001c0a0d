"""What a frame brings of its camera: intrinsics that replace the estimate, and a mask."""

from dataclasses import replace

import numpy as np
import torch

from cut3r.geometry.cameras import pixel_grid, project
from cut3r.inference.preprocess import FitConfig, fit
from cut3r.inference.session import Session
from tests.inference.test_stream import frame

CAMERA = np.array([[50.0, 0, 31], [0, 52, 23], [0, 0, 1]])


def test_known_intrinsics_are_those_of_the_result(tiny_linear):
    session = Session(tiny_linear)
    result = session.push(replace(frame(0), intrinsics=CAMERA))
    np.testing.assert_allclose(result.intrinsics_original, CAMERA, atol=1e-3)
    assert session.snapshot().focals == ()
    pixels, _ = project(result.points_cam[result.valid], result.intrinsics)  # points lie on the rays of that camera
    assert (pixels - pixel_grid(*result.depth.shape)[..., :2][result.valid]).abs().max() < 1e-3
    assert torch.equal(result.depth, Session(tiny_linear).push(frame(0)).depth)
    assert session.push(frame(1)).intrinsics_original[0, 0] != 50


def test_masked_pixels_are_not_valid(tiny_linear):
    mask = np.ones((48, 64), bool)
    mask[:, :32] = False
    plain, masked = (Session(tiny_linear).push(replace(frame(0), mask=each)) for each in (None, mask))
    w = masked.valid.shape[1]
    assert not masked.valid[:, : w // 2 - 1].any()
    assert torch.equal(masked.valid[:, w // 2 + 1 :], plain.valid[:, w // 2 + 1 :])


def test_a_mask_goes_where_its_picture_goes():
    rgb = np.zeros((60, 80, 3), np.uint8)
    rgb[20:40, 30:60] = 255
    for mode in FitConfig(size=64).mode.__class__:
        image, pixel_map = fit(rgb, FitConfig(size=64, mode=mode))
        mapped = pixel_map.mask_to_image(rgb[..., 0] > 0)
        seen = torch.from_numpy(image[..., 0] > 127) & pixel_map.inside()
        assert mapped.any() and (mapped != seen).float().mean() < 0.03, mode
