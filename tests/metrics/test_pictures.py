"""PSNR by hand, and SSIM against its definition written out window by window."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cut3r.metrics.pictures import psnr, ssim


def noise(seed: int, *size: int) -> torch.Tensor:
    return torch.rand(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, eq. 13, of one channel."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    values = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            a, b = (picture[row : row + 11, column : column + 11] for picture in (x, y))
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
            cov = (weights * (a - ma) * (b - mb)).sum()
            values.append((2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)))
    return float(np.mean(values))


def test_psnr_of_a_constant_error():
    true = noise(0, 8, 9, 3) * 0.5
    assert float(psnr(true + 0.1, true)) == pytest.approx(20)
    assert float(psnr(true + 0.01, true)) == pytest.approx(40)
    assert float(psnr(true, true)) == math.inf


def test_psnr_of_noise_is_that_of_its_variance():
    true = torch.full((200, 200, 3), 0.5)
    said = true + 0.05 * torch.randn(true.shape, generator=torch.Generator().manual_seed(1))
    assert float(psnr(said, true)) == pytest.approx(-20 * math.log10(0.05), abs=0.05)


@settings(max_examples=5)
@given(seed=st.integers(0, 2**31), share=st.floats(0, 1))
def test_ssim_is_its_definition(seed, share):
    true = noise(seed, 13, 15, 2)
    said = (1 - share) * true + share * noise(seed + 1, 13, 15, 2)
    expected = [by_definition(said[..., c].numpy(), true[..., c].numpy()) for c in range(2)]
    assert float(ssim(said, true)) == pytest.approx(float(np.mean(expected)), abs=1e-9)


def test_ssim_of_constant_pictures_compares_their_brightness():
    dark, bright = torch.full((12, 12, 3), 0.2), torch.full((12, 12, 3), 0.6)
    assert float(ssim(dark, bright)) == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4), abs=1e-6)


def test_equal_pictures_are_as_similar_as_can_be_and_inverted_ones_less_than_unrelated_ones():
    true = noise(0, 2, 20, 20, 3)
    assert ssim(true, true).tolist() == pytest.approx([1, 1])
    unrelated, inverted = ssim(noise(1, 2, 20, 20, 3), true), ssim(1 - true, true)
    assert unrelated.shape == (2,)
    assert (unrelated.abs() < 0.2).all()
    assert (inverted < -0.5).all()


def test_a_picture_smaller_than_a_window_is_refused():
    with pytest.raises(ValueError, match="10x30"):
        ssim(noise(0, 10, 30, 3), noise(1, 10, 30, 3))
