"""Votes of frames for one number, of which the median counts: bounded, however long a stream is."""

import math
import statistics
from dataclasses import dataclass

FEWEST = 5  # votes that can agree
MOST = 1024  # votes; with more, every second one is forgotten, and only every second one is taken from then on


@dataclass(frozen=True)
class Votes:
    """Logarithms of a scale, spread evenly over the stream: one of `every`; `seen` counts all that were cast."""

    kept: tuple[float, ...] = ()
    seen: int = 0
    every: int = 1

    def cast(self, vote: float) -> "Votes":
        kept = (*self.kept, vote) if self.seen % self.every == 0 else self.kept
        if len(kept) > MOST:
            return Votes(kept[::2], self.seen + 1, 2 * self.every)
        return Votes(kept, self.seen + 1, self.every)

    def spread(self) -> float:
        """By which factor the votes differ: the third quartile over the first; infinite where they are too few."""
        if len(self.kept) < FEWEST:
            return math.inf
        first, _, third = statistics.quantiles(self.kept, n=4, method="inclusive")
        return math.exp(third - first)

    def middle(self) -> float | None:
        """The scale that is in the middle of all; None without votes."""
        return math.exp(statistics.median(self.kept)) if self.kept else None
