"""Pairing of two clocks: which picture belongs to which depth map or camera."""

from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from cut3r.io.numbers import read_lines

LARGEST_GAP_S = 0.02


def associate(
    first_s: Float64[np.ndarray, "m"], second_s: Float64[np.ndarray, "n"], largest_gap_s: float = LARGEST_GAP_S
) -> Int64[np.ndarray, "pairs 2"]:
    """Pair time stamps one to one, the closest first; give the indices of the pairs, by the first stamp.

    Pairs are accepted in the order of their differences (then of the stamps) while both stamps are free, if they differ
    by less than `largest_gap_s`. The stamps need not be sorted.

    Source: the association of the TUM RGB-D benchmark, as eval_datasets.md 3.5 describes it.
    """
    order = np.argsort(second_s, kind="stable")
    low = np.searchsorted(second_s[order], first_s - largest_gap_s, side="left")
    high = np.searchsorted(second_s[order], first_s + largest_gap_s, side="right")
    candidates = sorted(
        (abs(first_s[i] - second_s[j]), first_s[i], second_s[j], i, int(j))
        for i in range(len(first_s))
        for j in order[low[i] : high[i]]
        if abs(first_s[i] - second_s[j]) < largest_gap_s
    )
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, _, i, j in candidates:
        if i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    by_time = sorted(pairs, key=lambda i: first_s[i])
    return np.array([(i, pairs[i]) for i in by_time], np.int64).reshape(-1, 2)


def read_rows(path: Path) -> tuple[Float64[np.ndarray, "n"], list[list[str]]]:
    """Read a list of TUM: time stamps, and the words of each line. Commas count as blanks, # begins a comment.

    Raises:
        ValueError: A line does not begin with a number.
    """
    rows = read_lines(path)
    times_s = [_time_s(path, line, words[0]) for line, words in rows]
    return np.array(times_s, np.float64), [words for _, words in rows]


def _time_s(path: Path, line: int, word: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: {error}; expected a time stamp first; download it again") from error
