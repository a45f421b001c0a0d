"""Ratios whose two parts are added up over batches, sequences and processes before anything is divided."""

from collections.abc import Iterable, Mapping

Parts = dict[str, tuple[float, float]]  # numerator and denominator by name


def pooled(parts: Iterable[Mapping[str, tuple[float, float]]]) -> dict[str, float]:
    """Divide the sum of the numerators by that of the denominators; nan where the latter is 0."""
    sums: Parts = {}
    for one in parts:
        for name, (numerator, denominator) in one.items():
            before = sums.get(name, (0.0, 0.0))
            sums[name] = (before[0] + numerator, before[1] + denominator)
    return {name: top / bottom if bottom else float("nan") for name, (top, bottom) in sums.items()}
