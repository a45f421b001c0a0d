"""What a processed folder says of the program that made it: `dataset.json`.

Folders of the original's converters have no such file. Both write the same layout, but they mean different things by
the principal point: the original's converters of many datasets take the corner of a picture for (0, 0), we take the
centre of its first pixel.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from cut3r.data.layout import write_json
from cut3r.files.damaged import naming_the_file

NAME = "dataset.json"
CENTRE, CORNER = "centre", "corner"


@dataclass(frozen=True)
class Made:
    """The converter, its version, where its pixel (0, 0) is ("centre" or "corner" of the first pixel), and whether it
    repeats the quirks of the original's."""

    converter: str
    version: int
    pixel_centre: str = CENTRE
    parity: bool = False

    def __post_init__(self) -> None:
        if self.pixel_centre not in (CENTRE, CORNER):
            raise ValueError(f"pixel_centre {self.pixel_centre!r} must be '{CENTRE}' or '{CORNER}'")


def write_made(root: Path, made: Made) -> None:
    write_json(root / NAME, asdict(made))


def read_made(root: Path) -> Made | None:
    """Read what a folder says of itself; None if the original's converter has made it.

    Raises:
        ValueError: The file is damaged, or says something unknown.
    """
    path = root / NAME
    if not path.is_file():
        return None
    with naming_the_file(path):
        content = dict(json.loads(path.read_text()))
        return Made(*(content[name] for name in ("converter", "version", "pixel_centre", "parity")))
