"""Whether the rows of a predicted camera path belong to the pictures that they are taken for, by their time stamps.

Rows are taken in order. A system that lost the first picture and gave one row more at the end would be scored against
the wrong pictures; its stamps tell.
"""

import logging
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float64

logger = logging.getLogger(__name__)

NUMBER = re.compile(r"\d+(?:\.\d+)?")
SLACK = 0.5  # of a step between two pictures
LARGEST_DRIFT = 0.05  # of a long gap: the unit is taken from the middle step

Stamps = Float64[np.ndarray, "v"]


def require_stamps_of_pictures(stamps: Stamps, stems: tuple[str, ...], times_s: Stamps | None, path: Path) -> None:
    """Check that rows are in order and, where the pictures have stamps of their own, spaced like these.

    Any origin and unit will do, and rows that are just counted from 0 or 1.

    Args:
        stems: Names of the pictures; their stamp is the one number by which they differ.
        times_s: Of the pictures, where their set has a clock.
        path: For messages.

    Raises:
        ValueError: The rows do not increase, or their spacing is not that of the pictures.
    """
    steps = np.diff(stamps)
    if not (steps > 0).all():
        row = int(np.flatnonzero(~(steps > 0))[0]) + 1
        raise ValueError(
            f"{path}: the time stamps do not increase, row {row + 1} has {stamps[row]:.13g} after "
            f"{stamps[row - 1]:.13g}; rows are taken in the order of the pictures: sort them, one for each"
        )
    clocks = [clock for clock in (times_s, stamps_in_names(stems)) if clock is not None]
    if len(stamps) < 3 or _are_counted(stamps) or not clocks:
        return
    late = [_first_misfit(steps, np.diff(clock)) for clock in clocks]
    if None not in late:
        row = max(number for number in late if number is not None)
        raise ValueError(
            f"{path}: the time stamps are not spaced like the pictures, first in row {row + 1} ({stamps[row]:.13g}, "
            f"for picture {stems[row]}); rows are taken in the order of the pictures, so a lost picture needs a row too"
        )
    _warn_of_shift(stamps, clocks, path)


def stamps_in_names(stems: tuple[str, ...]) -> Stamps | None:
    """Read the number by which names differ; None if they differ by more than one, or do not increase."""
    numbers = [NUMBER.findall(stem) for stem in stems]
    if len({len(each) for each in numbers}) != 1:
        return None
    columns = [np.array(column, np.float64) for column in zip(*numbers, strict=True)]
    varying = [column for column in columns if (column != column[0]).any()]
    return varying[0] if len(varying) == 1 and (np.diff(varying[0]) > 0).all() else None


def _are_counted(stamps: Stamps) -> bool:
    """0, 1, 2, ... or 1, 2, 3, ...: no clock."""
    return bool(stamps[0] in (0, 1) and (np.diff(stamps) == 1).all())


def _first_misfit(steps: Stamps, true_steps: Stamps) -> int | None:
    """The first row after a step that is no true one, in the same unit or in that of the middle step."""
    if not (true_steps > 0).all():
        return None
    true = true_steps / np.median(true_steps)
    misfits = []
    for unit in (np.median(true_steps), np.median(steps)):
        wrong = np.flatnonzero(np.abs(steps / unit - true) > SLACK + LARGEST_DRIFT * true)
        if not len(wrong):
            return None
        misfits.append(int(wrong[0]))
    return max(misfits) + 1


def _warn_of_shift(stamps: Stamps, clocks: list[Stamps], path: Path) -> None:
    """Say if the rows seem to be of the same clock as the pictures, but of others of them."""
    for clock in clocks:
        step = float(np.median(np.diff(clock)))
        same_unit = abs(float(np.median(np.diff(stamps))) / step - 1) < LARGEST_DRIFT
        shift = float(stamps[0] - clock[0]) / step
        if same_unit and SLACK < abs(shift) < len(stamps):
            logger.warning(
                "%s: the time stamps begin %.1f pictures %s the pictures themselves; rows are taken in the order of "
                "the pictures, so check that the first row is of the first one",
                *(path, abs(shift), "after" if shift > 0 else "before"),
            )
            return
