"""Which heads to run, and what comes out of them."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Outputs:
    """The heads to run. At 512x384 they cost 566 of 1,565 GFLOP per view, so ask only for what somebody looks at.

    The default, points in the camera's frame and the pose that moves them into the world, is what a reconstruction
    needs.
    """

    points_cam: bool = True
    points_world: bool = False
    rgb: bool = False
    pose: bool = True

    @classmethod
    def all(cls) -> "Outputs":
        return cls(points_cam=True, points_world=True, rgb=True, pose=True)

    @classmethod
    def none(cls) -> "Outputs":
        """Only advance the state."""
        return cls(points_cam=False, points_world=False, rgb=False, pose=False)


@dataclass(frozen=True)
class Prediction:
    """What the network says about one view. A field that was not asked for is None.

    `points_cam` and `conf_cam`: metres in this view's camera frame (OpenCV axes), confidence >= 1.
    `points_world` and `conf_world`: the same in the frame of the stream's first camera.
    `rgb`: colours in [-1, 1]. `pose_encoding`: translation in metres and unit quaternion (w, x, y, z) with w >= 0 of
    `world_from_cam`.
    """

    points_cam: Float[Tensor, "b h w 3"] | None = None
    conf_cam: Float[Tensor, "b h w"] | None = None
    points_world: Float[Tensor, "b h w 3"] | None = None
    conf_world: Float[Tensor, "b h w"] | None = None
    rgb: Float[Tensor, "b h w 3"] | None = None
    world_from_cam: Float[Tensor, "b 4 4"] | None = None
    pose_encoding: Float[Tensor, "b 7"] | None = None

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Prediction":
        """Copy every tensor to a device; `dtype` changes the precision too."""
        values = [getattr(self, field.name) for field in fields(self)]
        return Prediction(*(v if v is None else v.to(device=device, dtype=dtype or v.dtype) for v in values))
