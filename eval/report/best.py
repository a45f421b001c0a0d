"""The best and the second best number of each column, among rows whose numbers can be compared."""

from collections.abc import Mapping
from enum import Enum

from eval.tables import METRICS, PUBLISHED, Better, Column, Comparison

LEAST_FOR_SECOND = 3  # rows: the second of two is the worse one


class Rank(Enum):
    best = "best"
    second = "second"


def ranks(comparison: Comparison) -> Mapping[tuple[int, str], Rank]:
    """Rank the printed numbers, by the number of the row and the key of the column.

    Numbers that are printed alike share a rank. Uncertain ones have none. Rows that nothing is comparable with have
    none.
    """
    found: dict[tuple[int, str], Rank] = {}
    for column in comparison.shown:
        for rows in _comparable(comparison, column).values():
            if len(rows) > 1:
                found |= _ranks(comparison, column, rows)
    return found


def _comparable(comparison: Comparison, column: Column) -> dict[str, list[int]]:
    """The rows with a certain number, by what they can be compared with."""
    groups: dict[str, list[int]] = {}
    for row, entry in enumerate(comparison.entries):
        if column.key in entry.values and column.key not in entry.uncertain:
            groups.setdefault(entry.peers.get(column.dataset, PUBLISHED), []).append(row)
    return groups


def _ranks(comparison: Comparison, column: Column, rows: list[int]) -> dict[tuple[int, str], Rank]:
    metric = METRICS[column.metric]
    printed = {row: float(metric.text(comparison.entries[row].values[column.key])) for row in rows}
    order = sorted(set(printed.values()), reverse=metric.better is Better.higher)
    wanted = dict(zip(order, Rank, strict=False)) if len(rows) >= LEAST_FOR_SECOND else {order[0]: Rank.best}
    if len(order) == 1:
        return {}  # all alike
    return {(row, column.key): wanted[value] for row, value in printed.items() if value in wanted}
