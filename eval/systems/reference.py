"""Folders of predictions that the original's scripts have left.

Source: spec/eval_metrics.md.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64

from cut3r.data.layout import read_npy
from cut3r.files.listing import visible
from cut3r.geometry.poses import is_rotation, matrix_from_quaternion
from cut3r.io.numbers import read_rows
from eval.sequences.sequence import Sequence
from eval.systems.saved import MissingPredictionsError, require_shape
from eval.systems.stamps import require_stamps_of_pictures


@dataclass(frozen=True)
class ReferencePredictions:
    """One sequence in a results folder of the original: depth maps in the order of their names, a camera path.

    Depth maps are `<picture>depth.npy` (single pictures) or `frame_0000.npy`, ...; the path is `pred_traj.txt`.
    """

    folder: Path
    frames: int

    @classmethod
    def find(cls, root: Path, sequence: Sequence) -> "ReferencePredictions":
        """Find a sequence's folder; that of NYU is the results folder itself.

        Raises:
            MissingPredictionsError: There is none.
        """
        names = (sequence.name, sequence.name.removeprefix("rgbd_bonn_"))
        folders = [root / name for name in names if (root / name).is_dir()]
        if not folders and visible(root, "*depth.npy"):
            folders = [root]
        if not folders:
            raise MissingPredictionsError(f"there is no folder {root / sequence.name}; check predictions and layout")
        return cls(folders[0], len(sequence))

    def __len__(self) -> int:
        return self.frames

    def depth(self, number: int) -> Float[np.ndarray, "h w"]:
        paths = self._depth_maps
        if len(paths) != self.frames:
            raise MissingPredictionsError(f"{self.folder} has {len(paths)} depth maps for {self.frames} pictures")
        array = read_npy(paths[number])
        require_shape(array, "h w", paths[number])
        return array.astype(np.float32, copy=False)

    def cameras(self) -> Float64[np.ndarray, "v 4 4"]:
        path = self.folder / "pred_traj.txt"
        if not path.is_file():
            raise MissingPredictionsError(f"there is no {path}")
        rows, lines = read_rows(path, 8, "index x y z qw qx qy qz")  # the scalar first
        wrong = np.flatnonzero(~is_rotation(torch.from_numpy(rows[:, 4:8])).numpy())
        if len(wrong):
            raise ValueError(
                f"{path}, line {lines[wrong[0]]}: its quaternion is no rotation; expected a unit quaternion"
            )
        require_stamps_of_pictures(rows[:, 0], (), None, path)
        cameras = np.tile(np.eye(4), (len(rows), 1, 1))
        cameras[:, :3, :3] = matrix_from_quaternion(torch.from_numpy(rows[:, 4:8])).numpy()
        cameras[:, :3, 3] = rows[:, 1:4]
        return cameras

    def has_camera(self) -> Bool[np.ndarray, "v"]:
        return np.ones(self.frames, bool)

    def points(self, number: int) -> Float[np.ndarray, "h w 3"]:
        raise MissingPredictionsError("the original keeps points in pickles, which may run code and are not read")

    confidence = points

    def picture(self, number: int) -> NoReturn:
        raise MissingPredictionsError("the original's scripts ask for no unseen views")

    def intrinsics(self) -> None:
        return None

    def files(self) -> list[Path]:
        return [*self._depth_maps, self.folder / "pred_traj.txt"]

    @cached_property
    def _depth_maps(self) -> list[Path]:
        return visible(self.folder, "*depth.npy") or visible(self.folder, "frame_*.npy")
