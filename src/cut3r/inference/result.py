"""What a session says about one frame. Sinks (reconstruction, files, viewer) consume these one by one and keep none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from cut3r.geometry.poses import invert, rotation_angle, transform
from cut3r.geometry.registration import Similarity
from cut3r.inference.preprocess import PixelMap
from cut3r.inference.quality import Quality
from cut3r.inference.view import EDGES, View, without_edges
from cut3r.io.frames import Frame
from cut3r.model.prediction import Prediction


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

    `quality` is there where the session cuts its stream into chunks or chooses keyframes. `moves` are earlier chunks
    that stand elsewhere from now on, as when a loop closes: sinks move what they keep of them.

    `pose_is_given`: the pose came with the frame (`given`), and is where the camera stays wherever its chunk moves.
    `points_of_chunk`, if there, are where its points are in the chunk, until it is known how large that is.
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
    quality: Quality | None = None
    moves: Mapping[int, Similarity] = field(default_factory=dict)
    pose_is_given: bool = False
    points_of_chunk: Float[Tensor, "h w 3"] | None = None

    @cached_property
    def view(self) -> View:
        """The frame as a plain value; the properties below are those of it."""
        points = self.points_of_chunk
        if points is None and self.source is PointSource.world:
            points = _first(self.prediction.points_world, "points_world")
        return View(
            self.frame.name,
            self.number,
            self.image,
            self.intrinsics,
            self.pixel_map,
            _first(self.prediction.world_from_cam, "pose"),
            _first(self.prediction.points_cam, "points_cam"),
            self.confidence,
            self.valid,
            self.chunk,
            self.world_from_chunk,
            points,
            self.frame.index,
            self.frame.time_s,
            self.frame.source,
            moves=self.moves,
            pose_is_given=self.pose_is_given,
        )

    @property
    def chunk_from_cam(self) -> Float[Tensor, "4 4"]:
        """Camera to the frame of the chunk's first camera, as the network says it."""
        return self.view.chunk_from_cam

    @property
    def world_from_cam(self) -> Float[Tensor, "4 4"]:
        """Camera to the world, metres."""
        return self.view.world_from_cam

    @property
    def points_cam(self) -> Float[Tensor, "h w 3"]:
        """Points in the camera's frame, metres."""
        return self.view.points_cam

    @property
    def depth(self) -> Float[Tensor, "h w"]:
        """Metres along the optical axis; not positive where the network failed, so use it with `valid`."""
        return self.view.depth

    @property
    def camera_is_finite(self) -> bool:
        """Whether pose and intrinsics consist of numbers; a camera that a network lost has nan or infinity in them."""
        return self.view.camera_is_finite

    def on_surfaces(self, edges: float | None = EDGES) -> Bool[Tensor, "h w"]:
        """The valid pixels without flying ones, as `View.on_surfaces`."""
        return self.view.on_surfaces(edges)

    @property
    def points_chunk(self) -> Float[Tensor, "h w 3"]:
        """Points in the frame of the chunk's first camera, from the chosen `source`, as the network says them."""
        return self.view.points_chunk

    @property
    def points_world(self) -> Float[Tensor, "h w 3"]:
        """Points in the world, metres, from the chosen `source`."""
        return self.view.points_world

    @property
    def confidence(self) -> Float[Tensor, "h w"]:
        """The confidence, >= 1, that belongs to `points_world`."""
        if self.source is PointSource.world:
            return _first(self.prediction.conf_world, "points_world")
        return _first(self.prediction.conf_cam, "points_cam")

    @property
    def intrinsics_original(self) -> Float[Tensor, "3 3"]:
        """Intrinsics in pixels of the original image, after its EXIF rotation."""
        return self.view.intrinsics_original

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
        return without_edges(valid, self.depth, edges)

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


def _first(value: Tensor | None, output: str) -> Tensor:
    if value is None:
        raise ValueError(f"the session did not compute this: create it with Outputs({output}=True)")
    return value[0]
