"""An environment with next to nothing installed."""

import re
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement


def needed(names: Iterable[str]) -> set[str]:
    """Distributions that come with these: what they require, and what that requires."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name not in found:
            found.add(name)
            required = [Requirement(text) for text in distribution(name).requires or ()]
            waiting += [r.name for r in required if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def fill(folder: Path, names: Iterable[str]) -> Path:
    """Link these distributions of this environment, and what they need, into a folder."""
    for name in needed(names):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            place = Path(str(found.locate_file(top)))
            if place.exists() and not (folder / top).exists():
                (folder / top).symlink_to(place)
    return folder
