"""Where a processed dataset keeps its files, and the file formats that pictures do not cover.

Readers and converters share these templates, so that a converter can only write what a reader can read. They are the
layouts of the original scripts: data that those have processed is read as it is.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt16

from cut3r.files.atomic import atomic_path
from cut3r.files.damaged import naming_the_file


@dataclass(frozen=True)
class Layout:
    """Path templates below the processed folder, by kind of file; `{scene}`, `{frame}` and `{split}` are filled in."""

    templates: Mapping[str, str]

    def path(self, root: Path, kind: str, scene: str = "", frame: str = "", *, split: str = "") -> Path:
        return root / self.templates[kind].format(scene=scene, frame=frame, split=split)

    def frames(self, root: Path, kind: str, scene: str) -> tuple[str, ...]:
        """List the frames that have a file of this kind, sorted."""
        before, after = self.path(root, kind, scene, "\0").name.split("\0")
        names = os.listdir(self.path(root, kind, scene).parent)
        found = (name for name in names if name.startswith(before) and name.endswith(after))
        return tuple(sorted(name[len(before) : len(name) - len(after)] for name in found if not name.startswith(".")))


LAYOUTS = {
    "tartanair": Layout(
        {
            "rgb": "{scene}/{frame}_rgb.png",
            "depth": "{scene}/{frame}_depth.npy",
            "camera": "{scene}/{frame}_cam.npz",
            "flow": "{scene}/{frame}_flow.npy",
            "flow_mask": "{scene}/{frame}_mask.npy",
        }
    ),
    "co3d": Layout(
        {
            "selection": "selected_seqs_{split}.json",
            "rgb": "{scene}/images/{frame}.jpg",
            "depth": "{scene}/depths/{frame}.jpg.geometric.png",
            "foreground": "{scene}/masks/{frame}.png",
            "camera": "{scene}/images/{frame}.npz",
        }
    ),
    "scannetpp": Layout(
        {
            "rgb": "{scene}/images/{frame}.jpg",
            "depth": "{scene}/depth/{frame}.png",
            "selected": "{scene}/scene_metadata.npz",
            "scene": "{scene}/new_scene_metadata.npz",
        }
    ),
}


def read_png16(path: Path) -> UInt16[np.ndarray, "h w"]:
    """Read the numbers of a 16-bit grey PNG.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Another kind of picture, or a damaged one.
    """
    from PIL import Image

    with naming_the_file(path), Image.open(path) as image:
        values = np.asarray(image)
    if values.dtype != np.uint16 or values.ndim != 2:
        raise ValueError(f"{path} holds {values.dtype} {values.shape}; expected a 16-bit grey PNG")
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
