"""Synthetic rooms as training data: walks with exact depth, intrinsics and poses, rendered when they are asked for.

Everything is a function of (seed, index, frame) and of nothing else: no files, no order, no workers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.rooms import Room, make_room
from cut3r.data.sampling import SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.shading import render
from cut3r.data.textures import pyramids
from cut3r.data.view import RawFrame
from cut3r.data.walk_file import WalkFile
from cut3r.data.walks import WalkConfig, make_walk

RENDERER = "rooms 4"  # another number whenever the same seed gives other pictures: kept frames are then not used

TRAINING_SEED = 0  # of the rooms that the bundled network was trained on; trainings use 0 ... 99
HELD_OUT_SEED = 20_000  # of rooms that no training sees

SENSOR = 1 << 30  # in the seed of what a walk's camera is like; above all numbers of frames


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
    return Walk(photograph(rgb, range(config.frames), seed, index, config), depth, intrinsics, poses)


def walk_depth(seed: int, index: int, config: WalkConfig, stride: int = 1) -> Float[Tensor, "v h w"]:
    """Render the depth of every `stride`-th frame of walk number `index`."""
    plan, some = plan_walk(seed, index, config), slice(None, None, stride)
    _, depth = render(plan.room, plan.world_from_cam[some], plan.intrinsics[some], config.size, plan.time_s[some])
    return depth


def photograph(
    rgb: Float[Tensor, "v h w 3"], frames: Sequence[int], seed: int, index: int, config: WalkConfig
) -> UInt8[Tensor, "v h w 3"]:
    """Give what a camera records of rendered frames: a little blurred and noisy, each walk in its way."""
    rng = np.random.default_rng([seed, index, SENSOR])
    blurred = blur(rgb, config.blur_px * rng.random())
    deviation = 2 * config.noise * rng.random()
    generators = (np.random.default_rng([seed, index, frame]) for frame in frames)
    noise = np.stack([generator.standard_normal((*config.size, 3), dtype=np.float32) for generator in generators])
    return quantize(blurred + deviation * torch.from_numpy(noise).to(rgb.device))


def blur(rgb: Float[Tensor, "v h w 3"], deviation: float) -> Float[Tensor, "v h w 3"]:
    """Convolve with a Gaussian whose standard deviation, at most a pixel or so, is given."""
    weights = torch.exp(-0.5 * (torch.arange(-2.0, 3.0) / max(deviation, 0.1)) ** 2).to(rgb.device)
    kernel = (weights / weights.sum()).view(1, 1, 1, 5)
    images = rgb.permute(0, 3, 1, 2).flatten(0, 1).unsqueeze(1)  # [v * 3, 1, h, w]
    across = F.conv2d(F.pad(images, (2, 2, 0, 0), mode="replicate"), kernel)
    both = F.conv2d(F.pad(across, (0, 0, 2, 2), mode="replicate"), kernel.mT)
    return both.view(len(rgb), 3, *rgb.shape[1:3]).permute(0, 2, 3, 1)


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
        max_interval: int = 4,
        **options: Any,
    ) -> None:
        """List the walks.

        Args:
            cache: A folder that keeps walks, each rendered as a whole when it is first asked for: 7 bytes per pixel.
            max_interval: Between neighbours of a sample, in frames of the walk.
            sizes: As in the base class, which explains the options too.
        """
        self.walks = scenes
        self.walk = replace(walk, size=(max(h for h, _ in sizes), max(w for _, w in sizes)))
        pyramids(torch.device("cpu"))  # the patterns, drawn here once and not in every worker of every epoch
        self.policy = replace(self.policy, max_interval=max_interval)
        super().__init__(None, sizes=sizes, **options)
        self._stored = None if cache is None else walk_file(cache, self.seed, self.walk)

    def index(self) -> Iterator[Scene]:
        frames = tuple(f"{frame:05d}" for frame in range(self.walk.frames))
        return (Scene(f"{walk:06d}", frames) for walk in range(self.walks))

    def read(self, scene: Scene, position: int) -> RawFrame:
        return next(self.read_many(scene, [position]))

    def read_many(self, scene: Scene, positions: Sequence[int]) -> Iterator[RawFrame]:
        """Render frames with one plan and one call of the renderer: the same pixels as one by one, in less time."""
        index = int(scene.name)
        if self._stored is None:
            return self._render(index, positions)
        return map(stored_frame, (self._stored.frame(index, row) for row in positions))

    def _render(self, index: int, frames: Sequence[int]) -> Iterator[RawFrame]:
        different = list(dict.fromkeys(frames))
        plan, rows = plan_walk(self.seed, index, self.walk), torch.tensor(different)
        intrinsics, world_from_cam = plan.intrinsics[rows], plan.world_from_cam[rows]
        radiance, depth = render(plan.room, world_from_cam, intrinsics, self.walk.size, plan.time_s[rows])
        rgb = photograph(radiance, different, self.seed, index, self.walk)
        for frame in frames:
            i = different.index(frame)
            yield RawFrame(
                rgb=rgb[i].numpy(),
                depth=depth[i].numpy(),
                intrinsics=intrinsics[i].double().numpy(),
                world_from_cam=world_from_cam[i].double().numpy(),
            )


def walk_file(folder: Path, seed: int, config: WalkConfig) -> WalkFile:
    """The walks of a seed, stored as they are asked for."""
    return WalkFile(
        folder,
        f"{RENDERER}: {seed} {config}",
        size=config.size,
        frames=config.frames,
        render=partial(synthetic_walk, seed, config=config),
    )


def stored_frame(record: np.void) -> RawFrame:
    return RawFrame(
        rgb=np.array(record["rgb"]),
        depth=np.array(record["depth"]),
        intrinsics=record["intrinsics"].astype(np.float64),
        world_from_cam=record["world_from_cam"].astype(np.float64),
    )
