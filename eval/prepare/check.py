"""Opens a set as the protocols do, and decodes a little of each sequence."""

from collections.abc import Iterator
from pathlib import Path

from cut3r.io.images import read_image
from eval.sequences import SETS, long_name, open_set


def check(name: str, root: Path, frames: int | None = None, *, parity: bool = False) -> Iterator[str]:
    """Say for each protocol that uses the set how much of it is there.

    Raises:
        MissingDataError: It is not complete.
        ValueError: No protocol uses the set; or a file does not hold what it should.
    """
    protocols = [protocol for protocol, sets in SETS.items() if name in sets]
    if not protocols:
        raise ValueError(f"there is no set '{name}'; choose from {', '.join(all_names())}")
    if frames is not None:
        protocols = [protocol for protocol in protocols if protocol != "monodepth"]  # it has no long variants
    for protocol in protocols:
        full_name = name if frames is None else long_name(name, frames)
        sequences = open_set(protocol, full_name, root, parity=parity)
        for sequence in sequences:
            read_image(sequence.images[0])
            if sequence.read_depth is not None:
                sequence.read_depth(0)
        count = sum(map(len, sequences))
        yield f"{full_name} for {protocol}: {len(sequences)} sequences, {count} frames"


def all_names() -> list[str]:
    """List the sets of all protocols, once each."""
    return sorted({name for sets in SETS.values() for name in sets})
