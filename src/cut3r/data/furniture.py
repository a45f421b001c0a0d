"""Furniture of synthetic rooms, built of boxes, upright cylinders and spheres.

A builder makes a thing around the origin: z up, standing on z = 0, its back towards +y. Lengths in metres.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from cut3r.data.looks import Look, brown, cloth, color, fitted, palette, printed, random_look, uniform, wooden
from cut3r.data.raycast import Kind

Rng = np.random.Generator
Number = float | int
Vector = tuple[Number, Number, Number]


@dataclass(frozen=True)
class Piece:
    """One solid with its material; the fields are those of `cut3r.data.raycast.Solids`."""

    kind: Kind
    center: Vector
    half: Vector
    look: Look
    yaw: float = 0.0
    swing: Vector = (0.0, 0.0, 0.0)
    rate: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True)
class Thing:
    """Something made of pieces, which fills |x| <= reach[0], |y| <= reach[1]."""

    pieces: list[Piece] = field(default_factory=list)
    reach: tuple[float, float] = (0.0, 0.0)


def box(center: Vector, half: Vector, look: Look, yaw: float = 0.0) -> Piece:
    return Piece(Kind.turned_box if yaw else Kind.box, center, half, look, yaw)


def cylinder(center: Vector, radius: float, half_height: float, look: Look) -> Piece:
    return Piece(Kind.cylinder, center, (radius, radius, half_height), look)


def sphere(center: Vector, radius: float, look: Look) -> Piece:
    return Piece(Kind.sphere, center, (radius, radius, radius), look)


def moved(piece: Piece, x: Number, y: Number, yaw: Number) -> Piece:
    """Turn a piece about the vertical through the origin, then shift it."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    px, py, pz = piece.center
    center = (x + cos * px - sin * py, y + sin * px + cos * py, pz)
    if piece.kind == Kind.box and abs(sin * cos) < 1e-6:  # quarter turns
        hx, hy, hz = piece.half
        return replace(piece, center=center, half=(hx, hy, hz) if abs(sin) < 0.5 else (hy, hx, hz))
    kind = Kind.turned_box if piece.kind == Kind.box else piece.kind
    return replace(piece, kind=kind, center=center, yaw=piece.yaw + yaw)


# ---- standing on the floor -------------------------------------------------------------------------------------------


def table(rng: Rng) -> Thing:
    w, d, h = rng.uniform(0.4, 0.9), rng.uniform(0.3, 0.5), rng.uniform(0.4, 0.78)
    look = wooden(rng) if rng.random() < 0.7 else random_look(rng)
    x, y, half = w - 0.05, d - 0.05, h / 2 - 0.02
    legs = [box((sx * x, sy * y, half), (0.03, 0.03, half), look) for sx in (-1, 1) for sy in (-1, 1)]
    return Thing([*legs, box((0, 0, h - 0.02), (w, d, 0.02), look), *clutter(rng, w, d, h)], (w, d))


def round_table(rng: Rng) -> Thing:
    r, h = rng.uniform(0.3, 0.6), rng.uniform(0.45, 0.75)
    look = wooden(rng) if rng.random() < 0.7 else random_look(rng)
    foot = [cylinder((0, 0, 0.015), 0.6 * r, 0.015, look), cylinder((0, 0, h / 2), 0.05, h / 2 - 0.02, look)]
    return Thing([*foot, cylinder((0, 0, h - 0.02), r, 0.02, look), *clutter(rng, 0.8 * r, 0.8 * r, h)], (r, r))


def cabinet(rng: Rng) -> Thing:
    w, d, h = rng.uniform(0.3, 0.8), rng.uniform(0.18, 0.32), rng.uniform(0.35, 1.0)
    look = wooden(rng) if rng.random() < 0.5 else random_look(rng)
    doors = fitted("door", w, 2 * h, palette(rng, colorful=0.5))
    fronts = [box((s * w / 2, -d - 0.005, h / 2), (0.46 * w, 0.01, 0.46 * h), doors) for s in (-1, 1)]
    return Thing([box((0, 0, h / 2), (w, d, h / 2), look), *fronts, *clutter(rng, w, d, h)], (w, d + 0.02))


