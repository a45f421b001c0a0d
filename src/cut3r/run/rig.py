"""Views of one panorama share a centre and are turned by known angles: the first one says where all of them are."""

from dataclasses import replace

import torch
from torch import Tensor

from cut3r.geometry.poses import invert, transform
from cut3r.inference.result import FrameResult
from cut3r.io.panorama import pano_from_cam


class Rig:
    """Takes the results of views in their order, and gives them with cameras that keep together.

    Args:
        count: Views of each panorama, as `io.panorama.views_of` numbers them.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._panorama = -1
        self._world_from_pano: Tensor | None = None

    def apply(self, result: FrameResult) -> FrameResult:
        """Put a view where the first one of its panorama says. Its points keep their places in the camera."""
        panorama, number = divmod(result.frame.index, self._count)
        turned = torch.from_numpy(pano_from_cam(number, self._count))
        if panorama != self._panorama or self._world_from_pano is None:
            self._panorama = panorama
            known = result.camera_is_finite
            self._world_from_pano = result.world_from_cam.double() @ invert(turned) if known else None
            return result
        place = result.world_from_chunk
        pose = self._world_from_pano @ turned
        pose = pose if place is None else place.inverse().place(pose)
        prediction, said = result.prediction, result.chunk_from_cam.double()
        world = prediction.points_world
        if world is not None:
            world = transform(pose @ invert(said), world.double()).float()
        return replace(result, prediction=replace(prediction, world_from_cam=pose.float()[None], points_world=world))
