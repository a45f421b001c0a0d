"""The dense head: four token maps of different depth, fused from coarse to fine into one value per pixel.

Source: Vision Transformers for Dense Prediction (arXiv 2103.13413), in the shape that the published weights have.
"""

from typing import cast

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from cut3r.model.blocks import Conv2d, ConvTranspose2d
from cut3r.model.config import ModelConfig


class DptHead(nn.Module):
    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        features, stages, width = config.dpt_features, config.dpt_stages, config.decoder.width
        inputs = (config.encoder.width, width, width, width)
        self.lateral = nn.ModuleList(Conv2d(i, o, kernel_size=1) for i, o in zip(inputs, stages, strict=True))
        self.resize = nn.ModuleList(  # to strides of 4, 8, 16 and 32 pixels
            (
                ConvTranspose2d(stages[0], stages[0], kernel_size=4, stride=4),
                ConvTranspose2d(stages[1], stages[1], kernel_size=2, stride=2),
                nn.Identity(),
                Conv2d(stages[3], stages[3], kernel_size=3, stride=2, padding=1),
            )
        )
        self.to_features = nn.ModuleList(
            Conv2d(stage, features, kernel_size=3, padding=1, bias=False) for stage in stages
        )
        self.fusions = nn.ModuleList(Fusion(features) for _ in stages)
        # Parity: the coarsest fusion has nothing to skip to; the files hold weights for it that are never used
        self.fusions[3].skip_unit.requires_grad_(False)
        self.output = nn.Sequential(
            Conv2d(features, features // 2, kernel_size=3, padding=1),
            Upsample(),
            Conv2d(features // 2, 128, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            Conv2d(128, channels, kernel_size=1),
        )

    @property
    def last(self) -> Conv2d:
        """The layer whose numbers become metres or colours."""
        return cast(Conv2d, self.output[-1])

    def forward(self, stages: tuple[Tensor, Tensor, Tensor, Tensor], grid: tuple[int, int]) -> Float[Tensor, "b h w c"]:
        """Turn four maps of patch tokens (b n d) into raw values for every pixel."""
        maps = [
            features(resize(lateral(rearrange(tokens, "b (h w) d -> b d h w", h=grid[0]))))
            for tokens, lateral, resize, features in zip(
                stages, self.lateral, self.resize, self.to_features, strict=True
            )
        ]
        fused = self.fusions[3](maps[3], None)[..., : grid[0], : grid[1]]  # an odd grid came back one too large
        for level in (2, 1, 0):
            fused = self.fusions[level](fused, maps[level])
        return rearrange(self.output(fused), "b c h w -> b h w c").float()


class Fusion(nn.Module):
    """Add a finer map to the coarser one and double the resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.skip_unit = ResidualUnit(channels)
        self.out_unit = ResidualUnit(channels)
        self.out = Conv2d(channels, channels, kernel_size=1)
        self.upsample = Upsample()

    def forward(self, coarse: Float[Tensor, "b c h w"], skip: Float[Tensor, "b c h w"] | None) -> Tensor:
        if skip is not None:
            coarse = coarse + self.skip_unit(skip)
        # a 1x1 convolution commutes with interpolation; before it, it has a quarter of the pixels to visit
        return self.upsample(self.out(self.out_unit(coarse)))


class ResidualUnit(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.conv2(F.relu(self.conv1(F.relu(x)), inplace=True))


class Upsample(nn.Module):
    """Double both sides; the corners stay where they are."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
