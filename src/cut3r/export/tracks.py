"""Points that several frames agree on, and where each of them sees it: what a COLMAP model calls tracks.

A pixel's point counts for another frame if that one's own depth says that the same surface is there. The point is then
the mean of what all of them say, so it does not project exactly onto the pixels that saw it: the distances are its
error, as after a triangulation.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, UInt8
from torch import Tensor

from cut3r.data.agreement import same_depth
from cut3r.export.exported import ExportedFrame
from cut3r.geometry.cameras import pixel_rays, project, unproject
from cut3r.geometry.poses import invert, transform
from cut3r.io.colmap_points import ColmapPoints

SAMPLES = 24  # pixels each way of a frame, by which its overlap with others is measured


@dataclass
class TrackConfig:
    """Which points are made.

    `tolerance`: share of the depth by which two frames may differ. `views`: frames that must agree, as far as there are
    so many. `neighbours`: frames that each is compared with, those that see most of it.
    """

    most: int = 200_000
    tolerance: float = 0.02
    views: int = 3
    neighbours: int = 12

    def __post_init__(self) -> None:
        if self.most < 1 or self.views < 1 or self.neighbours < 1 or not 0 < self.tolerance < 1:
            raise ValueError(
                f"points cannot be made with {self}; expected are a tolerance between 0 and 1, and whole numbers from 1"
            )


@dataclass(frozen=True)
class Tracks:
    """The points and who sees them. Frames are numbered by their place in the sequence that was given.

    `pixels` holds, for each frame, its 2-D points in pixels of its original picture, counted from the centre of the
    first one, and `points` the number of the point that each of them is. A frame that agrees with no other has none.
    """

    world: Float64[np.ndarray, "p 3"]  # metres
    colors: UInt8[np.ndarray, "p 3"]
    errors: Float64[np.ndarray, "p"]  # pixels of the original pictures
    frames: Int64[np.ndarray, "k"]  # of each observation, sorted by point
    starts: Int64[np.ndarray, "p+1"]
    pixels: list[np.ndarray]  # float64 m 2
    points: list[np.ndarray]  # int64 m
    indices: Int64[np.ndarray, "k"]  # the place among its frame's 2-D points
    tried: int

    @property
    def confirmed(self) -> float:
        """The share of the pixels that were tried whose point enough frames agree on."""
        return len(self.world) / max(self.tried, 1)

    def of_frames(self, kept: Sequence[int]) -> "Tracks":
        """The same without frames that see nothing, which are all that may be left out."""
        place = np.full(len(self.pixels), -1)
        place[list(kept)] = np.arange(len(kept))
        lists = [self.pixels[number] for number in kept], [self.points[number] for number in kept]
        return replace(self, frames=place[self.frames], pixels=lists[0], points=lists[1])

    def colmap(self, world: Float64[np.ndarray, "p 3"]) -> ColmapPoints:
        """As COLMAP has them: points and images are numbered from 1.

        Args:
            world: Where the points are in the world of the model.
        """
        ids = np.arange(1, len(world) + 1)
        return ColmapPoints(ids, world, self.colors, self.errors, self.starts, self.frames + 1, self.indices)


def find_tracks(
    frames: Sequence[ExportedFrame], config: TrackConfig, on_progress: Callable[[int, int], None] | None = None
) -> Tracks:
    """Go through the pixels of all frames on a grid, and keep the points that enough other frames confirm.

    What one frame has confirmed is not made again of another, so that a surface has one layer of points, not as many as
    there are frames.
    """
    around = overlapping(frames, config.neighbours)
    total = sum(int((frame.depth > 0).sum()) for frame in frames)
    coarse = max(1, math.isqrt(round(total / config.most)))
    found = _on_grid(frames, around, coarse, config, on_progress)
    fine = max(1, math.floor(coarse * math.sqrt(_count(found) / config.most)))
    if fine < coarse and _count(
        found
    ):  # frames overlap, so the first grid gave fewer points than are wanted, and says how many fewer
        found = _on_grid(frames, around, fine, config, on_progress)
    return _joined(frames, found, config.most)


@dataclass(frozen=True)
class _Found:
    """Points of one frame. `seen` says which frames of `by` agree, `at` where, in pixels of what the network saw."""

    world: Tensor  # p 3
    colors: np.ndarray
    errors: Tensor  # p
    by: list[int]
    seen: Tensor  # b p
    at: Tensor  # b p 2
    tried: int


def _on_grid(
    frames: Sequence[ExportedFrame],
    around: list[list[int]],
    stride: int,
    config: TrackConfig,
    on_progress: Callable[[int, int], None] | None,
) -> list[_Found]:
    taken = [torch.zeros([math.ceil(side / stride) for side in frame.depth.shape]).bool() for frame in frames]
    found = []
    for number, others in enumerate(around):
        found.append(_of_frame(frames, number, others, taken, stride, config))
        if on_progress is not None:
            on_progress(number + 1, len(frames))
    return found


def _count(found: Sequence[_Found]) -> int:
    return sum(len(part.world) for part in found)


def _of_frame(
    frames: Sequence[ExportedFrame],
    number: int,
    around: list[int],
    taken: list[Tensor],
    stride: int,
    config: TrackConfig,
) -> _Found:
    frame = frames[number]
    on_grid = torch.zeros_like(frame.depth, dtype=torch.bool)
    on_grid[stride // 2 :: stride, stride // 2 :: stride] = True
    rows, columns = torch.nonzero(on_grid & (frame.depth > 0), as_tuple=True)
    free = ~taken[number][rows // stride, columns // stride]
    rows, columns = rows[free], columns[free]
    pixels = torch.stack((columns, rows), dim=-1).double()
    rays = pixel_rays(pixels, frame.intrinsics)
    own = transform(frame.world_from_cam, rays * frame.depth[rows, columns].double()[:, None])
    by = [number, *around]
    seen, at, said, weights = [torch.ones(len(own)).bool()], [pixels], [own], [_weight(own, frame)]
    for other in around:
        place, there, agrees = same_depth(own, frames[other].seen, config.tolerance)
        seen.append(agrees & _is_known_at(frames[other], place))
        at.append(place)
        said.append(there.nan_to_num())
        weights.append(_weight(there.nan_to_num(), frames[other]))
    agreed = torch.stack(seen)
    kept = agreed.sum(dim=0) >= min(config.views, len(frames))
    agreed, places = agreed[:, kept], torch.stack(at)[:, kept]
    share = torch.stack(weights)[:, kept] * agreed
    points = torch.stack(said)[:, kept]
    world = (points * share[..., None]).sum(dim=0) / share.sum(dim=0)[:, None]
    errors = torch.stack([_off(frames[k], world, place) for k, place in zip(by, places, strict=True)])
    error = (errors.where(agreed, 0.0)).sum(dim=0) / agreed.sum(dim=0)
    for k, mine, place in zip(by, agreed, places, strict=True):
        u, v = (place[mine] / stride).floor().long().unbind(dim=-1)
        h, w = taken[k].shape
        taken[k][v.clamp(0, h - 1), u.clamp(0, w - 1)] = True
    colors = frame.image[rows[kept].numpy(), columns[kept].numpy()]
    return _Found(world, colors, error, by, agreed, places, len(rows))


def _is_known_at(frame: ExportedFrame, pixels: Float[Tensor, "p 2"]) -> Bool[Tensor, "p"]:
    """Whether the nearest pixel counts: masks and edges leave out some beside which depth is known."""
    h, w = frame.depth.shape
    u, v = pixels.nan_to_num(-1.0, -1.0, -1.0).clamp(-1, max(h, w)).round().long().unbind(dim=-1)
    inside = (u >= 0) & (u < w) & (v >= 0) & (v < h)
    return inside & (frame.depth[v.clamp(0, h - 1), u.clamp(0, w - 1)] > 0)


def _weight(points: Float[Tensor, "p 3"], frame: ExportedFrame) -> Float[Tensor, "p"]:
    """Depth is as uncertain as it is large."""
    return (points - frame.world_from_cam[:3, 3]).norm(dim=-1).clamp_min(1e-6).pow(-2)


def _off(frame: ExportedFrame, world: Float[Tensor, "p 3"], at: Float[Tensor, "p 2"]) -> Float[Tensor, "p"]:
    """Pixels of the original picture between where a point projects and where it was seen."""
    pixels, _ = project(transform(invert(frame.world_from_cam), world), frame.intrinsics)
    return ((pixels - at) / at.new_tensor(frame.pixel_map.scale)).norm(dim=-1)


def overlapping(frames: Sequence[ExportedFrame], most: int) -> list[list[int]]:
    """For each frame the others, at most so many, that see most of what it sees, by a few of its points."""
    clouds = [_few(frame) for frame in frames]
    chosen = []
    for number, cloud in enumerate(clouds):
        shares = torch.tensor([_share_inside(other, cloud) for other in frames])
        shares[number] = -1
        order = shares.argsort(descending=True, stable=True)[:most].tolist()
        chosen.append([other for other in order if shares[other] > 0])
    return chosen


def _few(frame: ExportedFrame) -> Float[Tensor, "p 3"]:
    h, w = frame.depth.shape
    rows = torch.linspace(0, h - 1, min(SAMPLES, h)).round().long()
    columns = torch.linspace(0, w - 1, min(SAMPLES, w)).round().long()
    depth = frame.depth.double()
    points = unproject(depth, frame.intrinsics)[rows[:, None], columns]
    return transform(frame.world_from_cam, points[depth[rows[:, None], columns] > 0])


def _share_inside(frame: ExportedFrame, world: Float[Tensor, "p 3"]) -> float:
    if not len(world):
        return 0.0
    pixels, z = project(transform(invert(frame.world_from_cam), world), frame.intrinsics)
    h, w = frame.depth.shape
    inside = (z > 0) & (pixels >= 0).all(dim=-1) & (pixels[:, 0] <= w - 1) & (pixels[:, 1] <= h - 1)
    return float(inside.double().mean())


def _joined(frames: Sequence[ExportedFrame], found: list[_Found], most: int) -> Tracks:
    world = torch.cat([part.world for part in found]).numpy()
    points, seers, places = [], [], []
    first = 0
    for part in found:
        which, row = torch.nonzero(part.seen, as_tuple=True)
        points.append((row + first).numpy())
        seers.append(np.array(part.by, np.int64)[which.numpy()])
        places.append(part.at[which, row].numpy())
        first += len(part.world)
    point, seer, place = np.concatenate(points), np.concatenate(seers), np.concatenate(places)
    kept = np.zeros(len(world), bool)
    kept[np.linspace(0, len(world) - 1, min(most, len(world))).round().astype(int)] = True  # spread over all frames
    renumbered = np.cumsum(kept) - 1
    held = kept[point]
    point, seer, place = renumbered[point[held]], seer[held], place[held]
    order = np.lexsort((seer, point))
    point, seer, place = point[order], seer[order], place[order]
    pixels, numbers, indices = [], [], np.empty(len(point), np.int64)
    for number, frame in enumerate(frames):
        mine = np.flatnonzero(seer == number)
        indices[mine] = np.arange(len(mine))
        pixels.append(frame.pixel_map.pixels_to_original(torch.from_numpy(place[mine])).numpy())
        numbers.append(point[mine])
    starts = np.concatenate(([0], np.cumsum(np.bincount(point, minlength=int(kept.sum())))))
    colors = np.concatenate([part.colors for part in found])[kept]
    errors = torch.cat([part.errors for part in found]).numpy()[kept]
    tried = sum(part.tried for part in found)
    return Tracks(world[kept], colors, errors, seer, starts, pixels, numbers, indices, tried)
