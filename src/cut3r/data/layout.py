"""Where a processed dataset keeps its files, and the file formats that pictures do not cover.

Each reader in `cut3r.data.datasets` has the `LAYOUT` of its dataset, and its converter writes by it: a converter
can only write what a reader can read. They are the layouts of the original scripts: data that those have processed is
read as it is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt16

from cut3r.files.atomic import atomic_path
from cut3r.files.damaged import naming_the_file
from cut3r.files.packed_path import names_in


@dataclass(frozen=True)
class Layout:
    """Path templates below the processed folder, by kind of file; fields in braces ({scene}, {frame}) are filled in.

    A kind with several templates is written as the first says; readers take whichever file is there.
    """

    templates: Mapping[str, str | tuple[str, ...]]

    def path(self, root: Path, kind: str, scene: str = "", frame: str = "", **fields: Any) -> Path:
        """Say where a file of this kind is written."""
        return self.paths(root, kind, scene, frame, **fields)[0]

    def paths(self, root: Path, kind: str, scene: str = "", frame: str = "", **fields: Any) -> list[Path]:
        """List where a file of this kind may lie, the usual place first."""
        filled = (template.format(scene=scene, frame=frame, **fields) for template in self.alternatives(kind))
        return [root / path for path in filled]

    def find(self, root: Path, kind: str, scene: str = "", frame: str = "", **fields: Any) -> Path:
        """Give the file of this kind that is there; the usual place if none is."""
        paths = self.paths(root, kind, scene, frame, **fields)
        return paths[0] if len(paths) == 1 else next((path for path in paths if path.is_file()), paths[0])

    def frames(self, root: Path, kind: str, scene: str = "", **fields: Any) -> tuple[str, ...]:
        """List the frames that have a file of this kind, sorted by name."""
        found: set[str] = set()
        for pattern in self.paths(root, kind, scene, "\0", **fields):
            before, after = pattern.name.split("\0")
            names = names_in(pattern.parent) if pattern.parent.is_dir() else []
            fitting = (name for name in names if name.startswith(before) and name.endswith(after))
            found |= {name[len(before) : len(name) - len(after)] for name in fitting if not name.startswith(".")}
        return tuple(sorted(found - {""}))

    def alternatives(self, kind: str) -> tuple[str, ...]:
        templates = self.templates[kind]
        return (templates,) if isinstance(templates, str) else templates


def read_png16(path: Path) -> UInt16[np.ndarray, "h w"]:
    """Read the numbers of a 16-bit grey PNG.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Another kind of picture, or a damaged one.
    """
    from PIL import Image

    with naming_the_file(path), path.open("rb") as file, Image.open(file) as image:
        values = np.asarray(image)
    if values.dtype != np.uint16 or values.ndim != 2:
        raise ValueError(f"{path} holds {values.dtype} {values.shape}; expected a 16-bit grey PNG")
    return values


def read_png8(path: Path) -> UInt8[np.ndarray, "h w *c"]:
    """Read the numbers of an 8-bit PNG, such as a mask, with a last axis if it has several channels.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Another kind of picture, or a damaged one.
    """
    from PIL import Image

    with naming_the_file(path), path.open("rb") as file, Image.open(file) as image:
        values = np.asarray(image)
    if values.dtype != np.uint8:
        raise ValueError(f"{path} holds {values.dtype}; expected an 8-bit PNG")
    return values


def write_png16(path: Path, values: UInt16[np.ndarray, "h w"]) -> None:
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(values).save(temporary)


def read_npy(path: Path) -> np.ndarray:
    """Read an array of numbers; pickled ones are refused, because unpickling runs code.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or holds no numbers.
    """
    with naming_the_file(path), path.open("rb") as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{path} holds {array.dtype}; expected real numbers")
    return array


def read_npz(path: Path, *names: str) -> list[np.ndarray]:
    """Read these arrays of an archive; pickled ones are refused, because unpickling runs code.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or lacks one of the arrays.
    """
    # np.load leaves a damaged file open
    with naming_the_file(path), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return [archive[name] for name in names]


def write_npz(path: Path, **arrays: Any) -> None:
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def write_json(path: Path, content: Any) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1))
