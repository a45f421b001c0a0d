"""The lists of chosen sequences and frames of CO3D, COP3D and WildRGB-D, which their readers begin with."""

import re
from pathlib import Path

from cut3r.data.layout import Layout, write_json
from datasets_preprocess.runner import Record


def write_selections(out: Path, layout: Layout, splits: tuple[str, ...], done: list[Record]) -> None:
    """Write, for each split and each category, the numbers of the frames of its sequences.

    Args:
        done: Records of scenes that are called <split>/<category>/<sequence>, of frames whose names end in a number.
    """
    categories = sorted({record.scene.split("/")[1] for record in done})
    for split in splits:
        selection: dict[str, dict[str, list[int]]] = {category: {} for category in categories}
        for record in done:
            of_split, category, sequence = record.scene.split("/", 2)
            if of_split == split:
                selection[category][sequence] = [_number(frame) for frame in record.frames]
        write_json(layout.path(out, "selection", split=split), selection)
        for category, sequences in selection.items():
            write_json(layout.path(out, "category", category, split=split), sequences)


def _number(frame: str) -> int:
    return int(re.sub(r"^\D*", "", frame))
