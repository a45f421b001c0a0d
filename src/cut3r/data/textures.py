"""Procedural textures: a library of tileable patterns with their mip pyramids.

A pattern has two channels in [0, 1]: the first blends a material's colour 0 into its colour 1, the second blends in its
colour 2. All patterns are computed once per process (about half a second) and looked up with bilinear interpolation in
the pyramid level that fits the size of a pixel on the surface, so distant patterns blur instead of flickering.
"""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

SIDE = 256  # texels
LEVELS = 8  # 256 ... 2 texels
LEVEL_SIDES = [SIDE >> level for level in range(LEVELS)]
LEVEL_STARTS = np.concatenate(([0], np.cumsum([side**2 for side in LEVEL_SIDES]))).tolist()
TEXELS = LEVEL_STARTS[-1]  # of one pattern with its pyramid

Pattern = np.ndarray  # [2, SIDE, SIDE], float


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


# ---- the patterns; x and y run over [0, 1) -------------------------------------------------------------------------


def grid() -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(SIDE) + 0.5) / SIDE
    return np.meshgrid(axis, axis)


def fbm(
    rng: np.random.Generator, slope: float, stretch: tuple[float, float] = (1.0, 1.0), lowest: float = 1.0
) -> np.ndarray:
    """Tileable noise in [0, 1] with a power-law spectrum; `stretch` elongates it along x or y."""
    frequency = np.fft.fftfreq(SIDE, 1 / SIDE)
    radius = np.hypot(frequency[None, :] * stretch[0], frequency[:, None] * stretch[1])
    amplitude = np.where(radius >= lowest, np.maximum(radius, 1) ** -slope, 0)
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIDE, SIDE))) * amplitude).real
    return np.clip(0.5 + noise / (noise.std() * 5), 0, 1)


def cells(rng: np.random.Generator, rows: int, columns: int, *, shift: float = 0.0, gap: float) -> tuple:
    """A grid of tiles or bricks: the joint mask and a random value per cell; every second row is shifted."""
    x, y = grid()
    row = np.floor(y * rows).astype(int)
    column_position = (x * columns + shift * (row % 2)) % columns
    column = np.floor(column_position).astype(int)
    value = rng.random((rows, columns))[row, column]
    to_edge_x = np.minimum(column_position % 1, 1 - column_position % 1) / columns
    to_edge_y = np.minimum((y * rows) % 1, 1 - (y * rows) % 1) / rows
    return (np.minimum(to_edge_x, to_edge_y) < gap / 2).astype(float), value


def plain(rng: np.random.Generator) -> Pattern:
    return np.stack((0.25 * fbm(rng, 1.2), 0.05 * fbm(rng, 0.3)))


def plaster(rng: np.random.Generator) -> Pattern:
    return np.stack((fbm(rng, rng.uniform(0.8, 1.6)), 0.3 * fbm(rng, 0.4)))


def clouds(rng: np.random.Generator) -> Pattern:
    return np.stack((fbm(rng, rng.uniform(1.4, 2.0)), np.clip(3 * fbm(rng, 1.6) - 1.5, 0, 1)))


def checks(rng: np.random.Generator) -> Pattern:
    x, y = grid()
    n = int(rng.choice([4, 6, 8]))
    board = (np.floor(x * n) + np.floor(y * n)) % 2
    return np.stack((board * 0.9 + 0.1 * fbm(rng, 1.0), 0.2 * fbm(rng, 1.5)))


def stripes(rng: np.random.Generator) -> Pattern:
    x, _ = grid()
    edges = np.sort(rng.choice(np.arange(1, 24), 9, replace=False)) / 24
    band = np.searchsorted(edges, x)
    value = rng.choice([0.0, 0.3, 0.6, 1.0], 10)
    value[-1] = value[0]
    accent = rng.random(10) < 0.25
    return np.stack((value[band], accent[band] * 0.9))


def wood(rng: np.random.Generator) -> Pattern:
    x, _ = grid()
    warp = fbm(rng, 1.8, (2.0, 0.4))
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (rng.integers(3, 7) * x + 5 * warp))
    fibre = fbm(rng, 0.6, (0.3, 4.0))
    return np.stack((0.6 * rings**1.5 + 0.4 * fibre, 0.35 * fbm(rng, 1.2, (0.4, 3.0))))


def planks(rng: np.random.Generator) -> Pattern:
    joint, value = cells(rng, 2, int(rng.choice([6, 8])), gap=0.006)
    grain = fbm(rng, 0.8, (0.3, 5.0))
    return np.stack((0.5 * value + 0.6 * grain - 0.05, np.maximum(joint, 0.15 * value)))


def tiles(rng: np.random.Generator) -> Pattern:
    n = int(rng.choice([4, 6]))
    joint, value = cells(rng, n, n, gap=0.014)
    return np.stack((0.35 * value + 0.5 * fbm(rng, 1.4), joint))


def bricks(rng: np.random.Generator) -> Pattern:
    joint, value = cells(rng, 16, 6, shift=0.5, gap=0.016)
    return np.stack((0.6 * value + 0.5 * fbm(rng, 0.7), joint))


