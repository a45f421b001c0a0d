"""Colours and materials of synthetic rooms, drawn at random but with a sense of what walls, wood and cloth look like.

Colours are linear RGB.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

Rng = np.random.Generator
Palette = Float[np.ndarray, "3 3"]


@dataclass(frozen=True)
class Look:
    """A material: one of the patterns of a family, in three colours.

    `scale` is in tiles per metre, `offset` in tiles. `detail` is the strength of the dirt on top, `glow` is 0 for a
    surface that the lamps light and 1 for one that shines by itself.
    """

    family: str
    palette: Palette
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    detail: float = 0.3
    glow: float = 0.0


def uniform(color: Float[np.ndarray, "3"], *, glow: float = 0.0) -> Look:
    """One colour, nearly without a pattern."""
    return Look("plain", np.stack((color, color, color)), detail=0.1, glow=glow)


def fitted(family: str, width: float, height: float, colors: Palette, *, glow: float = 0.0) -> Look:
    """Show exactly one tile of a pattern on a face of this size around the origin."""
    return Look(family, colors, (1 / width, 1 / height), (0.5, 0.5), detail=0.1, glow=glow)


def random_look(rng: Rng) -> Look:
    if rng.random() < 0.3:
        return wooden(rng)
    family = rng.choice(
        [*("plain", "plaster", "clouds", "checks", "stripes", "fabric", "speckle", "dots", "bricks"), *("leaves",) * 3]
    )
    return scaled(rng, str(family), palette(rng, colorful=0.8), (0.7, 2.5))


def cloth(rng: Rng) -> Look:
    family = rng.choice(["fabric", "stripes", "checks", "plaster", "dots", "clouds", "leaves"])
    return scaled(rng, str(family), palette(rng, colorful=0.8), (0.8, 2.0))


def printed(rng: Rng, width: float, height: float) -> Look:
    """Paper of this size: most of it white, with dark print."""
    paper = color(rng, (0.0, 0.1), (0.8, 1.0)) if rng.random() < 0.7 else color(rng, (0.2, 0.9), (0.3, 0.9))
    ink = color(rng, (0.0, 0.5), (0.05, 0.4))
    return fitted("page", width, height, np.stack((paper, ink, color(rng, (0.3, 0.95), (0.2, 0.9)))))


def wooden(rng: Rng) -> Look:
    light = brown(rng)
    return scaled(rng, "wood", np.stack((light, light * rng.uniform(0.35, 0.7), light * 0.4)), (0.6, 1.4))


def wall(rng: Rng) -> Look:
    family = rng.choice(
        ["plaster", "plaster", "plain", "plain", "clouds", "stripes", "bricks", "tiles", "dots", "leaves"]
    )
    base = color(rng, (0.0, 0.12) if rng.random() < 0.5 else (0.0, 0.5), (0.5, 0.98))
    colors = np.stack((base, base * rng.uniform(0.55, 0.95), base * rng.uniform(0.4, 1.1)))
    look = scaled(rng, str(family), colors, (0.4, 1.0))
    return replace(look, detail=look.detail * rng.random())


def floor(rng: Rng) -> Look:
    family = str(rng.choice(["planks", "planks", "tiles", "checks", "wood", "fabric", "speckle", "stripes", "leaves"]))
    light = brown(rng)
    is_wood = family in ("planks", "wood")
    colors = np.stack((light, light * 0.6, light * 0.3)) if is_wood else palette(rng, colorful=0.4)
    return scaled(rng, family, colors, (0.5, 1.1))


def ceiling(rng: Rng) -> Look:
    white = color(rng, (0.0, 0.08), (0.85, 1.0))
    return scaled(rng, str(rng.choice(["plain", "tiles"])), np.stack((white, white * 0.85, white * 0.7)), (0.4, 0.6))


def scaled(rng: Rng, family: str, colors: Palette, scale: tuple[float, float]) -> Look:
    """A pattern at a random scale and place, with a random amount of dirt."""
    tiles_per_m = rng.uniform(*scale)
    offset = (rng.random(), rng.random())
    return Look(family, colors, (tiles_per_m, tiles_per_m), offset, detail=rng.uniform(0.1, 0.55))


def color(rng: Rng, saturation: tuple[float, float], value: tuple[float, float]) -> Float[np.ndarray, "3"]:
    """A random hue."""
    hue, s, v = rng.random() * 6, rng.uniform(*saturation), rng.uniform(*value)
    ramp = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return np.asarray((v * (1 - s + s * ramp)) ** 2.2)


def brown(rng: Rng) -> Float[np.ndarray, "3"]:
    value, paleness = rng.uniform(0.3, 0.9), rng.uniform(0.45, 0.9)
    return np.asarray((value * np.array([1.0, 0.55 + 0.3 * paleness, 0.25 + 0.45 * paleness])) ** 2.2)


def palette(rng: Rng, *, colorful: float, contrast: float = 0.5) -> Palette:
    """A main colour, a second one that is a shade of it or differs, and an accent."""
    first = color(rng, (0.05, colorful), (0.3, 0.95))
    shade = first * rng.uniform(1 - contrast, 1)
    second = shade if rng.random() < 0.5 else color(rng, (0.05, colorful), (0.2, 0.95))
    return np.stack((first, second, color(rng, (0.1, 0.9), (0.15, 0.95))))
