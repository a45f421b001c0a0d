"""What has happened since the last report: means of what was measured, and where the time went."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor

from cut3r.metrics.pooling import pooled
from cut3r.training.parallel import everyone

SHARES = ("waiting", "drawing", "saving")  # parts of the time that teach nothing


class Clock:
    """Divides time among the parts of a training: each moment belongs to the part that ends next."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._since = time.monotonic()

    def lap(self, part: str | None) -> None:
        """End a part: the time since the last end is its own. None: nobody's, as that of a validation."""
        now = time.monotonic()
        if part is not None:
            self.seconds[part] += now - self._since
        self._since = now


class Interval:
    """Sums on the device, read once when a report is due: until then, nobody waits for it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._samples = 0
        self._sums: dict[tuple[str, ...], Float[Tensor, "2 n"]] = {}  # sum and count of each name

    def add(self, values: Mapping[str, Tensor], samples: int = 0) -> None:
        """Add numbers by name, and how many samples they are of. A number that is not finite does not count."""
        row = torch.stack([value.detach().float() for value in values.values()])
        finite = row.isfinite()
        entry = torch.stack((row.where(finite, 0.0), finite.float()))
        names = tuple(values)
        self._sums[names] = self._sums[names] + entry if names in self._sums else entry
        self._samples += samples

    def take(self, accelerator: Accelerator) -> dict[str, float]:
        """Return the means over the interval and all processes, with their speed, and begin the next interval.

        All processes call this. `samples_per_s` is that of all together, `waiting`, `drawing` and `saving` are shares
        of the time, `seconds` is its length.
        """
        together = everyone((self._read(), dict(self.clock.seconds), self._samples), accelerator)
        self._sums, self._samples = {}, 0
        self.clock.seconds.clear()
        sums, seconds, samples = zip(*together, strict=True)
        return {**pooled(sums), **speed_of(seconds, sum(samples))}

    def _read(self) -> dict[str, tuple[float, float]]:
        if not self._sums:
            return {}
        names = [name for group in self._sums for name in group]
        totals, counts = torch.cat(list(self._sums.values()), dim=1).tolist()
        result: dict[str, tuple[float, float]] = {}
        for name, total, count in zip(names, totals, counts, strict=True):
            before = result.get(name, (0.0, 0.0))
            result[name] = (before[0] + total, before[1] + count)
        return result


def speed_of(seconds: Sequence[Mapping[str, float]], samples: int) -> dict[str, float]:
    """Return how fast some processes are that learned from so many samples at the same time, and on what they spent
    it."""
    total = max(1e-9, sum(sum(parts.values()) for parts in seconds))
    shares = {part: sum(parts.get(part, 0.0) for parts in seconds) / total for part in SHARES}
    return {"samples_per_s": samples * len(seconds) / total, **shares, "seconds": total / len(seconds)}
