"""Do a file's entries make up the network that the file describes? Asked before anything large is built or copied. Then
each is copied to its place."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from cut3r.files.pages import MappedPages
from cut3r.model.config import ModelConfig
from cut3r.weights.file_kind import REMEDY
from cut3r.weights.weight_file import first

ENTRIES_PER_BLOCK = 12  # at least: two norms, four linear layers, each with weight and bias
FEW_BLOCKS = 200  # built in no time, so that the entries can be compared by name; the published networks have 56
SMALL = 100_000_000  # parameters; below it a file may be smaller than its network (entries that are one value repeated)

WINDOW = 16 << 20  # bytes of a mapped file that are read before their pages are given back


def check_blocks(path: Path, config: ModelConfig, entries: Mapping[str, Tensor]) -> None:
    """Refuse a description of more transformer blocks than the entries can fill: building them would take long.

    Raises:
        ValueError: It does.
    """
    if config.blocks > max(FEW_BLOCKS, len(entries) // ENTRIES_PER_BLOCK):
        raise ValueError(
            f"{path} does not fit the network that it describes: that has {config.blocks:,} transformer blocks, and "
            f"the file only {len(entries):,} entries; it may be damaged or changed by another program; {REMEDY}"
        )


def check_fit(
    path: Path,
    entries: Mapping[str, Tensor],
    unknown: list[str],
    places: Mapping[str, Tensor],
    shown: Callable[[str], str],
) -> None:
    """Refuse entries that are not exactly `places`, naming them as the file does, through `shown`.

    Raises:
        ValueError: They are not, or the file is too small to hold so many numbers.
    """
    problems = {
        "missing": [shown(name) for name in places if name not in entries],
        "unexpected": [*unknown, *(shown(name) for name in entries if name not in places)],
        "of another shape": [
            f"{shown(name)} {list(entries[name].shape)} instead of {list(place.shape)}"
            for name, place in places.items()
            if name in entries and entries[name].shape != place.shape
        ],
        "without floating-point numbers": [shown(name) for name, entry in entries.items() if not is_plain(entry)],
    }
    found = [f"{len(names)} {problem} ({first(names, 5, '; ')})" for problem, names in problems.items() if names]
    if found:
        raise ValueError(
            f"{path} does not fit the network that it describes: of {len(places)} parameters {', '.join(found)}; "
            f"it may be damaged or changed by another program; {REMEDY}"
        )
    count, size = sum(place.numel() for place in places.values()), path.stat().st_size
    if count > max(SMALL, size):
        raise ValueError(f"{path} claims {count:,} parameters and has {size:,} bytes, less than one for each; {REMEDY}")


def is_plain(entry: Tensor) -> bool:
    """Whether it is a dense floating-point tensor whose numbers are here, in a type that converts to others."""
    return entry.is_floating_point() and entry.layout is torch.strided and entry.device.type == "cpu"


def copied(
    entries: Mapping[str, Tensor], places: Mapping[str, Tensor], path: Path, device: torch.device | str
) -> dict[str, Tensor]:
    """Copy each entry once, from the mapped file to the device in the type of its place. Beside the copies this takes
    the memory of the largest entry, or of `WINDOW`: of the file's pages, those that were read are given back."""
    pages, read = MappedPages(path), 0
    copies = {}
    for name, place in places.items():
        copies[name] = entries[name].to(device, place.dtype, copy=True)
        read += entries[name].nbytes
        if read >= WINDOW:
            pages.release()
            read = 0
    pages.release()
    return copies


def refuse_not_finite(entries: Mapping[str, Tensor], path: Path) -> None:
    """Check that every number is one, in a single pass over the tensors, none of them empty.

    Raises:
        ValueError: Some are not; the message names the first entries that hold them.
    """
    extremes = [torch.stack(entry.aminmax()).float() for entry in entries.values()]  # a NaN is both of them
    finite = torch.stack(extremes).isfinite().all(dim=1).tolist()
    if not all(finite):
        bad = [name for name, fine in zip(entries, finite, strict=True) if not fine]
        raise ValueError(
            f"{path} holds numbers that are not finite (NaN or infinite) in {len(bad)} of {len(entries)} parameters "
            f"({first(bad)}): a training that diverged or a damaged conversion wrote it; use an earlier checkpoint"
        )
