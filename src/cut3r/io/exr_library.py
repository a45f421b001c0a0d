"""OpenEXR files that are not plain, through the package OpenEXR: tiles, several parts, PIZ, DWAA, B44, ..."""

from pathlib import Path
from typing import Any

import numpy as np

from cut3r.files.packed_path import named_file

INSTALL = 'pip install "cut3r[preprocess]"'


def read_names(path: Path, reason: str) -> set[str]:
    """Name the channels of all parts.

    Args:
        reason: Why the file needs the package, for messages.

    Raises:
        ValueError: The package is not installed, or the file is damaged.
    """
    return {channel.name for part in _parts(path, reason, header_only=True) for channel in part.header["channels"]}


def read_planes(path: Path, reason: str) -> dict[str, np.ndarray]:
    """Read all channels by their names; of several parts, the first one that has a name.

    Args:
        reason: Why the file needs the package, for messages.

    Raises:
        ValueError: The package is not installed, or the file is damaged.
    """
    parts = _parts(path, reason, header_only=False)
    damaged = len(_parts(path, reason, header_only=True)) - len(parts)
    if damaged:  # the package prints what is wrong, leaves the part out, and goes on
        raise ValueError(f"{path} cannot be read ({damaged} of its parts are damaged); copy or make it again")
    planes: dict[str, np.ndarray] = {}
    for part in parts:
        for name, channel in part.channels.items():
            planes.setdefault(name, channel.pixels)
    if any(not isinstance(plane, np.ndarray) or plane.dtype.kind not in "fu" for plane in planes.values()):
        raise ValueError(f"{path} holds several values per pixel (deep pixels); expected a picture; flatten it first")
    return planes


def _parts(path: Path, reason: str, *, header_only: bool) -> list[Any]:
    try:
        import OpenEXR
    except ImportError as error:
        raise ValueError(f"{path}: {reason}, which needs the package OpenEXR ({error}): {INSTALL}") from error
    try:
        with named_file(path) as named:
            return list(OpenEXR.File(str(named), separate_channels=True, header_only=header_only).parts)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); copy or make it again") from error
