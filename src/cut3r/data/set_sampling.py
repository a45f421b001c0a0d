"""Samples of pictures that have no order: sets of photos of one place, and pictures that have nothing to do with each
other. Source: 05_megadepth.md, 14_threedkb.md, 21_eden.md, 35_hoi4d.md."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import chain, count

import numpy as np

from cut3r.data.sampling import Choice, Policy, Wanted
from cut3r.data.scene import Scene

_SEEDS = 2**32


class _Unordered(Policy):
    """Pictures without order: any other of the scene may take the place of a broken one."""

    def substitutes(self, scene: Scene, position: int, rng: np.random.Generator) -> Iterator[int]:
        others = rng.permutation(len(scene.frames)).tolist()
        return (other for other in others if other != position)


@dataclass(frozen=True)
class SetPolicy(_Unordered):
    """A scene is a set of photos that see the same; each is one entry, and a sample is a random part of it."""

    def entries(self, scene: Scene, wanted: Wanted) -> int:
        return int(len(scene.frames) >= wanted.admission)

    def choose(self, scene: Scene, entry: int, wanted: Wanted, rng: np.random.Generator) -> Choice:
        """Raises ValueError if there are fewer photos than views, and none may repeat."""
        if len(scene.frames) < wanted.num_views and not wanted.allow_repeat:
            raise ValueError(f"{len(scene.frames)} photos are too few for {wanted.num_views} different views")
        drawn = rng.choice(len(scene.frames), wanted.num_views, replace=wanted.allow_repeat)
        return Choice(drawn.tolist(), False)


class ByRounds(Choice):
    """Parity: a sample is made of `rounds`; one with a broken picture is dropped as a whole, and others follow."""

    rounds: Iterator[list[int]]


class OriginalDraw(Enum):
    """How the original draws unrelated pictures, by what it does if one of them cannot be read."""

    once = "once"  # it ends
    again = "again"  # it draws all of them again
    in_line = "in_line"  # it has put all pictures of the dataset in a random order, and the next one follows


@dataclass(frozen=True)
class UnrelatedPolicy(_Unordered):
    """One scene holds all pictures of a dataset; each leads one entry, and the others of a sample are drawn.

    Parity: the picture of the entry need not be among them, because all come from a generator of their own whose seed
    is the next draw plus the number of the entry.
    """

    parity: OriginalDraw | None = None

    def entries(self, scene: Scene, wanted: Wanted) -> int:
        return len(scene.frames) if self.parity or len(scene.frames) >= wanted.admission else 0

    def choose(self, scene: Scene, entry: int, wanted: Wanted, rng: np.random.Generator) -> Choice:
        """Raises ValueError for parity with fewer pictures than views."""
        total = len(scene.frames)
        if self.parity:
            if total < wanted.num_views:
                raise ValueError(f"{total} pictures are too few for {wanted.num_views} different views")
            own = np.random.default_rng(int(rng.integers(0, _SEEDS)) + entry)
            return _original(self.parity, total, wanted.num_views, own)
        missing = wanted.num_views - 1
        others = rng.choice(total - 1, missing, replace=missing > total - 1)
        return Choice([entry, *((entry + 1 + others) % total).tolist()], False)


def _original(draw: OriginalDraw, total: int, num_views: int, own: np.random.Generator) -> Choice:
    if draw is OriginalDraw.in_line:
        order = own.permutation(total)
        choice = ByRounds(order[:num_views].tolist(), False)
        choice.rounds = ([int(position)] for position in order)
        return choice
    first = own.choice(total, num_views, replace=False).tolist()
    if draw is OriginalDraw.once:
        return Choice(first, False)
    choice = ByRounds(first, False)
    again = (own.choice(total, num_views, replace=False).tolist() for _ in count())
    choice.rounds = chain([first], again)
    return choice
