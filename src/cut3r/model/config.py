"""What a network is made of. The two published configurations are `published_512_dpt` and `published_224_linear`."""

from dataclasses import dataclass, field
from enum import Enum


class HeadKind(Enum):
    dpt = "dpt"
    linear = "linear"


class StatePositions(Enum):
    """Where the state tokens sit for the rotary embedding."""

    grid = "grid"  # token i at (i // columns, i % columns)
    line = "line"  # token i at (i, i)
    none = "none"  # no rotary embedding on the state tokens


class RayDirection(Enum):
    """What channels 3-5 of a ray map hold."""

    point_at_unit_depth = "point_at_unit_depth"  # Parity: the published weights were trained with the translation in it
    direction = "direction"


@dataclass
class EncoderConfig:
    width: int = 1024
    depth: int = 24
    heads: int = 16
    ray_depth: int = 2
    ray_heads: int = 16

    def __post_init__(self) -> None:
        _check_heads("encoder", self.width, self.heads)
        _check_heads("ray encoder", self.width, self.ray_heads)


@dataclass
class DecoderConfig:
    width: int = 768
    depth: int = 12
    heads: int = 12
    state_heads: int = 16

    def __post_init__(self) -> None:
        _check_heads("decoder", self.width, self.heads)
        _check_heads("state decoder", self.width, self.state_heads)


@dataclass
class StateConfig:
    tokens: int = 768
    positions: StatePositions = StatePositions.grid
    memory_slots: int = 256
    memory_depth: int = 2  # blocks for reading, and as many for writing


@dataclass
class ModelConfig:
    """The whole network.

    `image_size` is the (h, w) of the training images in pixels: (512, 512) stands for the published 512 resolutions
    of several shapes. It decides the default size at inference, not what the network accepts: any multiple of the
    patch size.
    """

    head: HeadKind = HeadKind.dpt
    image_size: tuple[int, int] = (512, 512)
    patch_size: int = 16
    mlp_ratio: int = 4
    rope_base: float = 100.0
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    state: StateConfig = field(default_factory=StateConfig)
    dpt_features: int = 256
    dpt_stages: tuple[int, int, int, int] = (96, 192, 384, 768)
    head_blocks: int = 2  # pose-modulated blocks in front of the world points, with the decoder's number of heads
    ray_direction: RayDirection = RayDirection.point_at_unit_depth

    def __post_init__(self) -> None:
        self.image_size = (self.image_size[0], self.image_size[1])  # a list when it comes from a file
        a, b, c, d = self.dpt_stages
        self.dpt_stages = (a, b, c, d)
        if self.head is HeadKind.dpt and self.patch_size != 16:
            raise ValueError(f"the dpt head up-samples by 16, so patch_size must be 16, not {self.patch_size}")


def published_512_dpt() -> ModelConfig:
    """The network of `cut3r_512_dpt_4_64.pth`: 793 M parameters."""
    return ModelConfig(head=HeadKind.dpt, image_size=(512, 512))


def published_224_linear() -> ModelConfig:
    """The network of `cut3r_224_linear_4.pth`: 748 M parameters."""
    return ModelConfig(head=HeadKind.linear, image_size=(224, 224))


def _check_heads(name: str, width: int, heads: int) -> None:
    if width % heads:
        raise ValueError(f"{name}: width {width} is not a multiple of its {heads} heads")
    if (width // heads) % 4:
        raise ValueError(
            f"{name}: head dimension {width // heads} (width {width} / {heads} heads) must be a multiple of 4, "
            "half of it rotates with y and half with x, in pairs"
        )
