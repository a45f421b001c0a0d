"""What one gets without looking at the pictures: systems that any other has to beat, on any set.

mean_depth         the mean depth map of training walks for every picture; as points, seen by a camera that stands
                   still and has the mean field of view of these walks
no_motion          the camera stays where it began
constant_velocity  the first true step, translation and turn, for ever. It is told more than a network is: how far
                   the camera really moves and turns between the first two frames
"""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch.nn.functional import interpolate

from cut3r.data.synthetic import RENDERER, TRAINING_SEED, walk_depth
from cut3r.data.walks import WalkConfig
from cut3r.geometry.cameras import unproject
from cut3r.geometry.poses import invert
from cut3r.metrics.motion import constant_velocity
from eval.protocols.base import NotScoredError
from eval.sequences.sequence import Sequence
from eval.systems.saved import MissingPredictionsError

MEAN_WALKS, MEAN_STRIDE = 100, 10  # behind the mean depth map: so many walks, every so many frames
MEAN_FOV = math.radians(sum(WalkConfig.fov_deg) / 2)  # horizontal
SIZE = 128  # longer side of the clouds of mv_recon; scores hardly depend on it, and larger ones take long


@dataclass(frozen=True)
class Baseline:
    """Predictions of one sequence that are made when asked for.

    Attributes:
        size: (h, w) of its points.
    """

    sequence: Sequence
    size: tuple[int, int] = (SIZE * 3 // 4, SIZE)
    says: ClassVar[tuple[str, ...]] = ()

    def __len__(self) -> int:
        return len(self.sequence)

    @classmethod
    def describe(cls) -> dict[str, Any]:
        """Say everything that decides the predictions."""
        return {"system": NAMES.get(cls, cls.__name__.lower())}

    def depth(self, number: int) -> Float32[np.ndarray, "h w"]:
        raise self._silent("depth")

    def points(self, number: int) -> Float32[np.ndarray, "h w 3"]:
        raise self._silent("points")

    def confidence(self, number: int) -> Float32[np.ndarray, "h w"]:
        raise self._silent("confidence")

    def picture(self, number: int) -> NoReturn:
        raise self._silent("unseen views")

    def cameras(self) -> Float[np.ndarray, "v 4 4"]:
        raise self._silent("cameras")

    def has_camera(self) -> Bool[np.ndarray, "v"]:
        return np.full(len(self), "cameras" in self.says)

    def intrinsics(self) -> None:
        return None

    def files(self) -> list[Path]:
        return []

    def _silent(self, what: str) -> MissingPredictionsError:
        return MissingPredictionsError(f"{self.describe()['system']} says nothing of {what}")


@dataclass(frozen=True)
class MeanDepth(Baseline):
    says: ClassVar[tuple[str, ...]] = ("depth", "points")

    @classmethod
    def describe(cls) -> dict[str, Any]:
        return {**super().describe(), "walks": MEAN_WALKS, "renderer": RENDERER}

    def depth(self, number: int) -> Float32[np.ndarray, "h w"]:
        return mean_depth(MEAN_WALKS)

    def points(self, number: int) -> Float32[np.ndarray, "h w 3"]:
        h, w = self.size
        depth = interpolate(torch.from_numpy(mean_depth(MEAN_WALKS))[None, None], (h, w), mode="bilinear")[0, 0]
        focal = w / 2 / math.tan(MEAN_FOV / 2)
        intrinsics = torch.tensor([[focal, 0, (w - 1) / 2], [0, focal, (h - 1) / 2], [0, 0, 1]])
        return unproject(depth, intrinsics).numpy()


@dataclass(frozen=True)
class NoMotion(Baseline):
    says: ClassVar[tuple[str, ...]] = ("cameras",)

    def cameras(self) -> Float[np.ndarray, "v 4 4"]:
        return np.tile(np.eye(4), (len(self), 1, 1))


@dataclass(frozen=True)
class ConstantVelocity(Baseline):
    says: ClassVar[tuple[str, ...]] = ("cameras",)

    def cameras(self) -> Float[np.ndarray, "v 4 4"]:
        """Repeat the first true step.

        Raises:
            NotScoredError: One of the first two cameras is not known.
        """
        assert self.sequence.world_from_cam is not None
        if len(self) < 2 or not self.sequence.known_cameras()[:2].all():
            raise NotScoredError(f"{self.sequence.name} has no first step: one of the first two cameras is not known")
        world_from_cam = torch.from_numpy(self.sequence.world_from_cam[:2])
        return constant_velocity(invert(world_from_cam[0]) @ world_from_cam[1], len(self)).numpy()


BASELINES: dict[str, type[Baseline]] = {
    "mean_depth": MeanDepth,
    "no_motion": NoMotion,
    "constant_velocity": ConstantVelocity,
}
NAMES: dict[type[Baseline], str] = {kind: name for name, kind in BASELINES.items()}


@cache
def mean_depth(walks: int) -> Float32[np.ndarray, "h w"]:
    """Average the depth of training walks, pixel by pixel; metres."""
    config = WalkConfig()
    maps = [walk_depth(TRAINING_SEED, index, config, MEAN_STRIDE).mean(dim=0) for index in range(walks)]
    return torch.stack(maps).mean(dim=0).numpy()
