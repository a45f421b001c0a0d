"""Random furnished rooms: solids, their materials and the lamps.

World: x and y along the floor, z up, metres; the interior spans 0 ... size. Everything is a function of the generator.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cut3r.data.furniture import FLOOR_THINGS, WALL_THINGS, Piece, Thing, box, carpet, cylinder, moved
from cut3r.data.looks import Look, ceiling, floor, random_look, uniform, wall
from cut3r.data.raycast import Kind, Solids, signed_distance
from cut3r.data.textures import patterns_of

Rng = np.random.Generator
Rectangle = tuple[float, float, float, float]  # x0, x1, y0, y1 on the floor, or along and up on a wall
ENOUGH_PIECES = 40  # on the floor: rendering time grows with their number
HALLS = 0.1  # share of rooms that are large
SHELL_FACES = 6  # materials 0 ... 5 belong to the faces x=0, x=size, y=0, y=size, floor, ceiling; 6 + p to solid p


@dataclass(frozen=True)
class Materials:
    """How surfaces look; one row per face of the room, then one per solid. Source of the values: `looks.Look`."""

    pattern: Int[Tensor, "m"]  # rows of the pattern library
    palette: Float[Tensor, "m 3 3"]  # three colours, linear RGB
    scale: Float[Tensor, "m 2"]  # tiles per metre along the surface
    offset: Float[Tensor, "m 2"]  # tiles
    detail: Float[Tensor, "m"]
    glow: Float[Tensor, "m"]

    def to(self, device: torch.device | str) -> "Materials":
        return Materials(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Room:
    """All that a picture of the room depends on, except the camera."""

    size: Float[Tensor, "3"]
    solids: Solids
    materials: Materials
    lights: Float[Tensor, "l 3"]  # positions; the first one casts shadows
    light_colors: Float[Tensor, "l 3"]
    ambient: Float[Tensor, "3"]
    exposure: float  # mean brightness of a picture, 0 ... 1

    def to(self, device: torch.device | str) -> "Room":
        moved_parts = {name: value.to(device) for name, value in vars(self).items() if name != "exposure"}
        return replace(self, **moved_parts)


def make_room(rng: Rng, *, moving: int = 0) -> Room:
    """Build and furnish a random room.

    Args:
        moving: How many objects swing to and fro in it.
    """
    size = np.array([rng.uniform(2.5, 7.0), rng.uniform(2.5, 8.0), rng.uniform(2.2, 3.2)])
    if rng.random() < HALLS:
        size *= rng.uniform((1.2, 1.2, 1.0), (2.0, 2.0, 1.6))
    shell = shell_looks(rng)
    lights, pieces = make_lamps(rng, size)
    pieces += furnish(rng, size, shell[0])
    pieces += hang(rng, size)
    pieces += [moving_piece(rng, size, stack_solids(pieces)) for _ in range(moving)]
    pieces.sort(key=lambda piece: piece.kind)
    tint = 1 + 0.1 * rng.standard_normal(3)
    brightness = rng.uniform(0.5, 1.2, (len(lights), 1)) * (1 + 0.05 * rng.standard_normal((len(lights), 3)))
    return Room(
        size=tensor(size),
        solids=stack_solids(pieces),
        materials=stack_materials(rng, [*shell, *(piece.look for piece in pieces)]),
        lights=tensor(lights),
        light_colors=tensor(tint * brightness),
        ambient=tensor(tint * rng.uniform(0.25, 0.5)),
        exposure=float(rng.uniform(0.36, 0.52)),
    )


def tensor(values: np.ndarray | Sequence) -> Tensor:
    """Float32 on the CPU."""
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def stack_solids(pieces: Sequence[Piece]) -> Solids:
    vectors = {name: [getattr(piece, name) for piece in pieces] for name in ("center", "half", "swing")}
    numbers = {name: tensor([getattr(piece, name) for piece in pieces]) for name in ("yaw", "rate", "phase")}
    kind = torch.tensor([int(piece.kind) for piece in pieces], dtype=torch.long)
    return Solids(kind, **{name: tensor(rows).reshape(-1, 3) for name, rows in vectors.items()}, **numbers)


def stack_materials(rng: Rng, looks: Sequence[Look]) -> Materials:
    """Rows of numbers; each look takes one of the patterns of its family, equal looks the same."""
    chosen = {id(look): int(rng.choice(patterns_of(look.family))) for look in looks}
    return Materials(
        pattern=torch.tensor([chosen[id(look)] for look in looks], dtype=torch.long),
        **{
            name: tensor([getattr(look, name) for look in looks])
            for name in ("palette", "scale", "offset", "detail", "glow")
        },
    )


def shell_looks(rng: Rng) -> list[Look]:
    """Four walls, of which one may differ, the floor and the ceiling."""
    walls = [wall(rng)] * 4
    if rng.random() < 0.6:
        walls[int(rng.integers(1, 4))] = wall(rng)
    return [*walls, floor(rng), ceiling(rng)]


def make_lamps(rng: Rng, size: np.ndarray) -> tuple[np.ndarray, list[Piece]]:
    """One to three lamps under the ceiling: where their light comes from, and their bodies above that."""
    bodies, positions = [], rng.uniform(0.25, 0.75, (int(rng.integers(1, 4)), 3)) * size
    positions[:, 2] = size[2] - 0.15
    for x, y, _ in positions:
        look = uniform(np.array([1.0, 0.96, 0.85]), glow=1.0)
        if rng.random() < 0.5:
            bodies.append(cylinder((x, y, size[2] - 0.03), rng.uniform(0.1, 0.22), 0.03, look))
        else:
            half = (rng.uniform(0.1, 0.4), 0.1, 0.02)
            bodies.append(box((x, y, size[2] - 0.02), half, look, rng.uniform(0, np.pi)))
    return positions, bodies


def furnish(rng: Rng, size: np.ndarray, wall_look: Look) -> list[Piece]:
    """Stand things on the floor, most of them with their backs to a wall, none in another."""
    pieces: list[Piece] = []
    taken: list[Rectangle] = []
    if rng.random() < 0.3:
        corner, taken = built_in_corner(rng, size, wall_look)
        pieces.append(corner)
    for _ in range(int(rng.integers(4, 12))):
        if len(pieces) > ENOUGH_PIECES:
            break
        thing = FLOOR_THINGS[int(rng.integers(len(FLOOR_THINGS)))](rng)
        place = find_place(rng, size, thing, taken)
        if place is not None:
            x, y, yaw, rectangle = place
            taken.append(rectangle)
            pieces += [moved(piece, x, y, yaw) for piece in thing.pieces]
    if rng.random() < 0.5:
        rug = carpet(rng)
        x, y = rng.uniform(0.35, 0.65, 2) * size[:2]
        pieces += [moved(piece, x, y, rng.uniform(-0.5, 0.5)) for piece in rug.pieces]
    return pieces


def built_in_corner(rng: Rng, size: np.ndarray, look: Look) -> tuple[Piece, list[Rectangle]]:
    """A block from floor to ceiling in a corner, which makes the room's plan an L."""
    half = rng.uniform(0.2, 0.45, 2) * np.minimum(size[:2] * 0.35, 2.0)
    side = rng.integers(0, 2, 2)
    x, y = np.where(side == 0, half, size[:2] - half)
    rectangle = (x - half[0], x + half[0], y - half[1], y + half[1])
    return box((x, y, size[2] / 2), (half[0], half[1], size[2] / 2), look), [rectangle]


