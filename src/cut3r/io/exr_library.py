"""OpenEXR files that are not plain, through the package OpenEXR: tiles, several parts, PIZ, DWAA, B44, ..."""

from pathlib import Path

import numpy as np

INSTALL = 'pip install "cut3r[preprocess]"'


def read_planes(path: Path, reason: str) -> dict[str, np.ndarray]:
    """Read all channels by their names; of several parts, the first one that has a name.

    Args:
        reason: Why the file needs the package, for messages.

    Raises:
        ValueError: The package is not installed, or the file is damaged.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise ValueError(f"{path}: {reason}, which needs the package OpenEXR ({error}): {INSTALL}") from error
    try:
        parts = OpenEXR.File(str(path), separate_channels=True).parts
        expected = len(OpenEXR.File(str(path), header_only=True).parts)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); copy or make it again") from error
    if len(parts) != expected:  # the package prints what is wrong, and goes on
        raise ValueError(f"{path} cannot be read ({expected - len(parts)} of its parts are damaged); copy it again")
    planes: dict[str, np.ndarray] = {}
    for part in parts:
        for name, channel in part.channels.items():
            planes.setdefault(name, channel.pixels)
    if any(not isinstance(plane, np.ndarray) or plane.ndim != 2 for plane in planes.values()):
        raise ValueError(f"{path} holds several values per pixel (deep pixels); expected a picture; flatten it first")
    return planes
