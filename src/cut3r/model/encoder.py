"""What a view is, and how its image and its ray map become tokens."""

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cut3r.model.blocks import Conv2d, ExactConv2d, LayerNorm, SelfBlock
from cut3r.model.config import ModelConfig
from cut3r.model.rope import grid_angles

Combine = Literal["batch", "stream"]


@dataclass(frozen=True)
class ViewInput:
    """One view of b streams: an image, a ray map, or both.

    `image` holds RGB in [-1, 1]; `ray_map` holds ray origins and directions in the stream's world, metres. The flags
    say for each sample whether it has an image and rays (an entry whose flag is False is ignored, whatever it
    contains), whether the view may change the state (it also needs an image for that), and whether the state returns
    to its initial value after the view. None stands for the obvious: present if given, update, no reset.

    Raises:
        ValueError: Neither image nor ray map, or sizes that do not fit each other.
    """

    image: Float[Tensor, "b 3 h w"] | None = None
    ray_map: Float[Tensor, "b h w 6"] | None = None
    has_image: Bool[Tensor, "b"] | None = None
    has_rays: Bool[Tensor, "b"] | None = None
    update: Bool[Tensor, "b"] | None = None
    reset: Bool[Tensor, "b"] | None = None

    def __post_init__(self) -> None:
        if self.image is None and self.ray_map is None:
            raise ValueError("a view needs an image or a ray map, and this one has neither")
        if self.image is not None and self.ray_map is not None:
            image_shape = (self.image.shape[0], *self.image.shape[2:])
            if image_shape != tuple(self.ray_map.shape[:3]):
                raise ValueError(
                    f"image {tuple(self.image.shape)} and ray map {tuple(self.ray_map.shape)} disagree; "
                    "expected b 3 h w and b h w 6"
                )

    @property
    def batch_size(self) -> int:
        return self._some().shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) in pixels."""
        if self.image is not None:
            return (self.image.shape[2], self.image.shape[3])
        return (self._some().shape[1], self._some().shape[2])

    @property
    def device(self) -> torch.device:
        return self._some().device

    def image_mask(self) -> Bool[Tensor, "b"]:
        return self._mask(self.has_image, default=True) & (self.image is not None)

    def ray_mask(self) -> Bool[Tensor, "b"]:
        return self._mask(self.has_rays, default=True) & (self.ray_map is not None)

    def write_mask(self) -> Bool[Tensor, "b"]:
        """The samples whose state this view changes: those with an image that may update."""
        return self.image_mask() & self._mask(self.update, default=True)

    def reset_mask(self) -> Bool[Tensor, "b"]:
        return self._mask(self.reset, default=False)

    def _mask(self, flag: Tensor | None, *, default: bool) -> Tensor:
        # on the host: the masks decide which code runs, and asking the device would wait for it
        return torch.full((self.batch_size,), default) if flag is None else flag.cpu()

    def _some(self) -> Tensor:
        some = self.ray_map if self.image is None else self.image
        assert some is not None
        return some


@dataclass(frozen=True)
class Tokens:
    """The encoded view: one feature vector per patch, row by row, and the number of patch (rows, columns)."""

    features: Float[Tensor, "b n d"]
    grid: tuple[int, int]


class PatchEncoder(nn.Module):
    """A plain vision transformer: patches, self-attention blocks, a last norm."""

    def __init__(
        self, config: ModelConfig, channels: int, depth: int, heads: int, layer: type[Conv2d] = Conv2d
    ) -> None:
        super().__init__()
        width, patch = config.encoder.width, config.patch_size
        self.head_dim, self.base = width // heads, config.rope_base
        self.patch = layer(channels, width, kernel_size=patch, stride=patch)
        self.blocks = nn.ModuleList(SelfBlock(width, heads, config.mlp_ratio) for _ in range(depth))
        self.norm = LayerNorm(width)

    def forward(self, pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        patches = self.patch(pixels)
        angles = grid_angles((patches.shape[2], patches.shape[3]), self.head_dim, self.base, patches.device)
        tokens = rearrange(patches, "b d h w -> b (h w) d").float()
        for block in self.blocks:
            tokens = block(tokens, angles)
        return self.norm(tokens)


class ViewEncoder(nn.Module):
    """Image tokens and ray tokens, and the two published rules for combining them.

    "stream": what is there is added up; a view with only a ray map has just its ray tokens. "batch" (training): a
    view without image has the learned `no_image` in place of image tokens, and as soon as any view of the batch has
    rays, each view adds its ray tokens or, without rays, the learned `no_rays`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        encoder = config.encoder
        self.patch_size = config.patch_size
        self.image = PatchEncoder(config, 3, encoder.depth, encoder.heads)
        # bfloat16 would move a camera that is 35 m away by 10 cm
        self.rays = PatchEncoder(config, 6, encoder.ray_depth, encoder.ray_heads, ExactConv2d)
        self.no_image = nn.Parameter(torch.empty(1, encoder.width))
        self.no_rays = nn.Parameter(torch.empty(1, encoder.width))

    def forward(self, view: ViewInput, combine: Combine, *, rays_in_batch: bool) -> Tokens:
        """Encode one view.

        Args:
            rays_in_batch: Whether any sample of any view that belongs to this batch has rays ("batch" rule only).

        Raises:
            ValueError: The image size is not a positive multiple of the patch size.
        """
        h, w = view.size
        if h % self.patch_size or w % self.patch_size or not h or not w:
            raise ValueError(
                f"the view has {h}x{w} pixels (h x w); both must be positive multiples of {self.patch_size}, "
                "fit the image first (cut3r.inference.preprocess.fit)"
            )
        grid = (h // self.patch_size, w // self.patch_size)
        rays = None if view.ray_map is None else rearrange(view.ray_map, "b h w c -> b c h w")
        nothing, batch = torch.zeros_like(self.no_image), combine == "batch"
        no_image, no_rays = (self.no_image, self.no_rays) if batch else (nothing, nothing)
        features = _encode_where(self.image, view.image, view.image_mask(), no_image, grid)
        if rays_in_batch if batch else rays is not None:
            features = features + _encode_where(self.rays, rays, view.ray_mask(), no_rays, grid)
        return Tokens(features, grid)


def _encode_where(
    encoder: PatchEncoder, pixels: Tensor | None, mask: Tensor, absent: Tensor, grid: tuple[int, int]
) -> Float[Tensor, "b n d"]:
    """Encode the samples whose mask is True; the others hold `absent` at each position. Ignored pixels may be NaN."""
    if pixels is not None and bool(mask.all()):
        return encoder(pixels)
    features = absent.expand(mask.shape[0], grid[0] * grid[1], -1)
    if pixels is None or not bool(mask.any()):
        return features
    chosen = mask.nonzero().squeeze(1).to(pixels.device)
    return features.index_copy(0, chosen, encoder(pixels[chosen]))
