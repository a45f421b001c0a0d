"""Procedural textures: a library of the tileable patterns of `patterns` with their mip pyramids.

All patterns are computed once per process (about half a second) and looked up with bilinear interpolation in
the pyramid level that fits the size of a pixel on the surface, so distant patterns blur instead of flickering.
"""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cut3r.data.patterns import FAMILIES, SIDE

LEVELS = 8  # 256 ... 2 texels
LEVEL_SIDES = [SIDE >> level for level in range(LEVELS)]
LEVEL_STARTS = np.concatenate(([0], np.cumsum([side**2 for side in LEVEL_SIDES]))).tolist()
TEXELS = LEVEL_STARTS[-1]  # of one pattern with its pyramid


def sample_patterns(
    pattern: Int[Tensor, "*points"],
    u: Float[Tensor, "*points"],
    v: Float[Tensor, "*points"],
    footprint: Float[Tensor, "*points"],
) -> tuple[Float[Tensor, "*points"], Float[Tensor, "*points"]]:
    """Look up the two channels of patterns.

    Args:
        pattern: Rows of the library, see `patterns_of`.
        u: In tiles: the patterns repeat with period 1.
        v: As u, running down.
        footprint: Extent of a pixel on the surface, in tiles.
    """
    library = pyramids(u.device)
    level = (footprint * SIDE).log2_().round_().clamp_(0, LEVELS - 1).to(torch.int32)
    side = torch.bitwise_right_shift(torch.full_like(level, SIDE), level)
    start = level_starts(u.device).index_select(0, level.flatten()).view_as(level) + pattern.to(torch.int32) * TEXELS
    mask = side - 1  # sides are powers of two, so this wraps
    x, y = (coordinate * side - 0.5 for coordinate in (u, v))
    left, top = x.floor(), y.floor()
    x, y = x.sub_(left), y.sub_(top)
    left, top = left.to(torch.int32), top.to(torch.int32)
    right, low = (left + 1).bitwise_and_(mask), (top + 1).bitwise_and_(mask).mul_(side).add_(start)
    left, top = left.bitwise_and_(mask), top.bitwise_and_(mask).mul_(side).add_(start)
    texels = [fetch(library, texel) for texel in (top + left, top + right, low + left, low + right)]
    channels = []
    for a, b, c, d in ([texel[..., channel] for texel in texels] for channel in range(2)):
        upper, lower = torch.lerp(a, b, x), torch.lerp(c, d, x)
        channels.append(torch.lerp(upper, lower, y))
    return channels[0], channels[1]


def fetch(library: Complex[Tensor, "texels"], texel: Int[Tensor, "*points"]) -> Float[Tensor, "*points 2"]:
    return torch.view_as_real(library.index_select(0, texel.flatten()).view_as(texel))


@lru_cache(maxsize=4)
def level_starts(device: torch.device) -> Int[Tensor, "levels"]:
    return torch.tensor(LEVEL_STARTS[:-1], dtype=torch.int32, device=device)


def patterns_of(family: str) -> list[int]:
    """Give the library rows of a family of patterns ("wood", "tiles", ...)."""
    return [row for row, name in enumerate(family_of_row()) if name == family]


@lru_cache(maxsize=1)
def family_of_row() -> list[str]:
    return [name for name, (_, variants) in FAMILIES.items() for _ in range(variants)]


@lru_cache(maxsize=4)
def pyramids(device: torch.device) -> Complex[Tensor, "texels"]:
    """The whole library on a device: pattern by pattern, level by level, row by row.

    The two channels are the two parts of a complex number: one fetch instead of two.
    """
    if device.type != "cpu":
        return pyramids(torch.device("cpu")).to(device)
    rows = [make(np.random.default_rng([7, row])) for row, make in enumerate(makers())]
    level = torch.from_numpy(np.stack(rows)).float().clamp(0, 1)  # [patterns, 2, side, side]
    levels = []
    for _ in range(LEVELS):
        levels.append(level.flatten(2))
        level = torch.nn.functional.avg_pool2d(level, 2)
    return torch.view_as_complex(torch.cat(levels, dim=2).permute(0, 2, 1).reshape(-1, 2).contiguous())


def makers() -> list:
    return [make for make, variants in FAMILIES.values() for _ in range(variants)]