def bookcase(rng: Rng) -> Thing:
    w, d, h = rng.uniform(0.3, 0.6), 0.15, rng.uniform(1.2, 2.0)
    look, shelves = wooden(rng), int(rng.integers(3, 5))
    gap = h / shelves
    sides = [box((s * w, 0, h / 2 + 0.012), (0.015, d, h / 2 + 0.012), look) for s in (-1, 1)]
    boards = [box((0, 0, i * gap + 0.012), (w, d, 0.012), look) for i in range(shelves + 1)]
    rows = [book_row(rng, w - 0.03, d, i * gap + 0.024, 0.4 * gap) for i in range(shelves)]
    return Thing([*sides, *boards, *rows], (w + 0.02, d))


def book_row(rng: Rng, w: float, d: float, z: float, half_height: float) -> Piece:
    colors = palette(rng, colorful=0.9, contrast=0.8)
    look = Look("books", colors, (0.5 / w, 0.5 / half_height), (rng.random(), 0.5))
    width = rng.uniform(0.5, 1.0) * w
    return box((width - w, 0.02, z + half_height), (width, 0.75 * d, half_height), look)


def sofa(rng: Rng) -> Thing:
    w, d, look = rng.uniform(0.5, 1.0), rng.uniform(0.38, 0.45), cloth(rng)
    arms = [box((s * (w - 0.07), 0, 0.28), (0.07, d, 0.28), look) for s in (-1, 1)]
    back = box((0, d - 0.1, 0.4), (w, 0.1, 0.4), look)
    cushion = box((rng.uniform(-0.5, 0.5) * w, d - 0.28, 0.55), (0.2, 0.06, 0.16), cloth(rng), rng.uniform(-0.3, 0.3))
    return Thing([box((0, 0, 0.21), (w, d, 0.21), look), back, cushion, *arms], (w, d))


def bed(rng: Rng) -> Thing:
    w, d, wood = rng.uniform(0.45, 0.85), rng.uniform(0.9, 1.05), wooden(rng)
    pillow = uniform(color(rng, (0.0, 0.3), (0.6, 1.0)))
    return Thing(
        [
            box((0, 0, 0.15), (w, d, 0.15), wood),
            box((0, -0.02, 0.38), (w - 0.02, d - 0.04, 0.08), cloth(rng)),
            box((0, d - 0.03, 0.45), (w, 0.03, 0.45), wood),
            box((0, d - 0.28, 0.5), (0.7 * w, 0.18, 0.05), pillow),
        ],
        (w, d),
    )


def chair(rng: Rng) -> Thing:
    look = wooden(rng) if rng.random() < 0.6 else random_look(rng)
    legs = [box((sx * 0.18, sy * 0.18, 0.21), (0.02, 0.02, 0.21), look) for sx in (-1, 1) for sy in (-1, 1)]
    seat, back = box((0, 0, 0.44), (0.21, 0.21, 0.025), look), box((0, 0.19, 0.7), (0.2, 0.02, 0.24), look)
    return Thing([*legs, seat, back], (0.21, 0.21))


def barrel(rng: Rng) -> Thing:
    """A bin, stool or vase, sometimes with a ball on it."""
    r, h = rng.uniform(0.12, 0.3), rng.uniform(0.25, 0.7)
    ball = [sphere((0, 0, h + 0.7 * r), 0.7 * r, random_look(rng))] if rng.random() < 0.4 else []
    return Thing([cylinder((0, 0, h / 2), r, h / 2, random_look(rng)), *ball], (r, r))


