"""A frame as it is exported: its depth and camera, and the way to the pixels of its original picture."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float64, UInt8
from torch import Tensor

from cut3r.data.agreement import Seen
from cut3r.inference.preprocess import PixelMap
from cut3r.inference.view import View

UNKNOWN = 0.0


@dataclass(frozen=True)
class ExportedFrame:
    """What is kept of each chosen frame while points are looked for: 7 bytes per pixel.

    `name` is that of its exported picture without suffix; `origin` its place in the source and its name there. `depth`
    is 0 where nothing is known, or a pixel hangs between two surfaces. Intrinsics are those of the network's picture.
    """

    name: str
    origin: tuple[int, str]
    image: UInt8[np.ndarray, "h w 3"]
    depth: Tensor  # float32 h w, metres
    intrinsics: Tensor  # float64 3 3
    world_from_cam: Tensor  # float64 4 4
    pixel_map: PixelMap

    @classmethod
    def of_view(cls, view: View, name: str, confidence: float, edges: float | None) -> "ExportedFrame":
        known = view.on_surfaces(edges) & (view.confidence >= confidence)
        depth = view.depth.float().where(known & view.depth.isfinite(), torch.tensor(UNKNOWN))
        poses = view.intrinsics.double(), view.world_from_cam.double()
        return cls(name, (view.index, view.name), view.image, depth, *poses, view.pixel_map)

    @cached_property
    def seen(self) -> Seen:
        """What it knows of depth, to be compared with others."""
        return Seen(self.depth.numpy(), self.intrinsics.numpy(), self.world_from_cam.numpy())

    @property
    def intrinsics_original(self) -> Float64[np.ndarray, "3 3"]:
        """In pixels of the original picture, counted from the centre of the first one."""
        return self.pixel_map.intrinsics_to_original(self.intrinsics).numpy()

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the original picture."""
        return self.pixel_map.original_size

    def depth_original(self, mask: Bool[np.ndarray, "h0 w0"] | None = None) -> np.ndarray:
        """Metres for each pixel of the original picture, float32: that of the nearest pixel of the network's picture.

        0 where nothing is known, a mask says so, or the network's picture does not reach.
        """
        depth = self.pixel_map.nearest_to_original(self.depth.numpy(), outside=UNKNOWN)
        return depth if mask is None else np.where(mask, depth, np.float32(UNKNOWN))
