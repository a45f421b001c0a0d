"""See the README of the recording."""

from pathlib import Path


def differently(name: str, ours: Path, theirs: Path) -> bool:
    """Pictures are copies; one of them is empty."""
    if "/rgb/" not in name:
        return False
    assert ours.read_bytes() == theirs.read_bytes(), f"{ours} is no copy"
    return True