def books(rng: np.random.Generator) -> Pattern:
    x, y = grid()
    count = 28
    edges = np.cumsum(rng.uniform(0.5, 1.5, count))
    edges /= edges[-1]
    book = np.searchsorted(edges, x)
    value, accent, height = rng.random(count), rng.random(count) < 0.3, rng.uniform(0.75, 0.98, count)
    above = (1 - y) > height[book]
    seam = np.abs(x - edges[book]) < 0.004
    label = (np.abs(y - 0.4) < 0.06) & (value[book] > 0.5)
    shade = np.where(above | seam, 0.0, np.where(label, 1.0, value[book]))
    return np.stack((shade, np.where(above | seam, 0.0, accent[book] * 0.9)))


def painting(rng: np.random.Generator) -> Pattern:
    """Overlapping discs and bars over clouds, in a frame."""
    x, y = grid()
    base, accent = clouds(rng)
    for _ in range(int(rng.integers(3, 8))):
        cx, cy, radius, stretch = (
            rng.uniform(0.1, 0.9),
            rng.uniform(0.1, 0.9),
            rng.uniform(0.05, 0.25),
            rng.uniform(0.5, 2),
        )
        inside = np.hypot((x - cx) * stretch, y - cy) < radius
        if rng.random() < 0.5:
            inside = (np.abs(x - cx) * stretch < radius) & (np.abs(y - cy) < radius / stretch)
        base = np.where(inside, rng.random(), base)
        accent = np.where(inside, rng.random() < 0.4, accent)
    frame = np.maximum(np.abs(x - 0.5), np.abs(y - 0.5)) > 0.46
    return np.stack((np.where(frame, 0.0, base), np.where(frame, 0.0, accent)))


def rug(rng: np.random.Generator) -> Pattern:
    x, y = grid()
    border = np.maximum(np.abs(x - 0.5), np.abs(y - 0.5)) * 2
    waves = np.sin(2 * np.pi * rng.integers(2, 6) * x) * np.sin(2 * np.pi * rng.integers(2, 6) * y)
    bands = np.floor(border * rng.integers(4, 8)) % 2
    thread = 0.15 * fbm(rng, 0.1)
    return np.stack((0.55 * bands + 0.3 * (waves > 0.2) + thread, 0.8 * (waves < -0.5)))


def fabric(rng: np.random.Generator) -> Pattern:
    x, y = grid()
    n = int(rng.choice([16, 24, 32]))
    weave = 0.5 + 0.25 * (np.sin(2 * np.pi * n * x) + np.sin(2 * np.pi * n * y))
    return np.stack((0.4 * weave + 0.6 * fbm(rng, 0.9), 0.3 * fbm(rng, 1.5)))


def speckle(rng: np.random.Generator) -> Pattern:
    grains = np.clip(6 * fbm(rng, 0.5, lowest=12.0) - 3.4, 0, 1)
    return np.stack((fbm(rng, 1.0), grains))


def dots(rng: np.random.Generator) -> Pattern:
    x, y = grid()
    n = int(rng.choice([4, 6]))
    row = np.floor(y * n)
    distance = np.hypot((x * n + 0.5 * (row % 2)) % 1 - 0.5, (y * n) % 1 - 0.5)
    return np.stack((0.2 * fbm(rng, 1.2), (distance < rng.uniform(0.15, 0.35)).astype(float)))


def door(rng: np.random.Generator) -> Pattern:
    """A leaf with panels, in a frame."""
    x, y = grid()
    frame = (np.abs(x - 0.5) > 0.45) | (y < 0.04)
    panel = (np.abs(x - 0.5) < 0.3) & (np.abs((y * 2) % 1 - 0.5) < 0.36)
    rim = (np.abs(x - 0.5) < 0.33) & (np.abs((y * 2) % 1 - 0.5) < 0.39) & ~panel
    grain = 0.3 * fbm(rng, 0.8, (0.3, 4.0))
    return np.stack((np.where(frame, 0.9, np.where(rim, 0.0, 0.35)) + grain - 0.15, np.where(frame, 0.7, 0.0)))


def window(rng: np.random.Generator) -> Pattern:
    """Panes with something green and blue behind them, in a frame."""
    x, y = grid()
    bars = int(rng.choice([2, 3]))
    frame = (np.abs((x * bars) % 1 - 0.5) > 0.46) | (np.abs((y * 2) % 1 - 0.5) > 0.47)
    horizon = 0.55 + 0.25 * (fbm(rng, 1.8)[:1] - 0.5)
    landscape = np.where(y > horizon, 0.2 + 0.4 * fbm(rng, 1.2), 0.85 + 0.15 * fbm(rng, 1.6))
    return np.stack((np.where(frame, 1.0, landscape), np.where(frame, 1.0, 0.0)))


FAMILIES = {
    "plain": (plain, 3),
    "plaster": (plaster, 4),
    "clouds": (clouds, 4),
    "checks": (checks, 2),
    "stripes": (stripes, 5),
    "wood": (wood, 4),
    "planks": (planks, 4),
    "tiles": (tiles, 3),
    "bricks": (bricks, 2),
    "books": (books, 3),
    "painting": (painting, 8),
    "rug": (rug, 4),
    "fabric": (fabric, 3),
    "speckle": (speckle, 3),
    "dots": (dots, 2),
    "door": (door, 2),
    "window": (window, 2),
}
