"""Predictions on disk: what a run keeps, and what other code bases hand in.

A folder per sequence; in it a file per frame, named like the frame's picture:

    alley_2/depth/frame_0001.npy        h w      float32 or float16, metres along the optical axis
    alley_2/points/frame_0001.npy       h w 3    in the frame of the first camera
    alley_2/confidence/frame_0001.npy   h w      of the points, or of the depth where there are no points; more is surer
    alley_2/pictures/frame_0001.png     h w 3    of views that were asked for (query)
    alley_2/cameras.npz                 world_from_cam (v 4 4) and, if known, picture_intrinsics (v 3 3, in pixels of
                                        the pictures), a row per picture
    alley_2/cameras.tum                 or this: a line per picture, time stamp tx ty tz qx qy qz qw, of any clock whose
                                        steps are those of the pictures; or lines of some pictures (keyframes), stamped
                                        with the pictures' clock (eval.systems.stamps)

Depth that a system does not know is not a number (NaN), or 0; it counts as failed. (Parity mode scores 0 as a depth.)

What a protocol does not ask for may be missing. `sequence.json` is written last by our runs, and need not be there.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, UInt8

from cut3r.data import layout
from cut3r.data.layout import read_npy, read_npz
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from cut3r.io.trajectory import read_tum
from eval.systems.stamps import rows_of_pictures

RECORD = "sequence.json"
KINDS = ("depth", "points", "confidence")
PICTURES = "pictures"


class MissingPredictionsError(FileNotFoundError):
    """Predictions of a sequence are not there, or not all of them."""


class Predictions(Protocol):
    """One sequence's predictions, read frame by frame; `MissingPredictionsError` where there is nothing."""

    def __len__(self) -> int: ...

    def depth(self, number: int) -> Float[np.ndarray, "h w"]: ...

    def points(self, number: int) -> Float[np.ndarray, "h w 3"]: ...

    def confidence(self, number: int) -> Float[np.ndarray, "h w"]: ...

    def picture(self, number: int) -> UInt8[np.ndarray, "h w 3"]: ...

    def cameras(self) -> Float[np.ndarray, "v 4 4"]:
        """Give world_from_cam; not a number in the rows of pictures that have none."""

    def has_camera(self) -> Bool[np.ndarray, "v"]:
        """Say which pictures have a camera: all, or the keyframes."""

    def intrinsics(self) -> Float[np.ndarray, "v 3 3"] | None:
        """Give them in pixels of the pictures, if they are known."""

    def files(self) -> list[Path]:
        """List what would be read, there or not; when one of them changes, scores are computed again."""


@dataclass(frozen=True)
class SavedPredictions:
    """A folder as described above.

    Attributes:
        stems: Names of the pictures, in order.
        times_s: Of the pictures, where their set has a clock.
    """

    folder: Path
    stems: tuple[str, ...]
    times_s: Float64[np.ndarray, "v"] | None = None

    def __len__(self) -> int:
        return len(self.stems)

    def depth(self, number: int) -> Float[np.ndarray, "h w"]:
        return self._array("depth", number, "h w")

    def points(self, number: int) -> Float[np.ndarray, "h w 3"]:
        return self._array("points", number, "h w 3")

    def confidence(self, number: int) -> Float[np.ndarray, "h w"]:
        return self._array("confidence", number, "h w")

    def picture(self, number: int) -> UInt8[np.ndarray, "h w 3"]:
        path = self._picture(self.stems[number])
        if not path.is_file():
            raise MissingPredictionsError(f"there is no {path}, the picture of a view that was asked for")
        return read_image(path)

    def cameras(self) -> Float[np.ndarray, "v 4 4"]:
        tum, npz = self.folder / "cameras.tum", self.folder / "cameras.npz"
        if tum.is_file():
            cameras, _ = read_tum(tum)
            rows = self._rows()
            return np.where((rows >= 0)[:, None, None], cameras[rows], np.nan)
        if not npz.is_file():
            raise MissingPredictionsError(f"there is neither {npz} nor cameras.tum, and this protocol scores cameras")
        (matrices,) = read_npz(npz, "world_from_cam")
        require_shape(matrices, "v 4 4", npz)
        self._require_one_each(len(matrices))
        return matrices.astype(np.result_type(matrices, np.float32), copy=False)

    def has_camera(self) -> Bool[np.ndarray, "v"]:
        has: np.ndarray = self._rows() >= 0
        return has

    def _rows(self) -> Int64[np.ndarray, "v"]:
        """The row of each picture's camera, -1 for none."""
        tum = self.folder / "cameras.tum"
        if not tum.is_file():
            return np.arange(len(self))
        _, stamps = read_tum(tum)
        return rows_of_pictures(stamps, self.stems, self.times_s, tum)

    def intrinsics(self) -> Float[np.ndarray, "v 3 3"] | None:
        path = self.folder / "cameras.npz"
        if not path.is_file():
            return None
        with naming_the_file(path), np.load(path, allow_pickle=False) as file:
            rows = file.get("picture_intrinsics")
        if rows is not None:
            require_shape(rows, "v 3 3", path)
            self._require_one_each(len(rows))
        return rows

    def files(self) -> list[Path]:
        per_frame = [self.folder / kind / f"{stem}.npy" for kind in KINDS for stem in self.stems]
        pictures = [self._picture(stem) for stem in self.stems]
        return [*per_frame, *pictures, self.folder / "cameras.npz", self.folder / "cameras.tum"]

    def _picture(self, stem: str) -> Path:
        return self.folder / PICTURES / f"{stem}.png"

    def _require_one_each(self, count: int) -> None:
        if count != len(self):
            raise ValueError(f"{self.folder} has {count} cameras for {len(self)} pictures; expected one each")

    def _array(self, kind: str, number: int, shape: str) -> np.ndarray:
        path = self.folder / kind / f"{self.stems[number]}.npy"
        if not path.is_file():
            there = len(visible(path.parent, "*.npy"))
            raise MissingPredictionsError(
                f"there is no {path}: {there} of {len(self)} frames have a file there, and each needs one of its name"
            )
        array = read_npy(path)
        require_shape(array, shape, path)
        return array.astype(np.float32, copy=False)


def require_shape(array: np.ndarray, shape: str, path: Path) -> None:
    """Refuse an array of a file that has not the axes (letters) and lengths (numbers) of `shape`, as in "h w 3".

    Raises:
        ValueError: It has others, or its entries are no real numbers.
    """
    axes = shape.split()
    fits = array.ndim == len(axes) and all(
        not axis.isdigit() or length == int(axis) for axis, length in zip(axes, array.shape, strict=True)
    )
    if not fits or array.dtype.kind not in "fiu":
        raise ValueError(f"{path} holds {array.dtype} of shape {array.shape}; expected real numbers ({shape})")


def read_record(folder: Path) -> dict[str, Any] | None:
    """Give what `save_predictions` kept about a sequence; None if it is not complete."""
    path = folder / RECORD
    return json.loads(path.read_text()) if path.is_file() else None


def write_json(path: Path, content: object) -> None:
    """Write JSON; what is no finite number becomes null, because JSON has no word for it (`number` reads it back)."""
    layout.write_json(path, _finite(content))


def number(value: float | None) -> float:
    """Give a number that `write_json` wrote; nan where it was none."""
    return math.nan if value is None else value


def _finite(content: object) -> object:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
