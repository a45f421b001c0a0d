"""Tileable patterns: what surfaces of synthetic rooms look like, apart from their colours.

A pattern has two channels in [0, 1]: the first blends a material's colour 0 into its colour 1, the second blends in its
colour 2. x and y run over [0, 1).
"""

import numpy as np

SIDE = 256  # texels

Pattern = np.ndarray  # [2, SIDE, SIDE], float


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


def leaves(rng: np.random.Generator) -> Pattern:
    """Discs and rectangles of all sizes on top of each other ("dead leaves"): the statistics of natural pictures.

    Source: Lee, Mumford, Huang, Occlusion models for natural images, IJCV 2001.
    """
    shade, accent = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    smallest, largest = 0.015, rng.uniform(0.15, 0.3)
    for _ in range(600):
        radius = 1 / rng.uniform(1 / largest, 1 / smallest)  # density ~ radius^-2
        reach, turn, stretch = int(np.ceil(1.5 * SIDE * radius)), rng.uniform(0, np.pi), rng.uniform(0.4, 1.0)
        dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1] / SIDE
        along, across = dx * np.cos(turn) + dy * np.sin(turn), (dy * np.cos(turn) - dx * np.sin(turn)) / stretch
        round_ = rng.random() < 0.5
        inside = np.hypot(along, across) < radius if round_ else np.maximum(np.abs(along), np.abs(across)) < radius
        row, column = ((rng.integers(SIDE) + np.arange(-reach, reach + 1)) % SIDE for _ in range(2))
        place = np.ix_(row, column)
        shade[place] = np.where(inside, rng.random() + 0.15 * rng.uniform(-1, 1) * along / radius, shade[place])
        accent[place] = np.where(inside, rng.random() * (rng.random() < 0.35), accent[place])
    return np.stack((shade + 0.1 * (fbm(rng, 0.5) - 0.5), accent))


def page(rng: np.random.Generator) -> Pattern:
    """A printed page: lines of words, headings, and pictures."""
    x, y = grid()
    ink, accent = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    at = rng.uniform(0.05, 0.12)
    while at < 0.93:
        kind, height = rng.random(), rng.uniform(0.015, 0.03)
        if kind < 0.2:
            height = rng.uniform(0.1, 0.35)
            left, right = sorted((rng.uniform(0.08, 0.6), rng.uniform(0.5, 0.92)))
            inside = (y > at) & (y < at + height) & (x > left) & (x < right)
            ink = np.where(inside, fbm(rng, rng.uniform(0.8, 1.8)), ink)
            accent = np.where(inside, (rng.random() < 0.7) * fbm(rng, 1.4), accent)
        elif kind < 0.35:
            height = rng.uniform(0.04, 0.09)
            accent = np.where((y > at) & (y < at + height) & (x > 0.08) & (x < rng.uniform(0.4, 0.92)), 0.95, accent)
        else:
            words = np.interp(x, np.linspace(0, 1, 40), rng.random(40)) > 0.4
            ink = np.where((y > at) & (y < at + height) & (x > 0.08) & (x < 0.92) & words, 0.9, ink)
        at += height + rng.uniform(0.01, 0.03)
    return np.stack((ink, accent))


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
    "leaves": (leaves, 6),
    "page": (page, 6),
}
