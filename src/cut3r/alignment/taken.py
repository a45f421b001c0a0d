"""Frames as a network takes them, all at once: small pictures, and what leads back to the originals."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from cut3r.inference.preprocess import FitConfig, PixelMap, fit
from cut3r.io.frame import Frame


@dataclass(frozen=True)
class Taken:
    """n frames of one size. `counts` says which pixels show a part of the original that no mask excludes.

    `frames` keep their names and times, but as picture only the network's image: the originals are too large to keep.
    `intrinsics` (pixels of the image), `world_from_cam` and `depth` (metres, 0: unknown; of the image's pixels) hold
    what is known, by the frame's number.
    """

    frames: list[Frame]
    images: UInt8[Tensor, "n h w 3"]
    pixel_maps: list[PixelMap]
    counts: Bool[Tensor, "n h w"]
    intrinsics: dict[int, Float[Tensor, "3 3"]]
    world_from_cam: dict[int, Float[Tensor, "4 4"]]
    depth: dict[int, Float[Tensor, "h w"]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def origins(self) -> list[tuple[int, str]]:
        """The place of each frame in the source, and its name."""
        return [(frame.index, frame.name) for frame in self.frames]


def take(frames: Iterable[Frame], config: FitConfig) -> Taken:
    """Read all frames, 0.6 MB each at 512x384.

    Raises:
        ValueError: There are none, or one has another shape than those before.
    """
    light: list[Frame] = []
    images: list[np.ndarray] = []
    maps: list[PixelMap] = []
    counts: list[Tensor] = []
    intrinsics: dict[int, Tensor] = {}
    poses: dict[int, Tensor] = {}
    depth: dict[int, Tensor] = {}
    for number, frame in enumerate(frames):
        image, pixel_map = fit(frame.rgb, config, name=frame.name)
        if images and image.shape != images[0].shape:
            raise ValueError(
                f"{frame.name} becomes {image.shape[1]}x{image.shape[0]} pixels for the network, but {light[0].name} "
                f"{images[0].shape[1]}x{images[0].shape[0]}; frames that are aligned together need one shape"
            )
        if frame.intrinsics is not None:
            intrinsics[number] = pixel_map.intrinsics_to_image(torch.as_tensor(frame.intrinsics).float())
        if frame.world_from_cam is not None:
            poses[number] = torch.as_tensor(frame.world_from_cam).double()
        if frame.depth is not None:
            depth[number] = depth_to_image(frame.depth, pixel_map)
        images.append(image)
        maps.append(pixel_map)
        counts.append(pixel_map.inside() if frame.mask is None else pixel_map.mask_to_image(frame.mask))
        light.append(replace(frame, rgb=image, intrinsics=None, mask=None, depth=None))
    if not images:
        raise ValueError("there are no frames to align; give at least one")
    return Taken(light, torch.from_numpy(np.stack(images)), maps, torch.stack(counts), intrinsics, poses, depth)


def depth_to_image(depth: Float[np.ndarray, "h0 w0"], pixel_map: PixelMap) -> Float[Tensor, "h w"]:
    """Known depth for each pixel of the network's picture, 0 where there is none."""
    given = pixel_map.nearest_to_image(depth).float()
    return given.where(given.isfinite() & (given > 0) & pixel_map.inside(), 0.0)
