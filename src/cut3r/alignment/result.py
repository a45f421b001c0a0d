"""What an alignment gives: cameras, points, a report; and the frames one by one, as a session gives them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cut3r.alignment.given_depth import with_depth
from cut3r.alignment.taken import Taken
from cut3r.geometry.cameras import camera_rays, pixel_rays
from cut3r.geometry.registration import Similarity
from cut3r.inference.result import FrameResult
from cut3r.model.prediction import Prediction

UNDISTORT_STEPS = 10  # of the fixed-point iteration


@dataclass(frozen=True)
class Alignment:
    """One world: cameras, points of each frame, and `report`, which a JSON file can hold.

    The points are either `points_cam` times `scales`, metres in their cameras, or those of the maps `depth` (metres
    along the optical axis; a third of the memory), on the rays of lenses with the radial distortion `k1`, if there is
    any. `kept` excludes points that cleaning took. `before` is where the frames stood before they were aligned, with
    the factor of their points' size as scale.
    """

    taken: Taken
    world_from_cam: Float[Tensor, "n 4 4"]
    intrinsics: Float[Tensor, "n 3 3"]
    points_cam: Float[Tensor, "n h w 3"] | None
    scales: Float[Tensor, "n"]
    confidence: Float[Tensor, "n h w"]
    kept: Bool[Tensor, "n h w"]
    report: dict[str, Any]
    before: Similarity
    depth: Float[Tensor, "n h w"] | None = None
    k1: Float[Tensor, "n"] | None = None

    def points(self, number: int) -> Float[Tensor, "h w 3"]:
        """The points of a frame, metres in its camera; where its depth is known, they have it."""
        points, given = self.points_said(number), self.taken.depth.get(number)
        return points if given is None else with_depth(points, given)

    def points_said(self, number: int) -> Float[Tensor, "h w 3"]:
        """The same as the alignment alone has it."""
        if self.depth is not None:
            rays = camera_rays(self.intrinsics[number], (self.depth.shape[1], self.depth.shape[2]))
            return self._straight(rays, number) * self.depth[number].float()[..., None]
        assert self.points_cam is not None
        return self.points_cam[number].float() * self.scales[number]

    def points_at(self, number: int, x: Int[Tensor, "k"], y: Int[Tensor, "k"]) -> Float[Tensor, "k 3"]:
        """The same at some pixels."""
        given = self.taken.depth.get(number)
        if self.depth is not None:
            rays = pixel_rays(torch.stack((x, y), dim=-1).float(), self.intrinsics[number])
            points = self._straight(rays, number) * self.depth[number, y, x].float()[:, None]
        else:
            assert self.points_cam is not None
            points = self.points_cam[number, y, x].float() * self.scales[number]
        return points if given is None else with_depth(points, given[y, x])

    def _straight(self, rays: Float[Tensor, "*some 3"], number: int) -> Float[Tensor, "*some 3"]:
        """What pixels look along, with the distortion undone."""
        k1 = 0.0 if self.k1 is None else float(self.k1[number])
        if k1 == 0:
            return rays
        bent, straight = rays[..., :2], rays[..., :2]
        for _ in range(UNDISTORT_STEPS):
            straight = bent / (1 + k1 * straight.square().sum(dim=-1, keepdim=True))
        return torch.cat((straight, rays[..., 2:]), dim=-1)

    def results(self) -> Iterator[FrameResult]:
        """The frames one by one, as a session gives them: for the same sinks."""
        for number, frame in enumerate(self.taken.frames):
            points = self.points(number)
            prediction = Prediction(
                points_cam=points[None],
                conf_cam=self.confidence[number].float()[None],
                world_from_cam=self.world_from_cam[number][None],
            )
            valid = (points[..., 2] > 0) & points.isfinite().all(dim=-1)
            yield FrameResult(
                frame,
                number,
                self.taken.images[number].numpy(),
                prediction,
                self.intrinsics[number],
                self.taken.pixel_maps[number],
                valid & self.taken.counts[number] & self.kept[number],
            )
