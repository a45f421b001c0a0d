"""Samples of pictures that have no order: sets of photos of one place, and pictures that have nothing to do with each
other. Source: 05_megadepth.md, 14_threedkb.md."""

from collections.abc import Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True)
class UnrelatedPolicy(_Unordered):
    """One scene holds all pictures of a dataset; each leads one entry, and the others of a sample are drawn.

    Parity: the picture of the entry need not be among them, because all come from a generator of their own whose seed
    is the next draw plus the number of the entry.
    """

    parity: bool = False

    def entries(self, scene: Scene, wanted: Wanted) -> int:
        return len(scene.frames) if self.parity or len(scene.frames) >= wanted.admission else 0

    def choose(self, scene: Scene, entry: int, wanted: Wanted, rng: np.random.Generator) -> Choice:
        total = len(scene.frames)
        if self.parity:
            own = np.random.default_rng(int(rng.integers(0, _SEEDS)) + entry)
            return Choice(own.choice(total, wanted.num_views, replace=False).tolist(), False)
        missing = wanted.num_views - 1
        others = rng.choice(total - 1, missing, replace=missing > total - 1)
        return Choice([entry, *((entry + 1 + others) % total).tolist()], False)
