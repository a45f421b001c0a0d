"""What an alignment gives: cameras, points, a report; and the frames one by one, as a session gives them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from cut3r.alignment.taken import Taken
from cut3r.geometry.cameras import unproject
from cut3r.geometry.registration import Similarity
from cut3r.inference.result import FrameResult
from cut3r.model.prediction import Prediction


@dataclass(frozen=True)
class Alignment:
    """One world: cameras, points of each frame, and `report`, which a JSON file can hold.

    The points are either `points_cam` times `scales`, metres in their cameras, or those of the maps `depth` (metres
    along the optical axis; a third of the memory). `kept` excludes points that cleaning took. `before` is where the
    frames stood before they were aligned, with the factor of their points' size as scale.
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

    def points(self, number: int) -> Float[Tensor, "h w 3"]:
        """The points of a frame, metres in its camera."""
        if self.depth is not None:
            return unproject(self.depth[number].float(), self.intrinsics[number])
        assert self.points_cam is not None
        return self.points_cam[number].float() * self.scales[number]

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
