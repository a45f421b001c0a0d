"""The sets that the protocols are scored on: `open_set` by name, `set_names` for what there is.

A long variant is named set_s<step>_<frames>, as in bonn_s1_300: the first frames at that step, or all if the sequence
is shorter.
"""

import importlib
import re
from pathlib import Path

from eval.sequences.inventory import Request
from eval.sequences.prepared import warn_of_rule, with_rule
from eval.sequences.sequence import MissingDataError, Sequence
from eval.sets import LONG, PROTOCOLS, SETS

__all__ = ["LONG", "PROTOCOLS", "SETS", "MissingDataError", "Sequence", "long_name", "open_set", "set_names"]


def open_set(protocol: str, name: str, root: Path, *, parity: bool = False, complete: bool = True) -> list[Sequence]:
    """Open a set for a protocol. Names and cameras are read now, pictures and depth when asked for.

    Args:
        root: The data root, with the folders of the reference below it (for rgbd also the recording itself).
        parity: Read with the quirks of the reference.
        complete: Refuse a set that lacks sequences or frames. False for miniatures and partial downloads: what is there
            is used, and a warning says what is not.

    Raises:
        ValueError: The protocol has no such set; or a file does not hold what it should.
        MissingDataError: Sequences or frames are missing, or all are.
    """
    if protocol not in SETS:
        raise ValueError(f"there is no protocol '{protocol}'; choose from {', '.join(SETS)}")
    family, frames = _parse(protocol, name)
    file, _, function = SETS[protocol][family].partition(".")
    opener = getattr(importlib.import_module(f"{__name__}.{file}"), function)
    opened: list[Sequence] = opener(root, Request(frames, parity, complete))
    sequences = [with_rule(sequence, root) for sequence in opened]
    warn_of_rule(sequences, parity=parity)
    return sequences


def set_names(protocol: str) -> tuple[str, ...]:
    """List the sets of a protocol; of the long variants, those of published curves."""
    long = [
        long_name(family, frames)
        for family, variants in LONG.items()
        if variants.protocol == protocol
        for frames in sorted(variants.published)
    ]
    return (*SETS[protocol], *long)


def long_name(family: str, frames: int) -> str:
    """Name the long variant of a set: bonn and 300 give bonn_s1_300.

    Raises:
        ValueError: The set has no long variants, or none of this length.
    """
    if family not in LONG:
        raise ValueError(f"{family} has no variants by number of frames; these have: {', '.join(LONG)}")
    variants = LONG[family]
    name = f"{family}_s{variants.step}_{frames}"
    if not 2 <= frames <= variants.most:
        raise ValueError(
            f"there is no {name}: {family}_s{variants.step}_N has 2 to {variants.most} frames "
            f"(published: {', '.join(map(str, sorted(variants.published)))})"
        )
    return name


def _parse(protocol: str, name: str) -> tuple[str, int | None]:
    """Split a name into the set and the number of frames, if it names one."""
    if name in SETS[protocol]:
        return name, None
    match = re.fullmatch(r"(?P<family>\w+?)_s(?P<step>\d+)_(?P<frames>\d+)", name)
    if match:
        variants = LONG.get(match["family"])
        if variants and (variants.protocol, str(variants.step)) == (protocol, match["step"]):
            long_name(match["family"], int(match["frames"]))
            return match["family"], int(match["frames"])
    long = [f"{family}_s{each.step}_N" for family, each in LONG.items() if each.protocol == protocol]
    raise ValueError(f"{protocol} has no set '{name}'; choose from {', '.join([*SETS[protocol], *long])}")
