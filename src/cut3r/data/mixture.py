"""So many samples of each dataset per epoch. Source: common.md C10."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from cut3r.data.dataset import Request
from cut3r.data.transforms import Size
from cut3r.data.view import CompactView


@runtime_checkable
class SampleSource(Protocol):
    """What a loader can load from: a dataset or a mixture."""

    @property
    def sizes(self) -> list[Size]: ...

    @property
    def num_views(self) -> int: ...

    @property
    def broken_frames(self) -> int: ...

    def __len__(self) -> int: ...

    def compact(self, request: Request) -> list[CompactView]: ...


@dataclass(frozen=True)
class Part:
    """A dataset and its number of samples per epoch; None takes each sample once, in the order of the dataset."""

    dataset: SampleSource
    samples: int | None = None

    def __len__(self) -> int:
        return len(self.dataset) if self.samples is None else self.samples


class Mixture:
    """Datasets one after the other; each epoch another choice of their samples.

    A part with fewer samples than its dataset has takes another random subset in each epoch. A part with more goes
    through its dataset again and again in the same order, and draws the samples anew each time.
    """

    def __init__(self, parts: Sequence[Part], *, seed: int = 0) -> None:
        """Check that the parts fit together.

        Raises:
            ValueError: No part, or parts of different sizes or numbers of views, which cannot share a batch.
        """
        if not parts or any(len(part) < 1 or len(part.dataset) < 1 for part in parts):
            raise ValueError("a mixture needs parts with at least one sample; remove the empty ones")
        self.sizes: list[Size] = list(parts[0].dataset.sizes)
        self.num_views: int = parts[0].dataset.num_views
        for part in parts:
            if list(part.dataset.sizes) != self.sizes or part.dataset.num_views != self.num_views:
                raise ValueError(
                    f"a part has sizes {part.dataset.sizes} and {part.dataset.num_views} views, the first part "
                    f"{self.sizes} and {self.num_views}; give all parts of a mixture the same"
                )
        self.parts = list(parts)
        self.seed = seed
        self._ends = np.cumsum([len(part) for part in parts])

    @property
    def broken_frames(self) -> int:
        return sum(part.dataset.broken_frames for part in self.parts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def compact(self, request: Request) -> list[CompactView]:
        part, addressed = self.resolve(request)
        return self.parts[part].dataset.compact(addressed)

    def resolve(self, request: Request) -> tuple[int, Request]:
        """Give the number of the part that a sample belongs to, and what to ask of its dataset."""
        if not 0 <= request.index < len(self):
            raise IndexError(f"the mixture has {len(self)} samples, so there is no number {request.index}")
        number = int(np.searchsorted(self._ends, request.index, side="right"))
        part = self.parts[number]
        position = request.index - (int(self._ends[number - 1]) if number else 0)
        if part.samples is None:
            return number, replace(request, index=position)
        turn, place = divmod(position, len(part.dataset))
        index = int(epoch_order(len(part.dataset), request.epoch, self.seed)[place])
        return number, replace(request, index=index, turn=turn)


@lru_cache(maxsize=64)  # one per part; recomputed when the epoch changes
def epoch_order(length: int, epoch: int, seed: int = 0) -> Int64[np.ndarray, "n"]:
    """Give the order in which an epoch goes through a dataset of this length."""
    return seeded(seed, epoch + 777).permutation(length)


def seeded(seed: int, salt: int) -> np.random.Generator:
    """Make the generator of an epoch; seed 0 gives the original's."""
    return np.random.default_rng(salt if seed == 0 else [seed, salt])