def find_place(
    rng: Rng, size: np.ndarray, thing: Thing, taken: Sequence[Rectangle]
) -> tuple[float, float, float, Rectangle] | None:
    """Try some places on the floor: position, turn, and the rectangle it takes; None if nothing fits."""
    for _ in range(10):
        quarter = int(rng.integers(4))  # the back points to +y, -x, -y, +x
        loose = rng.random() < 0.25
        yaw = quarter * np.pi / 2 + (rng.uniform(-0.7, 0.7) if loose else 0.0)
        reach = np.array(thing.reach if quarter % 2 == 0 else thing.reach[::-1])
        reach = np.full(2, np.hypot(*reach)) if loose else reach
        if (2 * reach > 0.8 * size[:2]).any():
            continue
        x, y = rng.uniform(reach, size[:2] - reach)
        if not loose:
            x = {1: reach[0] + 0.01, 3: size[0] - reach[0] - 0.01}.get(quarter, x)
            y = {0: size[1] - reach[1] - 0.01, 2: reach[1] + 0.01}.get(quarter, y)
        rectangle = (x - reach[0], x + reach[0], y - reach[1], y + reach[1])
        if not any(overlap(rectangle, other) for other in taken):
            return x, y, yaw, rectangle
    return None


def hang(rng: Rng, size: np.ndarray) -> list[Piece]:
    """Put pictures, windows, doors and shelves on the walls, side by side."""
    pieces: list[Piece] = []
    taken: list[list[Rectangle]] = [[], [], [], []]
    for _ in range(int(rng.integers(4, 13))):
        thing = WALL_THINGS[int(rng.integers(len(WALL_THINGS)))](rng)
        quarter = int(rng.integers(4))
        length = size[quarter % 2]
        if 2 * thing.reach[0] > 0.8 * length:
            continue
        along = rng.uniform(thing.reach[0], length - thing.reach[0])
        rectangle = (along - thing.reach[0], along + thing.reach[0], 0.0, 1.0)
        if any(overlap(rectangle, other) for other in taken[quarter]):
            continue
        taken[quarter].append(rectangle)
        x, y = {0: (along, size[1]), 1: (0.0, along), 2: (along, 0.0), 3: (size[0], along)}[quarter]
        pieces += [moved(piece, x, y, quarter * np.pi / 2) for piece in thing.pieces]
    return [piece for piece in pieces if piece.center[2] + piece.half[2] < size[2]]


