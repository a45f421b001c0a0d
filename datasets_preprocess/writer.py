"""Writes the files of one scene, and remembers which."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cut3r.data.layout import Layout, write_json, write_npz, write_png16
from cut3r.files.atomic import atomic_path
from cut3r.io.depth import write_depth
from cut3r.io.images import write_image

JPEG_QUALITY = 75  # Pillow's default, as the original's files

Place = tuple[str, str, str]  # kind, scene, and other fields of the path as JSON


@dataclass(frozen=True)
class Writer:
    """Writes processed files, each atomically, to the places that the layout names. Each scene has a writer of its own.

    Of what `path` was asked for it remembers what there is in the end, also if somebody else has written it.
    """

    out: Path
    layout: Layout
    parity: bool = False  # with the quirks of the original converter
    options: Any = None  # an instance of the converter's dataclass of options
    left_out: dict[str, str] = field(default_factory=dict)  # frame -> reason
    asked: dict[Path, tuple[Place, str]] = field(default_factory=dict)  # file -> its place and frame

    def path(self, kind: str, scene: str, frame: str = "", **fields: Any) -> Path:
        """Say where a file belongs."""
        path = self.layout.path(self.out, kind, scene, frame, **fields)
        self.asked[path] = (kind, scene, json.dumps(fields, sort_keys=True, default=str)), frame
        return path

    def leave_out(self, frame: str, reason: str) -> None:
        """Record that a frame is not converted, and why; the rest of its scene is."""
        self.left_out[frame] = reason

    def image(self, kind: str, scene: str, frame: str, rgb: np.ndarray, *, quality: int = JPEG_QUALITY) -> None:
        """Write a picture as JPEG or PNG, as the layout says."""
        write_image(self.path(kind, scene, frame), rgb, quality=quality)

    def depth(self, kind: str, scene: str, frame: str, metres: np.ndarray) -> None:
        """Write a depth map in the format that the layout's suffix names: .npy, .png (millimetres), .exr, .npz."""
        write_depth(self.path(kind, scene, frame), np.asarray(metres, np.float32))

    def npy(self, kind: str, scene: str, frame: str, values: np.ndarray) -> None:
        with atomic_path(self.path(kind, scene, frame)) as temporary:
            np.save(temporary, values, allow_pickle=False)

    def json(self, kind: str, scene: str, content: Any) -> None:
        write_json(self.path(kind, scene), content)

    def png8(self, kind: str, scene: str, frame: str, values: np.ndarray) -> None:
        with atomic_path(self.path(kind, scene, frame)) as temporary:
            Image.fromarray(values).save(temporary)

    def png16(self, kind: str, scene: str, frame: str, values: np.ndarray) -> None:
        write_png16(self.path(kind, scene, frame), values)

    def npz(self, kind: str, scene: str, frame: str = "", **arrays: Any) -> None:
        write_npz(self.path(kind, scene, frame), **arrays)

    def copy(self, kind: str, scene: str, frame: str, source: Path) -> None:
        with atomic_path(self.path(kind, scene, frame)) as temporary:
            shutil.copyfile(source, temporary)

    def written(self) -> int:
        """Count the bytes of the files that are there."""
        return sum(path.stat().st_size for path in self.asked if path.is_file())

    def files(self, frames: Iterable[str]) -> list[list[Any]]:
        """List the files that are there, as [kind, scene, other fields of the path, frames], for the record.

        Args:
            frames: Of the scene; None stands for all of these.
        """
        usual = set(frames)
        found: dict[Place, set[str]] = {}
        for path, (place, frame) in self.asked.items():
            if path.is_file():
                found.setdefault(place, set()).add(frame)
        return [
            [kind, scene, json.loads(fields), None if of == usual else sorted(of)]
            for (kind, scene, fields), of in found.items()
        ]
