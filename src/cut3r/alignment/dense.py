"""Refine cameras and depth together: what the original's optimiser minimises, by steps in closed form.

A sweep gives every pair the similarity that brings it closest to the world's points, then every pixel the weighted mean
of all that pairs say of it, then every camera the step that brings its rays closest to these means. Weights make
distances of squares. Linear in pairs. It mends what is wrong locally; a walk that bends as a whole is the pose graph's
affair, with whose result it begins. Source: spec/global_alignment.md 6.3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.alignment.camera_step import Cameras, Held, depth_along, step_cameras
from cut3r.alignment.dense_scene import DenseScene, Gauge, in_front, mask_of, rows_of
from cut3r.alignment.focals import nearest_plausible
from cut3r.alignment.samples import PIXELS, Samples
from cut3r.geometry.cameras import camera_rays
from cut3r.geometry.poses import invert, transform
from cut3r.geometry.registration import Similarity, register

CLOSE = 1e-3  # of the usual depth: a distance below counts as its square
SMALLEST = 1e-6  # scale of a pair


@dataclass
class DenseConfig:
    """How cameras and depth are refined."""

    sweeps: int = 15
    pixels: int = PIXELS  # of each frame that take part, about
    with_scale: bool = True  # pairs have scales of their own; otherwise what the network says is metric
    shared_focal: bool = False
    world_scale: float = 1.0  # geometric mean of the pairs' scales. Parity: 0.5
    chunk: int = 64  # pairs at a time

    def __post_init__(self) -> None:
        if self.sweeps < 0 or self.pixels < 1 or self.chunk < 1 or not self.world_scale > 0:
            raise ValueError(
                f"{self.sweeps} sweeps over {self.pixels} pixels and chunks of {self.chunk} pairs, in a world of scale "
                f"{self.world_scale}, make no sense; expected are 0 sweeps or more, and positive numbers otherwise"
            )


@dataclass(frozen=True)
class Refined:
    """The result; `losses` before each sweep and after the last, `residuals` the median distance per pair, metres.

    The scene is the one with the least loss, which is nearly always the last.
    """

    scene: DenseScene
    losses: list[float]
    residuals: Float[Tensor, "e"]


def refine(
    samples: Samples,
    start: DenseScene,
    config: DenseConfig | None = None,
    *,
    groups: Sequence[Sequence[int]] | None = None,
    known_poses: Sequence[int] = (),
    known_focals: Sequence[int] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> Refined:
    """Find the cameras and depths whose points are closest to what the pairs say.

    Args:
        groups: Frames that pairs hold together; all by default. Each has a scale of its own, and its first camera at
            the origin, unless cameras of it are known.
        known_poses: Frames whose cameras stay where `start` has them.
        known_focals: Frames whose intrinsics stay so.
        on_progress: Called with the sweeps done and all of them.
    """
    config = config or DenseConfig()
    groups = groups or [list(range(samples.frames))]
    held = Held(mask_of(samples.frames, known_poses), mask_of(samples.frames, known_focals), config.shared_focal)
    run = _Sweeps(samples, config, held, groups, start)
    scene = best = run.at_scale(start)
    losses: list[float] = []
    for sweep in range(config.sweeps):
        swept, loss = run.sweep(scene)
        best = scene if loss <= min(losses, default=loss) else best
        losses.append(loss)
        scene = run.at_scale(swept)
        if on_progress is not None:
            on_progress(sweep + 1, config.sweeps)
    loss, residuals = run.measure(scene)
    if loss > min(losses, default=loss):
        scene = best
        loss, residuals = run.measure(scene)
    return Refined(run.at_origin(scene), [*losses, loss], residuals)


class _Sweeps:
    """Sweeps over given pairs, with given things held."""

    def __init__(
        self, samples: Samples, config: DenseConfig, held: Held, groups: Sequence[Sequence[int]], start: DenseScene
    ) -> None:
        self.samples, self.config, self.held = samples, config, held
        self._close = CLOSE * float(start.depth.median())
        self._chunks = torch.arange(len(samples)).split(config.chunk) if len(samples) else ()
        self._gauges = [Gauge.of(group, samples, held.poses, start.cameras) for group in groups]

    def sweep(self, scene: DenseScene) -> tuple[DenseScene, float]:
        """Give the next scene, and the loss of this one."""
        samples = self.samples
        world = self._points_world(scene)
        weight, mean = torch.zeros_like(world[..., 0]), torch.zeros_like(world)
        fits, loss = [], 0.0
        for rows in self._chunks:
            points, weights = samples.pairs(rows)
            ends = samples.ends[rows]
            target = world[ends]  # [c, 2, p, 3]
            distance = self._distances(scene, rows, points, target)
            loss += float((weights * distance).sum())
            pull = weights / distance.clamp_min(self._close)
            fit = register(
                points.flatten(1, 2), target.flatten(1, 2), pull.flatten(1), with_scale=self.config.with_scale
            )
            fit = _where_it_is_one(fit, rows_of(scene.world_from_pair, rows))
            seen = fit.apply(points) * pull[..., None]
            weight.index_add_(0, ends.flatten(), pull.flatten(0, 1))
            mean.index_add_(0, ends.flatten(), seen.flatten(0, 1))
            fits.append(fit)
        targets = torch.where(weight[..., None] > 0, mean / weight[..., None], world)
        cameras = self._step(scene.cameras, targets, weight)
        depth = depth_along(self._rays(cameras), transform(invert(cameras.world_from_cam).float(), targets))
        pairs = _joined(fits) if fits else scene.world_from_pair
        return DenseScene(cameras, in_front(depth), pairs), self._mean(loss)

    def measure(self, scene: DenseScene) -> tuple[float, Float[Tensor, "e"]]:
        """Give the loss, and the median distance per pair."""
        world, loss = self._points_world(scene), 0.0
        medians = [torch.zeros(0)]
        for rows in self._chunks:
            points, weights = self.samples.pairs(rows)
            distance = self._distances(scene, rows, points, world[self.samples.ends[rows]])
            loss += float((weights * distance).sum())
            medians.append(distance.where(weights > 0, torch.nan).flatten(1).nanmedian(dim=1).values)
        return self._mean(loss), torch.cat(medians)

    def at_scale(self, scene: DenseScene) -> DenseScene:
        """Give the groups whose scale is free the one that is wanted."""
        scaled = scene
        for gauge in self._gauges if self.config.with_scale else ():
            scaled = gauge.scaled(scaled, self.config.world_scale)
        return replace(scaled, cameras=self._kept(scaled.cameras, scene.cameras))

    def at_origin(self, scene: DenseScene) -> DenseScene:
        """Put the first camera of each group that has no known one at the origin of the world."""
        for gauge in self._gauges:
            scene = gauge.at_origin(scene)
        return scene

    def _step(self, cameras: Cameras, targets: Float[Tensor, "n p 3"], weight: Float[Tensor, "n p"]) -> Cameras:
        grid = self.samples.grid
        small = Cameras(cameras.world_from_cam, grid.intrinsics(cameras.intrinsics))
        moved = step_cameras(small, grid.size, targets, weight, self.held)
        intrinsics = cameras.intrinsics.clone()
        focals = cameras.intrinsics[:, 0, 0]
        zoomed = nearest_plausible(focals * moved.intrinsics[:, 0, 0] / small.intrinsics[:, 0, 0], grid.full)
        intrinsics[:, :2, :2] *= (zoomed / focals)[:, None, None]
        return self._kept(Cameras(moved.world_from_cam, intrinsics), cameras)

    def _kept(self, cameras: Cameras, before: Cameras) -> Cameras:
        """With what is held exactly as before, without rounding."""
        return Cameras(
            before.world_from_cam.where(self.held.poses[:, None, None], cameras.world_from_cam),
            before.intrinsics.where(self.held.focals[:, None, None], cameras.intrinsics),
        )

    def _rays(self, cameras: Cameras) -> Float[Tensor, "n p 3"]:
        grid = self.samples.grid
        return camera_rays(grid.intrinsics(cameras.intrinsics).float(), grid.size).flatten(1, 2)

    def _points_world(self, scene: DenseScene) -> Float[Tensor, "n p 3"]:
        points = self._rays(scene.cameras) * scene.depth[..., None]
        return transform(scene.cameras.world_from_cam.float(), points)

    def _distances(
        self, scene: DenseScene, rows: Tensor, points: Float[Tensor, "c 2 p 3"], target: Float[Tensor, "c 2 p 3"]
    ) -> Float[Tensor, "c 2 p"]:
        place = rows_of(scene.world_from_pair, rows).matrix().float()
        return (target - transform(place, points)).norm(dim=-1)

    def _mean(self, total: float) -> float:
        """As the original counts: the mean over all points of the first frames plus that of the second."""
        return total / max(self.samples.weights_pair.numel(), 1)


def _where_it_is_one(fit: Similarity, before: Similarity) -> Similarity:
    """Points that all coincide, or whose targets do, fix no similarity: such a pair stays where it was."""
    good = fit.scale.isfinite() & (fit.scale > SMALLEST)
    return Similarity(
        fit.rotation.where(good[:, None, None], before.rotation.float()),
        fit.translation.where(good[:, None], before.translation.float()),
        fit.scale.where(good, before.scale.float()),
    )


def _joined(fits: Sequence[Similarity]) -> Similarity:
    return Similarity(
        torch.cat([fit.rotation for fit in fits]).double(),
        torch.cat([fit.translation for fit in fits]).double(),
        torch.cat([fit.scale for fit in fits]).double(),
    )
