"""How the scene is to be drawn: one immutable value, read from the panel at each redraw."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from jaxtyping import Float

from cut3r.geometry.poses import rotate, transform
from cut3r.viewer.colors import ColorBy
from cut3r.viewer.config import ViewerConfig
from cut3r.viewer.places import AS_ADDED


class ShowMode(Enum):
    all = "all"
    up_to_current = "up to now"
    current = "one frame"


@dataclass(frozen=True)
class Look:
    """`current` is the index of the current frame among those kept. Sizes in metres, `percentile` from 0 to 100.
    `poses` names the placement of the frames, `corrected` says whether chunks stand where they were moved to."""

    mode: ShowMode = ShowMode.all
    current: int = 0
    point_size: float = 0.01
    confidence: float = ViewerConfig.confidence
    percentile: float = 0.0
    max_points: int = ViewerConfig.points_per_frame
    color_by: ColorBy = ColorBy.rgb
    cameras: bool = True
    images: bool = True
    camera_size: float = 0.1
    camera_every: int = 1
    poses: str = AS_ADDED
    corrected: bool = True

    def shows_frame(self, index: int) -> bool:
        if self.mode is ShowMode.all:
            return True
        return index == self.current if self.mode is ShowMode.current else index <= self.current

    def shows_camera(self, index: int) -> bool:
        """Every n-th camera is drawn, and always the current one."""
        return self.cameras and (index % self.camera_every == 0 or index == self.current)


def view_from_behind(
    world_from_view: Float[np.ndarray, "4 4"], depth: float
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Place an onlooker behind and a little above a camera: their position and the point they look at (world, metres).

    Args:
        world_from_view: The camera's pose, with the scale of its chunk inside.
        depth: From the camera to what it sees, in the units of the chunk; sets the distance.
    """
    pose = torch.as_tensor(world_from_view, dtype=torch.float64)
    behind = transform(pose, torch.tensor([0.0, -0.12, -0.3], dtype=torch.float64) * depth)
    ahead = transform(pose, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64) * depth)
    return behind.numpy(), ahead.numpy()


def up_of(world_from_cam: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "3"]:
    """The camera's own upward direction in the world: -y."""
    return rotate(
        torch.as_tensor(world_from_cam, dtype=torch.float64), torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    ).numpy()