def plant(rng: Rng) -> Thing:
    r = rng.uniform(0.12, 0.2)
    green = rng.uniform(0.5, 1.0) * np.array([0.12, 0.35, 0.08])
    leaves = Look("clouds", np.stack((green, green * 0.3, green * 1.6)), (3.0, 3.0), (rng.random(), rng.random()))
    tops = rng.uniform(-0.5, 0.5, (4, 3)) * (1.6 * r, 1.6 * r, 0.35) + (0, 0, 2 * r + 0.45)
    crown = [sphere((x, y, z), rng.uniform(0.6, 1.0) * r, leaves) for x, y, z in tops]
    trunk = cylinder((0, 0, r + 0.25), 0.02, r + 0.25, uniform(np.array([0.1, 0.06, 0.03])))
    return Thing([cylinder((0, 0, r), r, r, random_look(rng)), trunk, *crown], (1.8 * r, 1.8 * r))


def floor_lamp(rng: Rng) -> Thing:
    h, metal = rng.uniform(1.3, 1.7), uniform(np.full(3, rng.uniform(0.02, 0.5)))
    shade = cylinder((0, 0, h), 0.18, 0.14, uniform(color(rng, (0.1, 0.4), (0.9, 1.0)), glow=0.6))
    stand = [cylinder((0, 0, 0.015), 0.15, 0.015, metal), cylinder((0, 0, h / 2), 0.015, h / 2, metal)]
    return Thing([*stand, shade], (0.19, 0.19))


def ball(rng: Rng) -> Thing:
    r = rng.uniform(0.1, 0.3)
    return Thing([sphere((0, 0, r), r, random_look(rng))], (r, r))


def crates(rng: Rng) -> Thing:
    a, b = rng.uniform(0.2, 0.32), rng.uniform(0.1, 0.14)
    upper = box((0, 0, 2 * a + b), (b, b, b), random_look(rng), rng.uniform(-0.7, 0.7))
    return Thing([box((0, 0, a), (a, a, a), random_look(rng)), upper], (a, a))


def carpet(rng: Rng) -> Thing:
    w, d = rng.uniform(0.7, 1.2), rng.uniform(0.5, 0.8)
    look = fitted("rug", 2 * w, 2 * d, palette(rng, colorful=0.9, contrast=0.8))
    return Thing([box((0, 0, 0.005), (w, d, 0.005), look)], (w, d))


def clutter(rng: Rng, w: float, d: float, z: float) -> list[Piece]:
    """Up to five small things on a surface of half extents w and d, and papers."""
    things = []
    for slot in rng.permutation(5)[: rng.integers(0, 6)]:
        x, y, r, h = (slot - 2) * w * 0.4, rng.uniform(-0.5, 0.5) * d, rng.uniform(0.03, 0.1), rng.uniform(0.03, 0.15)
        kind, look = int(rng.integers(5)), random_look(rng)
        a4 = (0.105, 0.148) if rng.random() < 0.5 else (0.148, 0.105)
        shapes = (
            box((x, y, z + h), (1.5 * r, r, h), look),
            box((x, y, z + h), (1.5 * r, r, h), look, rng.uniform(0.1, 1.4)),
            cylinder((x, y, z + h), r, h, look),
            sphere((x, y, z + r), r, look),
            box((x, y, z + 0.004), (*a4, 0.004), printed(rng, 2 * a4[0], 2 * a4[1]), rng.uniform(0.1, 1.4)),
        )
        things.append(shapes[kind])
    return things


def counter(rng: Rng) -> Thing:
    """A row of cupboards with a worktop, as in a kitchen."""
    doors, half, d, h = int(rng.integers(2, 5)), rng.uniform(0.2, 0.32), rng.uniform(0.27, 0.32), rng.uniform(0.75, 0.9)
    w, front = doors * half, uniform(color(rng, (0.0, 0.9), (0.3, 1.0)))
    body = box((0, 0.02, h / 2), (w, d - 0.02, h / 2), front)
    top = box((0, 0, h + 0.015), (w + 0.01, d + 0.01, 0.015), random_look(rng))
    at = [(2 * i + 1 - doors) * half for i in range(doors)]
    panels = [box((x, -d, h / 2), (half - 0.012, 0.01, 0.46 * h), front) for x in at]
    handles = [box((x, -d - 0.02, 0.85 * h), (0.4 * half, 0.012, 0.01), uniform(np.full(3, 0.6))) for x in at]
    return Thing([body, top, *panels, *handles, *clutter(rng, w, d, h + 0.03)], (w + 0.01, d + 0.04))


