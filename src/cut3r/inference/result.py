"""What a session says about one frame. Sinks (reconstruction, files, viewer) consume these one by one and keep none."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from cut3r.geometry.points import depth_edges
from cut3r.geometry.poses import invert, rotation_angle, transform
from cut3r.geometry.registration import Similarity
from cut3r.inference.preprocess import PixelMap
from cut3r.io.frames import Frame
from cut3r.model.prediction import Prediction

EDGES = 0.03  # a step of this share of the depth from one pixel to the next, in an image of ...
EDGES_SIDE = 512  # ... this longer side; in a smaller one a pixel covers more, and steps are larger in proportion


class PointSource(Enum):
    """Which of the network's two point maps becomes the world points."""

    self = (
        "self"  # points in the camera's frame, moved by the predicted pose; sharper, and what the published demo shows
    )
    world = "world"  # the head that predicts world points directly


@dataclass(frozen=True)
class FrameResult:
    """One frame's prediction, on the host, with everything needed to map it back to the original image.

    `number` counts the results of the stream from 0 and names the output files; `frame.index` is the frame's place in
    its source. `image` is what the network saw. `intrinsics` are in pixels of that image. `valid` marks pixels with
    finite points in front of the camera that show a part of the original image. `chunk` counts the resets so far.

    The network speaks of the frame of the chunk's first camera. `world_from_chunk` says where that stands; None is: at
    the origin of the world, so that world coordinates are only comparable inside one chunk. Everything below is in the
    world and its metres, unless its name says otherwise.
    """

    frame: Frame
    number: int
    image: UInt8[np.ndarray, "h w 3"]
    prediction: Prediction
    intrinsics: Float[Tensor, "3 3"]
    pixel_map: PixelMap
    valid: Bool[Tensor, "h w"]
    chunk: int = 0
    source: PointSource = PointSource.self
    world_from_chunk: Similarity | None = None

    @property
    def chunk_from_cam(self) -> Float[Tensor, "4 4"]:
        """Camera to the frame of the chunk's first camera, as the network says it."""
        return _first(self.prediction.world_from_cam, "pose")

    @property
    def world_from_cam(self) -> Float[Tensor, "4 4"]:
        """Camera to the world, metres."""
        place = self.world_from_chunk
        return self.chunk_from_cam if place is None else place.place(self.chunk_from_cam)

    @property
    def points_cam(self) -> Float[Tensor, "h w 3"]:
        """Points in the camera's frame, metres."""
        points = _first(self.prediction.points_cam, "points_cam")
        return points if self.world_from_chunk is None else points * float(self.world_from_chunk.scale)

    @property
    def depth(self) -> Float[Tensor, "h w"]:
        """Metres along the optical axis; not positive where the network failed, so use it with `valid`."""
        return self.points_cam[..., 2]

    @property
    def camera_is_finite(self) -> bool:
        """Whether pose and intrinsics consist of numbers; a camera that a network lost has nan or infinity in them."""
        return bool(self.world_from_cam.isfinite().all() and self.intrinsics.isfinite().all())

    def on_surfaces(self, edges: float | None = EDGES) -> Bool[Tensor, "h w"]:
        """The valid pixels without "flying" ones, which hang between a near and a far surface: see `depth_edges`.

        Args:
            edges: The smallest step of depth that counts, as a share of the depth, from pixel to pixel of an image
                whose longer side is 512. None takes all valid pixels.
        """
        return _on_surfaces(self.valid, self.depth, edges)

    @property
    def points_chunk(self) -> Float[Tensor, "h w 3"]:
        """Points in the frame of the chunk's first camera, from the chosen `source`, as the network says them."""
        if self.source is PointSource.world:
            return _first(self.prediction.points_world, "points_world")
        return transform(self.chunk_from_cam, _first(self.prediction.points_cam, "points_cam"))

    @property
    def points_world(self) -> Float[Tensor, "h w 3"]:
        """Points in the world, metres, from the chosen `source`."""
        place, points = self.world_from_chunk, self.points_chunk
        return points if place is None else place.apply(points.double()).to(points.dtype)

    @property
    def confidence(self) -> Float[Tensor, "h w"]:
        """The confidence, >= 1, that belongs to `points_world`."""
        if self.source is PointSource.world:
            return _first(self.prediction.conf_world, "points_world")
        return _first(self.prediction.conf_cam, "points_cam")

    @property
    def intrinsics_original(self) -> Float[Tensor, "3 3"]:
        """Intrinsics in pixels of the original image, after its EXIF rotation."""
        return self.pixel_map.intrinsics_to_original(self.intrinsics)

    @property
    def colors(self) -> Float[Tensor, "h w 3"]:
        """The network's image in [0, 1]."""
        return torch.from_numpy(self.image).float() / 255


@dataclass(frozen=True)
class QueryResult:
    """What the network expects to see from a camera that took no picture.

    `world_from_cam` and `intrinsics` (pixels) are the camera that was asked for; the network also says where it
    believes that camera stands (`prediction.world_from_cam`), and the difference tells how well it understood the
    question.
    """

    prediction: Prediction
    world_from_cam: Float[Tensor, "4 4"]
    intrinsics: Float[Tensor, "3 3"]

    @property
    def depth(self) -> Float[Tensor, "h w"]:
        """Metres along the optical axis."""
        return self._points_cam[..., 2]

    def on_surfaces(self, edges: float | None = EDGES) -> Bool[Tensor, "h w"]:
        """Pixels with finite points in front of the camera, without flying ones, as in `FrameResult`."""
        valid = self._points_cam.isfinite().all(dim=-1) & (self.depth > 0)
        return _on_surfaces(valid, self.depth, edges)

    @property
    def points_world(self) -> Float[Tensor, "h w 3"]:
        """The camera's points, moved by the pose that was asked for."""
        return transform(self.world_from_cam, self._points_cam)

    @property
    def confidence(self) -> Float[Tensor, "h w"]:
        assert self.prediction.conf_cam is not None
        return self.prediction.conf_cam[0]

    @property
    def rgb(self) -> UInt8[np.ndarray, "h w 3"]:
        """The predicted picture."""
        assert self.prediction.rgb is not None
        colors: np.ndarray = ((self.prediction.rgb[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
        return colors

    @property
    def pose_error(self) -> tuple[float, float]:
        """Between the camera asked for and the one predicted: degrees and metres."""
        assert self.prediction.world_from_cam is not None
        asked_from_predicted = invert(self.world_from_cam) @ self.prediction.world_from_cam[0]
        angle = rotation_angle(asked_from_predicted[:3, :3], torch.eye(3))
        return float(angle.rad2deg()), float(asked_from_predicted[:3, 3].norm())

    @property
    def _points_cam(self) -> Float[Tensor, "h w 3"]:
        assert self.prediction.points_cam is not None
        return self.prediction.points_cam[0]


def _on_surfaces(valid: Bool[Tensor, "h w"], depth: Float[Tensor, "h w"], edges: float | None) -> Bool[Tensor, "h w"]:
    return valid if edges is None else valid & ~depth_edges(depth, edges * EDGES_SIDE / max(depth.shape))


def _first(value: Tensor | None, output: str) -> Tensor:
    if value is None:
        raise ValueError(f"the session did not compute this: create it with Outputs({output}=True)")
    return value[0]
