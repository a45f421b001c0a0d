"""A picture with its camera and its points: what a session's results, an alignment and other sources have in common."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from cut3r.geometry.cameras import unproject
from cut3r.geometry.points import depth_edges
from cut3r.geometry.poses import invert, transform
from cut3r.geometry.registration import Similarity
from cut3r.inference.preprocess import PixelMap

SURE = 1e6  # the confidence of what is known
EDGES = 0.03  # a step of this share of the depth from one pixel to the next, in an image of ...
EDGES_SIDE = 512  # ... this longer side; in a smaller one a pixel covers more, and steps are larger in proportion

_looking = threading.Lock()  # sinks ask at the same time, each in its thread: the second waits for the first's answer


@dataclass(frozen=True)
class View:
    """A plain value: whoever makes one can fill a `Reconstruction`, a viewer or an exporter.

    `image` is what was reconstructed (h x w); `intrinsics` are in its pixels, and `pixel_map` leads to the original
    picture. `points` are in the camera's frame and the chunk's units; `points_of_chunk`, if given, takes the place of
    what follows from them in the chunk's frame. `valid` marks pixels whose point counts. `number` counts the views from
    0, `index` is the place in the source, `chunk` the part of the stream whose views share one frame.

    `moves` are earlier chunks that stand elsewhere from this view on. `pose_is_given`: the camera stays where it is in
    the world, wherever its chunk is moved.

    `world_from_chunk` says where that stands; None is: at the origin of the world. What has no word about the chunk in
    its name is in the world and its metres.
    """

    name: str
    number: int
    image: UInt8[np.ndarray, "h w 3"]
    intrinsics: Float[Tensor, "3 3"]
    pixel_map: PixelMap
    chunk_from_cam: Float[Tensor, "4 4"]
    points: Float[Tensor, "h w 3"]
    confidence: Float[Tensor, "h w"]
    valid: Bool[Tensor, "h w"]
    chunk: int = 0
    world_from_chunk: Similarity | None = None
    points_of_chunk: Float[Tensor, "h w 3"] | None = None
    index: int = 0
    time_s: float | None = None
    source: Path | None = None
    moves: Mapping[int, Similarity] = field(default_factory=dict)
    pose_is_given: bool = False
    _surfaces: dict[float | None, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def from_depth(
        cls,
        name: str,
        number: int,
        image: UInt8[np.ndarray, "h w 3"],
        depth: Float[Tensor, "h w"],
        intrinsics: Float[Tensor, "3 3"],
        world_from_cam: Float[Tensor, "4 4"],
        confidence: Float[Tensor, "h w"] | None = None,
    ) -> "View":
        """Make a view of a depth map, metres along z; what is not positive and finite is not valid."""
        h, w = depth.shape
        known = depth.isfinite() & (depth > 0)
        return cls(
            name,
            number,
            image,
            intrinsics,
            PixelMap(original_size=(h, w), image_size=(h, w), scale=(1.0, 1.0), offset=(0.0, 0.0)),
            world_from_cam,
            unproject(depth.where(known, 0.0), intrinsics),
            torch.full((h, w), SURE) if confidence is None else confidence,
            known,
            index=number,
        )

    def placed(self, world_from_chunk: Similarity) -> "View":
        """The same view of a chunk that stands elsewhere."""
        return replace(self, world_from_chunk=world_from_chunk)

    @property
    def world_from_cam(self) -> Float[Tensor, "4 4"]:
        """Camera to the world, metres."""
        place = self.world_from_chunk
        return self.chunk_from_cam if place is None else place.place(self.chunk_from_cam)

    @property
    def points_cam(self) -> Float[Tensor, "h w 3"]:
        """Points in the camera's frame, metres."""
        return self.points if self.world_from_chunk is None else self.points * float(self.world_from_chunk.scale)

    @property
    def depth(self) -> Float[Tensor, "h w"]:
        """Metres along the optical axis; use it with `valid`."""
        return self.points_cam[..., 2]

    @property
    def points_chunk(self) -> Float[Tensor, "h w 3"]:
        """Points in the frame of the chunk, in its units."""
        return transform(self.chunk_from_cam, self.points) if self.points_of_chunk is None else self.points_of_chunk

    @property
    def points_world(self) -> Float[Tensor, "h w 3"]:
        """Points in the world, metres."""
        place, points = self.world_from_chunk, self.points_chunk
        return points if place is None else place.apply(points.double()).to(points.dtype)

    @property
    def camera_is_finite(self) -> bool:
        """Whether pose and intrinsics consist of numbers; a camera that a network lost has nan or infinity in them."""
        return bool(self.world_from_cam.isfinite().all() and self.intrinsics.isfinite().all())

    @property
    def intrinsics_original(self) -> Float[Tensor, "3 3"]:
        """Intrinsics in pixels of the original image, after its EXIF rotation."""
        return self.pixel_map.intrinsics_to_original(self.intrinsics)

    def points_seen(self, pixels: Int[Tensor, "p"]) -> Float[Tensor, "p 3"]:
        """The chunk's points of some pixels (flat indices) in the camera's frame, in the units of the chunk.

        They are those of `points`, unless the network says separately where they are in the chunk.
        """
        if self.points_of_chunk is None:
            return self.points.reshape(-1, 3)[pixels]
        return transform(invert(self.chunk_from_cam), self.points_of_chunk.reshape(-1, 3)[pixels])

    def on_surfaces(self, edges: float | None = EDGES) -> Bool[Tensor, "h w"]:
        """The valid pixels without "flying" ones, which hang between a near and a far surface: see `depth_edges`.

        What one sink has asked for is not computed again for the next.

        Args:
            edges: The smallest step of depth that counts, as a share of the depth, from pixel to pixel of an image
                whose longer side is 512. None takes all valid pixels.
        """
        with _looking:
            if edges not in self._surfaces:
                self._surfaces[edges] = without_edges(self.valid, self.depth, edges)
            return self._surfaces[edges]


def without_edges(valid: Bool[Tensor, "h w"], depth: Float[Tensor, "h w"], edges: float | None) -> Bool[Tensor, "h w"]:
    return valid if edges is None else valid & ~depth_edges(depth, edges * EDGES_SIDE / max(depth.shape))
