"""What an alignment expects in the original pictures: where a pixel of one frame shows up in another.

Everything is in pixels of the originals, metres and the alignment's world; float64.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cut3r.alignment.align import Alignment
from cut3r.inference.preprocess import PixelMap

GRID = 8  # points per side with which the overlap of two frames is measured


@dataclass(frozen=True)
class Guide:
    """Cameras and predicted points of n frames. `usable` says which points count.

    `points_at` gives points in a frame's camera at pixels (x, y) of the network's picture: those of all pixels would
    take more memory than all else.
    """

    world_from_cam: Float[np.ndarray, "n 4 4"]
    intrinsics: Float[np.ndarray, "n 3 3"]
    sizes: list[tuple[int, int]]
    pixel_maps: list[PixelMap]
    points_at: Callable[[int, Tensor, Tensor], Float[Tensor, "k 3"]]
    usable: Bool[np.ndarray, "n h w"]

    @classmethod
    def of(cls, aligned: Alignment) -> "Guide":
        maps = aligned.taken.pixel_maps
        usable = aligned.kept & aligned.taken.counts
        for number in range(len(aligned.taken)):
            points = aligned.points(number)
            usable[number] &= points.isfinite().all(dim=-1) & (points[..., 2] > 0)
        originals = [m.intrinsics_to_original(k.double()) for m, k in zip(maps, aligned.intrinsics, strict=True)]
        return cls(
            aligned.world_from_cam.double().numpy(),
            torch.stack(originals).numpy(),
            [m.original_size for m in maps],
            maps,
            aligned.points_at,
            usable.numpy(),
        )

    def __len__(self) -> int:
        return len(self.sizes)

    def lift(
        self, frame: int, pixels: Float[np.ndarray, "k 2"]
    ) -> tuple[Float[np.ndarray, "k 3"], Bool[np.ndarray, "k"]]:
        """The predicted points (camera's frame) of pixels, and which have one."""
        at = self.pixel_maps[frame].pixels_to_image(torch.from_numpy(pixels)).numpy().round().astype(int)
        h, w = self.usable.shape[1:]
        inside = (at >= 0).all(axis=1) & (at[:, 0] < w) & (at[:, 1] < h)
        x, y = at[:, 0].clip(0, w - 1), at[:, 1].clip(0, h - 1)
        points = self.points_at(frame, torch.from_numpy(x), torch.from_numpy(y)).numpy().astype(np.float64)
        return points, inside & self.usable[frame, y, x]

    def expect(self, first: int, second: int, pixels: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "k 2"]:
        """Where pixels of the first frame show up in the second; nan where nothing is known, or outside of it."""
        points, ok = self.lift(first, pixels)
        seen, z = self.see(second, self.to_world(first, points))
        h, w = self.sizes[second]
        ok &= (z > 0) & (seen > -0.5).all(axis=1) & (seen[:, 0] < w - 0.5) & (seen[:, 1] < h - 0.5)
        return np.where(ok[:, None], seen, np.nan)

    def to_world(self, frame: int, points_cam: Float[np.ndarray, "k 3"]) -> Float[np.ndarray, "k 3"]:
        pose = self.world_from_cam[frame]
        return points_cam @ pose[:3, :3].T + pose[:3, 3]

    def see(
        self, frame: int, points_world: Float[np.ndarray, "k 3"]
    ) -> tuple[Float[np.ndarray, "k 2"], Float[np.ndarray, "k"]]:
        """Pixels and depth of points in the world; a pixel means nothing where the depth is not positive."""
        pose, camera = self.world_from_cam[frame], self.intrinsics[frame]
        local = (points_world - pose[:3, 3]) @ pose[:3, :3]
        z = local[:, 2]
        return local[:, :2] / np.where(z > 0, z, np.inf)[:, None] * camera[[0, 1], [0, 1]] + camera[:2, 2], z

    def grid(self, frame: int, side: int = GRID) -> Float[np.ndarray, "k 2"]:
        """Pixels spread evenly over a frame."""
        h, w = self.sizes[frame]
        x, y = np.meshgrid((np.arange(side) + 0.5) * w / side - 0.5, (np.arange(side) + 0.5) * h / side - 0.5)
        return np.stack((x.ravel(), y.ravel()), axis=1)

    def overlap(self, first: int, others: Int[np.ndarray, "m"]) -> Float[np.ndarray, "m"]:
        """The share of the first frame that each of the others shows, 0 to 1."""
        pixels = self.grid(first)
        shares = [np.isfinite(self.expect(first, other, pixels)[:, 0]).mean() for other in others.tolist()]
        return np.array(shares, dtype=np.float64)
