"""The recorded global alignments of the original, in our types."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cut3r.alignment.objective import FOCAL_BREAK, Scene, Unknowns
from cut3r.alignment.pairs import Pairs
from cut3r.metrics.motion import ate_sim3

CASES = ["A", "B", "C", "D"]


class Case:
    """One recorded case: `pairs`, the arrays by name, and the numbers of the json file."""

    def __init__(self, golden: Path, name: str) -> None:
        with np.load(golden / "inference" / "global_alignment.npz") as arrays:
            self.arrays = {
                key.removeprefix(f"{name}/"): torch.from_numpy(arrays[key])
                for key in arrays.files
                if key.startswith(f"{name}/")
            }
        self.said: dict[str, Any] = json.loads((golden / "inference" / "global_alignment.json").read_text())[name]
        self.pairs = Pairs(
            self["in/edges"].long(),
            self["in/pred1_pts3d_in_self_view"],
            self["in/pred1_conf_self"],
            self["in/pred2_pts3d_in_other_view"],
            self["in/pred2_conf"],
        )

    def __getitem__(self, name: str) -> Tensor:
        return self.arrays[name]

    def final(self) -> Unknowns:
        """Where the original ended."""
        return Unknowns(
            _real_first(self["final/pw_params"]),
            _real_first(self["final/im_pose_params"]),
            self["final/im_focal_params"][:, 0],
            self["final/depth"].log(),
        )

    def start(self) -> Unknowns:
        """Where the original began."""
        scene = Scene(
            self["init/im_poses_c2w"], self["init/focals"], self["init/depth"], self.final().scene().world_from_pair
        )
        frames = Unknowns.of(scene).frames
        pairs = _real_first(self["init/pw_params"])
        return Unknowns(pairs, frames, FOCAL_BREAK * self["init/focals"].log(), self["init/depth"].log())

    def ate(self, world_from_cam: Tensor) -> float:
        return float(ate_sim3(world_from_cam, self["gt/c2w"]))

    def focal_error(self, focals: Tensor) -> float:
        return float((focals / self["gt/focal"] - 1).abs().mean())


def _real_first(numbers: Tensor) -> Tensor:
    """Quaternions are recorded as x y z w."""
    return torch.cat((numbers[:, 3:4], numbers[:, :3], numbers[:, 4:]), dim=-1)