def overlap(a: Rectangle, b: Rectangle) -> bool:
    """Whether two rectangles are less than 5 cm apart."""
    gaps = (a[0] - b[1], b[0] - a[1], a[2] - b[3], b[2] - a[3])
    return bool(max(gaps) < 0.05)


def moving_piece(rng: Rng, size: np.ndarray, others: Solids) -> Piece:
    """A solid that swings to and fro along the floor or in the air, where possible through nothing else."""
    best, best_gap = None, -np.inf
    for _ in range(12):
        piece = swinging(rng, size)
        path = np.array(piece.center) + np.sin(np.linspace(-np.pi / 2, np.pi / 2, 9))[:, None] * np.array(piece.swing)
        offset = tensor(path).unsqueeze(1) - others.center  # [9, p, 3]
        gap = float(signed_distance(others, offset).min()) - max(piece.half)
        if best is None or gap > best_gap:
            best, best_gap = piece, gap
    assert best is not None
    return best


def swinging(rng: Rng, size: np.ndarray) -> Piece:
    r, turn, kind = rng.uniform(0.08, 0.25), rng.uniform(0, 2 * np.pi), Kind(int(rng.integers(1, 4)))
    x, y = rng.uniform(0.3, 0.7, 2) * size[:2]
    z = r + 0.02 if rng.random() < 0.6 else rng.uniform(r + 0.02, 1.0)
    length = rng.uniform(0.2, 0.25 * size[:2].min())
    return Piece(
        kind,
        center=(x, y, z),
        half=(r, r, r),
        look=random_look(rng),
        yaw=rng.uniform(0, np.pi),
        swing=(length * np.cos(turn), length * np.sin(turn), 0.0),
        rate=rng.uniform(0.2, 0.8) / length,  # so fast in m/s in the middle
        phase=rng.uniform(0, 2 * np.pi),
    )
