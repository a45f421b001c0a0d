"""A sweep of dense refinement: every pair, then every pixel, then every camera, each to where the others want it.

Points and errors of pairs are read in chunks, so that memory beyond the samples is that of the frames.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.alignment.camera_step import Cameras, Held, Targets, off_rays, planes_of_rays, step_cameras
from cut3r.alignment.dense_scene import DenseScene, Gauge, in_front, rows_of
from cut3r.alignment.focals import nearest_plausible
from cut3r.alignment.pair_step import Moments, step_pairs
from cut3r.alignment.samples import Samples
from cut3r.geometry.poses import invert
from cut3r.geometry.registration import Similarity

CLOSE = 1e-3  # of the usual depth: a distance below counts as its square


class Sweeps:
    """Sweeps over given pairs, with given things held.

    Args:
        world_scale: Geometric mean of the pairs' scales, in groups whose scale is free.
        start: What says how large distances usually are, and what stands where.
    """

    def __init__(
        self,
        samples: Samples,
        held: Held,
        groups: Sequence[Sequence[int]],
        start: DenseScene,
        *,
        with_scale: bool,
        world_scale: float,
        chunk: int,
    ) -> None:
        self.samples, self.held, self._with_scale, self._world_scale = samples, held, with_scale, world_scale
        self._close = CLOSE * float(start.depth.median())
        self._chunks = torch.arange(len(samples)).split(chunk) if len(samples) else ()
        self._gauges = [Gauge.of(group, samples, held.poses, start.cameras) for group in groups]
        own = samples.points_self[:, 2].float()
        larger = (start.depth / own).where(own > 0, torch.nan).nanmedian(dim=1).values.nan_to_num(1.0)
        self._alone = samples.points_self.float() * larger[:, None, None]  # in the world's unit

    def sweep(self, scene: DenseScene) -> tuple[DenseScene, float]:
        """Give the next scene, and the loss of this one."""
        world = self._points_world(scene)
        pairs, loss = self._place_pairs(scene, world)
        targets, weights = self._merged(world, pairs)
        cameras = self._step(scene.cameras, targets, weights)
        rays = self._rays(cameras)
        cam_from_world = invert(cameras.world_from_cam).float()
        seen = torch.baddbmm(cam_from_world[:, :3, 3:], cam_from_world[:, :3, :3], targets)
        depth = (rays * seen).sum(dim=1) / rays.square().sum(dim=1)
        return self.at_scale(DenseScene(cameras, in_front(depth), pairs)), loss

    def measure(self, scene: DenseScene) -> tuple[float, Float[Tensor, "e"]]:
        """Give the loss, and the median distance per pair."""
        world, loss = self._points_world(scene), 0.0
        medians = [torch.zeros(0)]
        for _, weights, _, error in self._errors(world, scene.world_from_pair):
            distance = _length(error)
            loss += float((weights * distance).sum())
            medians.append(distance.where(weights > 0, torch.nan).flatten(1).nanmedian(dim=1).values)
        return self._mean(loss), torch.cat(medians)

    def at_scale(self, scene: DenseScene) -> DenseScene:
        """Give the groups whose scale is free the one that is wanted."""
        scaled = scene
        for gauge in self._gauges if self._with_scale else ():
            scaled = gauge.scaled(scaled, self._world_scale)
        return replace(scaled, cameras=self._kept(scaled.cameras, scene.cameras))

    def at_origin(self, scene: DenseScene) -> DenseScene:
        """Put the first camera of each group that has no known one at the origin of the world."""
        for gauge in self._gauges:
            scene = gauge.at_origin(scene)
        return scene

    def _place_pairs(self, scene: DenseScene, world: Float[Tensor, "n 3 p"]) -> tuple[Similarity, float]:
        """Where pairs fit best, and the loss before."""
        parts, loss = [], 0.0
        for rows, weights, points, error in self._errors(world, scene.world_from_pair):
            distance = _length(error)
            loss += float((weights * distance).sum())
            pull = weights / distance.clamp_min(self._close)
            parts.append(Moments.of(points, error, pull, rows_of(scene.world_from_pair, rows)))
        if not parts:
            return scene.world_from_pair, 0.0
        gauges = [(gauge.pairs, self._world_scale) for gauge in self._gauges if gauge.scale_is_free]
        fit = step_pairs(Moments.joined(parts), scene.world_from_pair, with_scale=self._with_scale, gauges=gauges)
        return fit, self._mean(loss)

    def _merged(
        self, world: Float[Tensor, "n 3 p"], pairs: Similarity
    ) -> tuple[Float[Tensor, "n 3 p"], Float[Tensor, "n p"]]:
        """The weighted mean of what pairs say of each pixel, and the weight; without any, the point as it was."""
        weight, off = torch.zeros_like(world[:, 0]), torch.zeros_like(world)
        for rows, weights, _, error in self._errors(world, pairs):
            pull = weights / _length(error).clamp_min(self._close)
            ends = self.samples.ends[rows].flatten()
            weight.index_add_(0, ends, pull.flatten(0, 1))
            off.index_add_(0, ends, (error * pull[:, :, None]).flatten(0, 1))
        return world - off / weight.clamp_min(torch.finfo(weight.dtype).tiny)[:, None], weight

    def _errors(
        self, world: Float[Tensor, "n 3 p"], places: Similarity
    ) -> Iterator[tuple[Tensor, Float[Tensor, "c 2 p"], Float[Tensor, "c 2 3 p"], Float[Tensor, "c 2 3 p"]]]:
        """Of some pairs at a time: their rows, weights, points, and the world's points minus these."""
        matrices = places.matrix().float()
        for rows in self._chunks:
            points, weights = self.samples.pairs(rows)
            place = matrices[rows].repeat_interleave(2, dim=0)
            placed = torch.baddbmm(place[:, :3, 3:], place[:, :3, :3], points.flatten(0, 1))
            error = world[self.samples.ends[rows].flatten()].sub_(placed)
            yield rows, weights, points, error.unflatten(0, (len(rows), 2))

    def _step(self, cameras: Cameras, targets: Float[Tensor, "n 3 p"], weights: Float[Tensor, "n p"]) -> Cameras:
        grid = self.samples.grid
        small = Cameras(cameras.world_from_cam, grid.intrinsics(cameras.intrinsics))
        seen = Targets(targets, weights, self._alone, self._pull_alone(planes_of_rays(small, grid.size)))
        moved = step_cameras(small, grid.size, seen, self.held)
        intrinsics = cameras.intrinsics.clone()
        focals = cameras.intrinsics[:, 0, 0]
        zoomed = nearest_plausible(focals * moved.intrinsics[:, 0, 0] / small.intrinsics[:, 0, 0], grid.full)
        intrinsics[:, :2, :2] *= (zoomed / focals)[:, None, None]
        return self._kept(Cameras(moved.world_from_cam, intrinsics), cameras)

    def _pull_alone(self, rays: Float[Tensor, "n 3 p"]) -> Float[Tensor, "n p"]:
        off = off_rays(rays, self._alone).square().sum(dim=1).sqrt()
        return self.samples.weights_self / off.clamp_min(self._close)

    def _kept(self, cameras: Cameras, before: Cameras) -> Cameras:
        """With what is held exactly as before, without rounding."""
        return Cameras(
            before.world_from_cam.where(self.held.poses[:, None, None], cameras.world_from_cam),
            before.intrinsics.where(self.held.focals[:, None, None], cameras.intrinsics),
        )

    def _rays(self, cameras: Cameras) -> Float[Tensor, "n 3 p"]:
        grid = self.samples.grid
        return planes_of_rays(replace(cameras, intrinsics=grid.intrinsics(cameras.intrinsics)), grid.size)

    def _points_world(self, scene: DenseScene) -> Float[Tensor, "n 3 p"]:
        pose = scene.cameras.world_from_cam.float()
        return torch.baddbmm(pose[:, :3, 3:], pose[:, :3, :3], self._rays(scene.cameras) * scene.depth[:, None])

    def _mean(self, total: float) -> float:
        """As the original counts: the mean over all points of the first frames plus that of the second."""
        return total / max(self.samples.weights_pair.numel(), 1)


def _length(error: Float[Tensor, "c 2 3 p"]) -> Float[Tensor, "c 2 p"]:
    return error.square().sum(dim=2).sqrt_()
