"""Synthetic rooms as training data: walks with exact depth, intrinsics and poses, rendered when they are asked for.

Everything is a function of (seed, index, frame) and of nothing else: no files, no order, no workers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.frame_cache import FrameCache
from cut3r.data.rooms import Room, make_room
from cut3r.data.sampling import SamplingPolicy, Scene
from cut3r.data.shading import render
from cut3r.data.textures import pyramids
from cut3r.data.view import RawFrame
from cut3r.data.walks import WalkConfig, make_walk

RENDERER = "rooms 3"  # another number whenever the same seed gives other pictures: kept frames are then not used


@dataclass(frozen=True)
class Walk:
    """Views along one walk through one room."""

    rgb: UInt8[Tensor, "v h w 3"]
    depth: Float[Tensor, "v h w"]  # z, metres, exact
    intrinsics: Float[Tensor, "v 3 3"]
    world_from_cam: Float[Tensor, "v 4 4"]  # world: z up, the origin in a corner of the floor


@dataclass(frozen=True)
class Plan:
    """A walk before it is rendered."""

    room: Room
    world_from_cam: Float[Tensor, "v 4 4"]
    intrinsics: Float[Tensor, "v 3 3"]
    time_s: Float[Tensor, "v"]


def plan_walk(seed: int, index: int, config: WalkConfig) -> Plan:
    """Draw the room and the walk number `index`."""
    rng = np.random.default_rng([seed, index])
    room = make_room(rng, moving=int(rng.integers(0, config.moving + 1)))
    world_from_cam, intrinsics = make_walk(rng, room, config)
    return Plan(room, world_from_cam, intrinsics, torch.arange(config.frames) / config.rate_hz)


def synthetic_walk(seed: int, index: int, config: WalkConfig, device: torch.device | str = "cpu") -> Walk:
    """Render walk number `index`; the same for the same arguments, up to rounding between devices."""
    plan = plan_walk(seed, index, config)
    poses, intrinsics = plan.world_from_cam.to(device), plan.intrinsics.to(device)
    rgb, depth = render(plan.room.to(device), poses, intrinsics, config.size, plan.time_s.to(device))
    noise = torch.stack([sensor_noise(seed, index, frame, config) for frame in range(config.frames)])
    return Walk(quantize(rgb + noise.to(device)), depth, intrinsics, poses)


def sensor_noise(seed: int, index: int, frame: int, config: WalkConfig) -> Float[Tensor, "h w 3"]:
    rng = np.random.default_rng([seed, index, frame])
    return torch.from_numpy(config.noise * rng.standard_normal((*config.size, 3), dtype=np.float32))


def quantize(rgb: Float[Tensor, "*v h w 3"]) -> UInt8[Tensor, "*v h w 3"]:
    return (rgb * 255).round_().clamp_(0, 255).to(torch.uint8)


class SyntheticRooms(MultiViewDataset):
    """Walks number 0, 1, 2, ... of a seed. Another seed gives other rooms: held-out data.

    Frames are rendered at the smallest size that covers all `sizes`; that of the walk's config does not matter.
    """

    name = "synthetic"
    metric = True
    policy = SamplingPolicy(max_interval=4, video_prob=0.9, fixed_interval_prob=0.6)

    def __init__(
        self,
        *,
        scenes: int,
        walk: WalkConfig,
        sizes: list[tuple[int, int]],
        cache: Path | None = None,
        **options: Any,
    ) -> None:
        """List the walks.

        Args:
            cache: A folder that keeps what has been rendered: about 7 bytes per pixel.
            sizes: As in the base class, which explains the options too.
        """
        self.walks = scenes
        self.walk = replace(walk, size=(max(h for h, _ in sizes), max(w for _, w in sizes)))
        pyramids(torch.device("cpu"))  # the patterns, drawn here once and not in every worker of every epoch
        super().__init__(None, sizes=sizes, **options)
        self._cache = None if cache is None else FrameCache(cache, f"{RENDERER}: {self.seed} {self.walk}")

    def index(self) -> Iterator[Scene]:
        frames = tuple(f"{frame:05d}" for frame in range(self.walk.frames))
        return (Scene(f"{walk:06d}", frames) for walk in range(self.walks))

    def read(self, scene: Scene, frame: str) -> RawFrame:
        return next(self.read_many(scene, [frame]))

    def read_many(self, scene: Scene, frames: Sequence[str]) -> Iterator[RawFrame]:
        """Render frames with one plan and one call of the renderer: the same pixels as one by one, in less time."""
        known = {} if self._cache is None else self._kept(scene, frames)
        if missing := [frame for frame in dict.fromkeys(frames) if frame not in known]:
            known |= self._render(scene, missing)
        return iter([known[frame] for frame in frames])

    def _kept(self, scene: Scene, frames: Sequence[str]) -> dict[str, RawFrame]:
        assert self._cache is not None
        found = {frame: self._cache.get(f"{scene.name}/{frame}") for frame in dict.fromkeys(frames)}
        return {name: frame for name, frame in found.items() if frame is not None}

    def _render(self, scene: Scene, frames: Sequence[str]) -> dict[str, RawFrame]:
        index, rows = int(scene.name), torch.tensor([int(frame) for frame in frames])
        plan = plan_walk(self.seed, index, self.walk)
        intrinsics, world_from_cam = plan.intrinsics[rows], plan.world_from_cam[rows]
        rgb, depth = render(plan.room, world_from_cam, intrinsics, self.walk.size, plan.time_s[rows])
        rendered = {}
        for i, name in enumerate(frames):
            rendered[name] = RawFrame(
                rgb=quantize(rgb[i] + sensor_noise(self.seed, index, int(name), self.walk)).numpy(),
                depth=depth[i].numpy(),
                intrinsics=intrinsics[i].double().numpy(),
                world_from_cam=world_from_cam[i].double().numpy(),
            )
            if self._cache is not None:
                self._cache.put(f"{scene.name}/{name}", rendered[name])
        return rendered