FLOOR_THINGS: tuple[Callable[[Rng], Thing], ...] = (
    *(table, table, round_table, cabinet, cabinet, bookcase, bookcase, sofa, bed, chair, chair),
    *(barrel, plant, floor_lamp, ball, crates, counter, counter),
)


# ---- on the wall: back at y = 0, z as it hangs -----------------------------------------------------------------------


def picture(rng: Rng) -> Thing:
    w, h, z = rng.uniform(0.3, 1.2), rng.uniform(0.3, 0.9), rng.uniform(1.4, 1.7)
    look = fitted("painting", w, h, palette(rng, colorful=0.95, contrast=0.9))
    return Thing([box((0, -0.02, z), (w / 2, 0.02, h / 2), look)], (w / 2, 0.02))


def poster(rng: Rng) -> Thing:
    w, h, z = rng.uniform(0.2, 0.7), rng.uniform(0.25, 0.9), rng.uniform(1.1, 1.8)
    return Thing([box((0, -0.004, z), (w / 2, 0.004, h / 2), printed(rng, w, h))], (w / 2, 0.01))


def cupboard(rng: Rng) -> Thing:
    """Hangs on the wall, above a counter."""
    w, d, h, look = rng.uniform(0.25, 0.8), 0.16, rng.uniform(0.25, 0.4), random_look(rng)
    doors = [box((s * w / 2, -2 * d - 0.005, 1.7), (0.48 * w, 0.01, 0.96 * h), look) for s in (-1, 1)]
    return Thing([box((0, -d, 1.7), (w, d, h), look), *doors], (w, 2 * d))


def window(rng: Rng) -> Thing:
    w, h, z = rng.uniform(0.8, 1.6), rng.uniform(0.8, 1.2), rng.uniform(1.35, 1.5)
    colors = np.array([[0.10, 0.18, 0.08], [0.75, 0.88, 1.0], [0.85, 0.85, 0.82]])
    sill = box((0, -0.06, z - h / 2), (w / 2 + 0.05, 0.06, 0.02), uniform(np.full(3, 0.8)))
    return Thing(
        [box((0, -0.02, z), (w / 2, 0.02, h / 2), fitted("window", w, h, colors, glow=0.7)), sill], (w / 2, 0.1)
    )


def door(rng: Rng) -> Thing:
    w, base = rng.uniform(0.75, 0.95), brown(rng) if rng.random() < 0.6 else color(rng, (0.0, 0.3), (0.7, 1.0))
    look = fitted("door", w, 4.1, np.stack((base * 0.6, base, base * 1.1)))
    handle = sphere((0.4 * w, -0.07, 1.0), 0.03, uniform(np.array([0.4, 0.35, 0.2])))
    return Thing([box((0, -0.02, 1.025), (w / 2, 0.02, 1.025), look), handle], (w / 2, 0.1))


def shelf(rng: Rng) -> Thing:
    w, d, z = rng.uniform(0.3, 0.7), rng.uniform(0.08, 0.14), rng.uniform(1.2, 1.7)
    board = box((0, -d, z), (w, d, 0.02), wooden(rng))
    load = [moved(piece, 0, -d, 0) for piece in clutter(rng, w, 0.5 * d, z + 0.02)]
    return Thing([board, *load], (w, 2 * d))


WALL_THINGS: tuple[Callable[[Rng], Thing], ...] = (
    *(picture, picture, picture, picture, poster, poster, poster, window, door, shelf, shelf, cupboard),
)
