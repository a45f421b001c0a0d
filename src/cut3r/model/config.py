"""What a network is made of. The two published configurations are `published_512_dpt` and `published_224_linear`.

A configuration may come from a file that nobody vouches for, so each class checks its own numbers. The upper limits are
several times what anybody trains today; their purpose is that no file can ask for a network that never gets built.
"""

from dataclasses import dataclass, field
from enum import Enum

from cut3r.files.limits import check_numbers, shown, whole_numbers

WIDEST, DEEPEST, MOST_HEADS, MOST_TOKENS, LARGEST_SIDE = 16_384, 256, 256, 65_536, 16_384


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
        check_numbers("encoder", self, width=WIDEST, depth=DEEPEST, heads=MOST_HEADS)
        check_numbers("encoder", self, ray_depth=DEEPEST, ray_heads=MOST_HEADS)
        _check_heads("encoder", self.width, self.heads)
        _check_heads("ray encoder", self.width, self.ray_heads)


@dataclass
class DecoderConfig:
    width: int = 768
    depth: int = 12
    heads: int = 12
    state_heads: int = 16

    def __post_init__(self) -> None:
        check_numbers("decoder", self, width=WIDEST, depth=DEEPEST, heads=MOST_HEADS, state_heads=MOST_HEADS)
        _check_heads("decoder", self.width, self.heads)
        _check_heads("state decoder", self.width, self.state_heads)


@dataclass
class StateConfig:
    tokens: int = 768
    positions: StatePositions = StatePositions.grid
    memory_slots: int = 256
    memory_depth: int = 2  # blocks for reading, and as many for writing

    def __post_init__(self) -> None:
        check_numbers("state", self, tokens=MOST_TOKENS, memory_slots=MOST_TOKENS, memory_depth=DEEPEST)


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
        check_numbers("network", self, patch_size=128, mlp_ratio=64, dpt_features=WIDEST, head_blocks=DEEPEST)
        height, width = whole_numbers("image_size", self.image_size, 2, LARGEST_SIDE)  # a list when it is from a file
        self.image_size = (height, width)
        a, b, c, d = whole_numbers("dpt_stages", self.dpt_stages, 4, WIDEST)
        self.dpt_stages = (a, b, c, d)
        number = isinstance(self.rope_base, int | float) and not isinstance(self.rope_base, bool)
        if not (number and 1 <= self.rope_base <= 1e12):
            raise ValueError(f"rope_base is {shown(self.rope_base)}; expected is a number from 1 to 1e12, such as 100")
        self.rope_base = float(self.rope_base)
        if self.head is HeadKind.dpt and self.patch_size != 16:
            raise ValueError(f"the dpt head up-samples by 16, so patch_size must be 16, not {self.patch_size}")
        if self.head is HeadKind.dpt and self.dpt_features < 2:
            raise ValueError(f"dpt_features is {self.dpt_features}, and the dpt head needs 2 at least: it halves them")
        if any(side % self.patch_size for side in self.image_size):
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")

    @property
    def blocks(self) -> int:
        """The number of transformer blocks in the whole network."""
        encoder = self.encoder.depth + self.encoder.ray_depth
        return encoder + 2 * self.decoder.depth + 2 * self.state.memory_depth + self.head_blocks


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
