"""Object-centric datasets whose converters choose sequences: files per split that list sequences and their frames."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from cut3r.data.processed import ProcessedDataset
from cut3r.data.scene import Scene
from cut3r.files.damaged import naming_the_file

OBJECT_PROBABILITY = 0.1  # what the mask must exceed; uncertain pixels are kept


class SelectedDataset(ProcessedDataset):
    """The base of datasets that begin with `selected_seqs_<split>.json`: {category: {sequence: [frame numbers]}}.

    The layout calls that file "selection". A child says how a frame of a number is called.
    """

    splits = ("train", "test")
    redraws_one_frame = True
    frame_name: ClassVar[str]  # a format of the number
    unusable: ClassVar[frozenset[str]] = frozenset()  # scenes, "category/sequence", that are never used

    def list_scenes(self) -> Iterator[Scene]:
        for split, path in zip(self.splits, self.made_from(), strict=True):
            if not path.is_file():
                continue
            with naming_the_file(path):
                selection = json.loads(path.read_text())
            for category, sequences in selection.items():
                for sequence, numbers in sequences.items():
                    name = f"{category}/{sequence}"
                    frames = tuple(self.frame_name.format(number) for number in numbers)
                    if name not in self.unusable:
                        yield Scene(name, frames, split=str(split))

    def made_from(self) -> list[Path]:
        return [self.layout.path(self.root, "selection", split=split) for split in self.splits]


def read_foreground(path: Path) -> Bool[np.ndarray, "h w"]:
    """Read the mask of an object, stored as grey levels of its probability."""
    from PIL import Image  # here, because rooms are rendered without Pillow

    with path.open("rb") as file, Image.open(file) as mask:
        return np.asarray(mask) / 255 > OBJECT_PROBABILITY
