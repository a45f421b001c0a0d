"""How close a predicted picture is to the true one: PSNR and SSIM. Colours are 0 ... 1, channels last."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d

WINDOW = 11  # pixels, of SSIM's Gaussian
WINDOW_SIGMA = 1.5  # pixels
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # for colours 0 ... 1


def psnr(predicted: Float[Tensor, "*batch h w c"], true: Float[Tensor, "*batch h w c"]) -> Float[Tensor, "*batch"]:
    """Give the peak signal-to-noise ratio in decibels, of all channels together; infinite for equal pictures."""
    mean_square = (predicted.double() - true.double()).square().mean(dim=(-3, -2, -1))
    return -10 * mean_square.log10()


def ssim(predicted: Float[Tensor, "*batch h w c"], true: Float[Tensor, "*batch h w c"]) -> Float[Tensor, "*batch"]:
    """Give the structural similarity, the mean over channels and over all windows that lie inside the picture; 1 for
    equal pictures.

    Raises:
        ValueError: The picture is smaller than a window.

    Source: Wang et al. 2004, eq. 13: Gaussian windows of 11 x 11 pixels with a standard deviation of 1.5.
    """
    h, w = true.shape[-3:-1]
    if min(h, w) < WINDOW:
        raise ValueError(f"the picture is {h}x{w} (h, w) and SSIM looks through windows of {WINDOW}x{WINDOW} pixels")
    x, y = (picture.double().movedim(-1, -3).reshape(-1, 1, h, w) for picture in (predicted, true))
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x, variance_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (variance_x + variance_y + SSIM_C2)
    return (luminance * structure).reshape(*true.shape[:-3], -1).mean(dim=-1)


def _blurred(channels: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 inner_h inner_w"]:
    """Average over the window around each pixel that has a whole one."""
    offsets = torch.arange(WINDOW, dtype=channels.dtype, device=channels.device) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * WINDOW_SIGMA**2))
    weights = weights / weights.sum()
    return conv2d(conv2d(channels, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))
