"""Walks through synthetic rooms where they are learned from: in the memory of the device, rendered by other processes.

A sample is a draw of frames of a walk that is already there, so no step waits for a loader, a copy or a renderer. When
the ring is full, new walks take the place of the oldest.
"""

import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.context import BaseContext
from queue import Empty
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from cut3r.data.synthetic import Walk, synthetic_walk
from cut3r.data.view import CompactView
from cut3r.data.walks import WalkConfig
from cut3r.geometry.cameras import resize_intrinsics
from cut3r.geometry.poses import invert

EDGE = 1.1  # ratio of depths within 2x2 pixels above which they are of two surfaces
SLOTS_PER_WORKER = 4
PATIENCE_S = 1.0  # after so long without work a worker looks whether anybody still wants it


@dataclass(frozen=True)
class Draw:
    """What a batch is drawn as: so many views of so many walks, `apart` frames from one to the next at most.

    Time runs forwards or backwards. `halved` views have half the size in both directions.
    """

    batch: int
    views: int
    apart: int
    halved: bool = False


class WalkRing:
    """Walks of one size and number of frames: 8-bit colours, float16 metres, and the cameras."""

    def __init__(self, config: WalkConfig, capacity: int, device: torch.device | str = "cpu") -> None:
        frames, (h, w) = config.frames, config.size
        self.config, self.capacity, self.device = config, capacity, torch.device(device)
        self.taken = 0  # walks that have ever come in
        self._fields = {
            name: torch.zeros(capacity, frames, *shape, dtype=dtype, device=device)
            for name, (shape, dtype) in fields_of((h, w)).items()
        }

    def __len__(self) -> int:
        return min(self.taken, self.capacity)

    def put(self, walk: dict[str, Tensor]) -> None:
        """Take in a walk, field by field as `fields_of` names them; its memory may be used anew afterwards."""
        on_the_way = self.device.type == "cuda" and not walk["rgb"].is_cuda
        for name, place in self._fields.items():
            values = walk[name].pin_memory() if on_the_way else walk[name]  # so that nobody waits for the device
            place[self.taken % self.capacity].copy_(values, non_blocking=True)
        self.taken += 1

    def draw(self, rng: np.random.Generator, draw: Draw) -> list[CompactView]:
        """Draw walks and frames. Tensors are on the device, the flags, which are asked on the host, stay there.

        Raises:
            ValueError: There are no walks yet, or they are too short.
        """
        numbers = self._frames(rng, draw)
        walks = torch.from_numpy(rng.integers(0, len(self), (draw.batch, 1))).to(self.device, non_blocking=True)
        rows = torch.from_numpy(numbers).to(self.device, non_blocking=True)
        rgb, depth, intrinsics, world_from_cam = (self._fields[name][walks, rows] for name in self._fields)  # b v ...
        depth = depth.float()
        if draw.halved:
            rgb, depth, intrinsics = halve_colors(rgb), halve_depth(depth), resize_intrinsics(intrinsics, (0.5, 0.5))
        first_from_cam = invert(world_from_cam[:, :1]) @ world_from_cam
        world_from_cam = world_from_cam.clone()
        world_from_cam[..., :3, 3] -= world_from_cam[:, :1, :3, 3].clone()
        yes, no = torch.ones(draw.batch, dtype=torch.bool), torch.zeros(draw.batch, dtype=torch.bool)
        return [
            CompactView(
                rgb=rgb[:, view],
                depth=depth[:, view],
                intrinsics=intrinsics[:, view],
                world_from_cam=world_from_cam[:, view],
                first_from_cam=first_from_cam[:, view],
                include_translation=True,
                label=[""] * draw.batch,
                **dict.fromkeys(("has_image", "update", "metric"), yes),
                **dict.fromkeys(("has_rays", "reset", "camera_only", "depth_only", "single_view"), no),
            )
            for view in range(draw.views)
        ]

    def _frames(self, rng: np.random.Generator, draw: Draw) -> np.ndarray:
        """Draw the numbers of frames, [b, v]."""
        last = self.config.frames - 1
        if not len(self) or draw.views - 1 > last:
            raise ValueError(
                f"{draw.views} views are to be drawn out of {len(self)} walks of {last + 1} frames; wait until there "
                "are walks, or make them longer"
            )
        apart = max(1, min(draw.apart, last // max(1, draw.views - 1)))
        steps = rng.integers(1, apart + 1, (draw.batch, draw.views))
        steps[:, 0] = 0
        numbers = steps.cumsum(axis=1)
        numbers += rng.integers(0, last + 1 - numbers[:, -1:])
        return np.where(rng.random((draw.batch, 1)) < 0.5, numbers, numbers[:, ::-1])


def fields_of(size: tuple[int, int]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and type of what a frame holds."""
    return {
        "rgb": ((*size, 3), torch.uint8),
        "depth": (size, torch.float16),
        "intrinsics": ((3, 3), torch.float32),
        "world_from_cam": ((4, 4), torch.float32),
    }


def halve_colors(rgb: UInt8[Tensor, "*v h w 3"]) -> UInt8[Tensor, "*v h2 w2 3"]:
    """Average 2x2 pixels."""
    return _blocks(rgb.movedim(-1, 0).float()).mean(dim=-1).round_().to(torch.uint8).movedim(0, -1)


def halve_depth(depth: Float[Tensor, "*v h w"]) -> Float[Tensor, "*v h2 w2"]:
    """Give the depth in the middle of 2x2 pixels, exact on planes; at an edge, that of the nearest surface.

    1 / depth is linear in the pixels of a plane, so its mean is that of the middle. Unknown (0) if one of the four is.
    """
    blocks = _blocks(depth)
    near, far = blocks.aminmax(dim=-1)
    middle = 1 / (1 / blocks.clamp_min(1e-3)).mean(dim=-1)
    return torch.where(near > 0, torch.where(far > EDGE * near, near, middle), 0.0)


def _blocks(values: Float[Tensor, "*v h w"]) -> Float[Tensor, "*v h2 w2 4"]:
    return values.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).transpose(-2, -3).flatten(-2)


class Renderers:
    """Processes that render the walks of a seed, one after the other, into memory that they share with this one.

    Args:
        first: Number of the first walk.
    """

    def __init__(self, workers: int, seed: int, config: WalkConfig, *, first: int = 0) -> None:
        context, slots = get_context("spawn"), SLOTS_PER_WORKER * workers
        memory = SharedWalks.make(context, config, slots)
        self._walks = memory.open()
        self._free, self._ready = context.Queue(), context.Queue()
        for slot in range(slots):
            self._free.put(slot)
        shared = (seed, config, memory, self._free, self._ready)
        self._processes = [
            context.Process(target=_render_walks, args=(first + rank, workers, *shared), daemon=True)
            for rank in range(workers)
        ]
        for process in self._processes:
            process.start()

    def hand_over(self, ring: WalkRing, wait_s: float = 0.0) -> int:
        """Put what is ready into the ring and return how many walks that were.

        Args:
            wait_s: For the first one, at most.

        Raises:
            RuntimeError: A renderer has ended by itself.
        """
        if ended := [process.exitcode for process in self._processes if process.exitcode is not None]:
            raise RuntimeError(f"{len(ended)} renderers have ended (exit codes {ended}); their messages stand above")
        count = 0
        try:
            while True:
                slot = self._ready.get(timeout=wait_s) if wait_s and not count else self._ready.get_nowait()
                ring.put({name: values[slot] for name, values in self._walks.items()})
                self._free.put(slot)
                count += 1
        except Empty:
            return count

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()


@dataclass(frozen=True)
class SharedWalks:
    """Room for some walks, which travels to other processes without its content."""

    memory: Any  # bytes of `multiprocessing`, which finds another place where /dev/shm is small
    slots: int
    frames: int
    size: tuple[int, int]

    @classmethod
    def make(cls, context: BaseContext, config: WalkConfig, slots: int) -> "SharedWalks":
        shapes = fields_of(config.size).values()
        frame = sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in shapes)
        return cls(context.RawArray("B", slots * config.frames * frame), slots, config.frames, config.size)

    def open(self) -> dict[str, Tensor]:
        """Look at the memory as tensors `slots frames ...`."""
        memory, start, tensors = torch.frombuffer(self.memory, dtype=torch.uint8), 0, {}
        for name, (shape, dtype) in sorted(fields_of(self.size).items(), key=lambda item: -item[1][1].itemsize):
            whole = (self.slots, self.frames, *shape)  # the wide types first: each begins at a multiple of its width
            end = start + int(np.prod(whole)) * dtype.itemsize
            tensors[name] = memory[start:end].view(dtype).view(whole)
            start = end
        return tensors


def walk_fields(walk: Walk) -> dict[str, Tensor]:
    return {name: getattr(walk, name) for name in fields_of((1, 1))}


def _render_walks(
    index: int, stride: int, seed: int, config: WalkConfig, memory: SharedWalks, free: Any, ready: Any
) -> None:
    """Render every `stride`-th walk, as long as the process that started this one lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process decides
    torch.set_num_threads(1)
    walks = memory.open()
    while (slot := _next_slot(free)) is not None:
        for name, values in walk_fields(synthetic_walk(seed, index, config)).items():
            walks[name][slot].copy_(values)
        ready.put(slot)
        index += stride


def _next_slot(free: Any) -> int | None:
    parent = parent_process()
    while parent is None or parent.is_alive():
        with suppress(Empty):
            return int(free.get(timeout=PATIENCE_S))
    return None
