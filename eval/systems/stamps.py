"""Which picture each row of a predicted camera path belongs to, by its time stamp.

A path with a row for each picture is taken in order, and its stamps must be spaced like the pictures: a system that
lost the first picture and gave one row more at the end would be scored against the wrong ones. Any other path (of
keyframes, of a faster clock) is associated by time, by the rules of evo.
"""

import logging
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

logger = logging.getLogger(__name__)

NUMBER = re.compile(r"\d+(?:\.\d+)?")
SLACK = 0.5  # of a step between two pictures
LARGEST_DRIFT = 0.05  # of a long gap: the unit is taken from the middle step

ASSOCIATION_S = 0.01

Stamps = Float64[np.ndarray, "v"]


def rows_of_pictures(
    stamps: Stamps, stems: tuple[str, ...], times_s: Stamps | None, path: Path
) -> Int64[np.ndarray, "pictures"]:
    """Find the row of each picture's camera; -1 where there is none.

    Args:
        stems: Names of the pictures; their stamp is the one number by which they differ.
        times_s: Of the pictures, where their set has a clock.
        path: For messages.

    Raises:
        ValueError: The stamps do not increase, or do not tell which pictures the rows are of.
    """
    _require_increase(stamps, path)
    if len(stamps) == len(stems):
        try:
            require_stamps_of_pictures(stamps, stems, times_s, path)
        except ValueError:
            if times_s is None or not _is_near(stamps, times_s):
                raise
        else:
            return np.arange(len(stems))
    return _associated(stamps, stems, times_s, path)


def associate(stamps: Stamps, true_stamps: Stamps) -> tuple[Int64[np.ndarray, "k"], Int64[np.ndarray, "k"]]:
    """Pair two clocks as evo does: each stamp of the shorter list with the nearest of the longer one, if within 0.01 s.

    Raises:
        ValueError: Nothing matches.
    """
    if len(stamps) > len(true_stamps):
        theirs, ours = associate(true_stamps, stamps)
        return ours, theirs
    nearest = np.abs(true_stamps[None] - stamps[:, None]).argmin(axis=1)
    close = np.abs(true_stamps[nearest] - stamps) <= ASSOCIATION_S
    if not close.any():
        raise ValueError("no time stamp of the prediction is within 0.01 s of a true one; check both clocks")
    return np.flatnonzero(close), nearest[close]


def _associated(
    stamps: Stamps, stems: tuple[str, ...], times_s: Stamps | None, path: Path
) -> Int64[np.ndarray, "pictures"]:
    """By the set's clock, where rows of no picture are left out, or by the numbers in the pictures' names, where there
    are none."""
    count = f"{path}: {len(stamps)} rows for {len(stems)} pictures"
    if _are_counted(stamps):
        raise ValueError(
            f"{count}, which are only counted; stamp each row with the time of its picture, or with the number in its "
            "name, to say which pictures these are"
        )
    clocks = {"the set's clock": times_s, "the numbers in the pictures' names": stamps_in_names(stems)}
    for clock in clocks.values():
        if clock is not None and _is_near(stamps, clock):
            rows, pictures = associate(stamps, clock)
            if clock is not times_s and len(rows) < min(len(stamps), len(clock)):
                continue  # another clock, which meets this one by chance
            found = np.full(len(stems), -1)
            for row, picture in zip(rows, pictures, strict=True):
                other = found[picture]
                if other < 0 or abs(stamps[row] - clock[picture]) < abs(stamps[other] - clock[picture]):
                    found[picture] = row
            return found
    known = [f"{name}, {clock[0]:.13g} to {clock[-1]:.13g}" for name, clock in clocks.items() if clock is not None]
    raise ValueError(
        f"{count}, stamped {stamps[0]:.13g} to {stamps[-1]:.13g}, which is not the clock of the pictures "
        f"({'; '.join(known) or 'they have none'}); stamp the rows with theirs, or give a row for each picture"
    )


def _is_near(stamps: Stamps, clock: Stamps) -> bool:
    """Whether a stamp is within 0.01 s of the clock's."""
    return bool((np.abs(clock[None] - stamps[:, None]) <= ASSOCIATION_S).any())


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
    _require_increase(stamps, path)
    steps = np.diff(stamps)
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


def _require_increase(stamps: Stamps, path: Path) -> None:
    steps = np.diff(stamps)
    if not (steps > 0).all():
        row = int(np.flatnonzero(~(steps > 0))[0]) + 1
        raise ValueError(
            f"{path}: the time stamps do not increase, row {row + 1} has {stamps[row]:.13g} after "
            f"{stamps[row - 1]:.13g}; sort the rows, one for each picture or keyframe"
        )


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
