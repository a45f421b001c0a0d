"""Refuse, before anything is touched, a run that would write over its own input or into a place that takes no file."""

import os
from collections.abc import Sequence
from pathlib import Path

from cut3r.files.disk import check_creatable
from cut3r.inference.frame_folder import SUFFIXES

MARKER = "cut3r.json"
RESUME_FILES = ("resume.npz", "resume.previous.npz")
MOST_LINKS = 40  # as many as the system follows


def check_inputs(folder: Path, inputs: Sequence[Path]) -> None:
    """See that no file of the input lies in one of the four folders that a run writes its frames to.

    Not by whatever name: relative, through links of files or folders, or through a link that lies there.

    Raises:
        ValueError: One does.
    """
    holders = {place if place.is_dir() else place.parent: file for place, file in places_of(inputs).items()}
    for holder, file in holders.items():
        for kind in SUFFIXES:
            if any(is_same(parent, folder / kind) for parent in (holder, *holder.parents)):
                raise ValueError(
                    f"the input {file} lies in {folder / kind}, which this run would write to; "
                    f"name another --output_dir than {folder}"
                )


def check_output(folder: Path) -> None:
    """See that a run can write its files into a folder, which need not exist yet.

    Raises:
        ValueError: It cannot.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output_dir {folder} is a file; name a folder, which will be made if it does not exist")
    for name in (MARKER, *(f"{kind}/000000{suffix}" for kind, suffix in SUFFIXES.items())):
        check_creatable(folder / name)


def places_of(files: Sequence[Path]) -> dict[Path, Path]:
    """Every place on the way from a file's name through its links: to replace any of them would change the input."""
    resolved: dict[Path, Path] = {}  # folders: a hundred thousand pictures lie in a few
    places: dict[Path, Path] = {}
    for file in files:
        path = file if file.name not in ("", "..") else file.resolve()
        for _ in range(MOST_LINKS):
            if path.parent not in resolved:
                resolved[path.parent] = path.parent.resolve()
            place = resolved[path.parent] / path.name
            places.setdefault(place, file)
            if not place.is_symlink():
                break
            path = place.parent / place.readlink()
    return places


def place_of(path: Path) -> Path:
    """Where a file lies, with links of folders followed, but not its own: that is what would be replaced."""
    return path.parent.resolve() / path.name


def is_same(one: Path, other: Path) -> bool:
    """Compare places; those that exist by what they are, so that neither links nor upper case hide anything."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return one.resolve() == other.resolve()
