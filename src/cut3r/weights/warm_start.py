"""Begin a training with the weights of a relative: DUSt3R, MASt3R, CroCo, or a CUT3R network with other heads.

What fits by name and shape is copied; the rest keeps its initial values and is reported. A relative without a state
stream (no `dec_blocks_state`) lends it a copy of its decoder.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cut3r.model.network import Cut3r
from cut3r.weights.entries import is_plain, refuse_not_finite
from cut3r.weights.file_kind import REMEDY
from cut3r.weights.official_names import ours_from_official
from cut3r.weights.weight_file import describe, read_weight_file

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WarmStart:
    """What became of a file's entries and of the network's parameters.

    Attributes:
        loaded: Our names of the parameters that were copied.
        skipped: The file's entries that were not used, each with the reason.
        initial: Our names of the parameters that keep their initial values.
    """

    loaded: list[str]
    skipped: dict[str, str]
    initial: list[str]

    def __str__(self) -> str:
        return (
            f"{len(self.loaded)} parameters loaded; {len(self.initial)} keep their initial values: "
            f"{_grouped(self.initial)}; {len(self.skipped)} entries of the file skipped: {_grouped(self.skipped)}"
        )


def warm_start(model: Cut3r, path: str | Path) -> WarmStart:
    """Copy into `model`, in place, what fits of a file; its configuration is not read.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: Nothing fits, numbers of what fits are not finite, or the file is damaged or wants to run code.
    """
    file = read_weight_file(Path(path))
    entries = _with_state_stream(file.entries)
    places = model.state_dict()
    used: dict[str, Tensor] = {}
    skipped: dict[str, str] = {}
    for name, entry in entries.items():
        ours = name if name in places else ours_from_official(name)
        place = None if ours is None else places.get(ours)
        reason = _misfit(name, entry, place)
        if reason is not None:
            skipped[name] = reason
            continue
        assert ours is not None
        used[ours] = entry
    if not used:
        raise ValueError(f"nothing of {path} fits this network: the file holds {describe(file.entries)}; {REMEDY}")
    refuse_not_finite(used, Path(path))
    with torch.no_grad():
        for ours, entry in used.items():
            places[ours].copy_(entry)
    report = WarmStart(sorted(used), skipped, sorted(places.keys() - used.keys()))
    logger.log(logging.WARNING if skipped else logging.INFO, "starting from %s: %s", path, report)
    return report


def _with_state_stream(entries: dict[str, Tensor]) -> dict[str, Tensor]:
    if any(name.startswith("dec_blocks_state.") for name in entries):
        return entries
    prefix = "dec_blocks."
    copies = {
        f"dec_blocks_state.{name.removeprefix(prefix)}": entry
        for name, entry in entries.items()
        if name.startswith(prefix)
    }
    return entries | copies


def _misfit(name: str, entry: Tensor, place: Tensor | None) -> str | None:
    """Say why an entry cannot be used; None when it can."""
    if name.startswith("dec_blocks2."):
        return "second decoder: the state stream starts as a copy of the first"
    if place is None:
        return "no such part in this network"
    if entry.shape != place.shape:
        return f"shape {list(entry.shape)} instead of {list(place.shape)}"
    if not is_plain(entry):
        return f"{entry.dtype}, {entry.layout} instead of plain floating-point numbers"
    return None


def _grouped(names: Iterable[str]) -> str:
    """List names with those that differ in a number taken together: "dec_blocks2.#.norm1.bias (12)"."""
    groups = Counter(re.sub(r"(?<=\.)\d+(?=\.)", "#", name) for name in names)
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in groups.items()) or "none"
