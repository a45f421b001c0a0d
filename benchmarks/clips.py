"""Sequences with exact or measured truth: walks through synthetic rooms, and a recorded RGB-D room."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from cut3r.data.recording import open_recording
from cut3r.data.synthetic import synthetic_walk, walk_depth
from cut3r.data.walks import WalkConfig
from cut3r.geometry.cameras import pixel_grid
from cut3r.inference.preprocess import PixelMap
from cut3r.io.frames import Frame, open_frames

MEAN_WALKS, MEAN_STRIDE = 100, 10  # of the training data, for its mean depth map: so many walks, every so many frames


@dataclass(frozen=True)
class Clip:
    """Plain arrays, so that it can come from another process."""

    name: str
    frames: list[Frame]
    depth: list[Float32[np.ndarray, "h w"]]  # of the original pictures, metres, 0 where unknown
    world_from_cam: Float[np.ndarray, "v 4 4"]  # some world


def walk_clip(task: tuple[int, int, WalkConfig]) -> Clip:
    """Render a walk. The task is (seed, index, config)."""
    seed, index, config = task
    walk = synthetic_walk(seed, index, config)
    name = f"walk {seed}/{index}"
    frames = [
        Frame(rgb, index=number, time_s=number / config.rate_hz, name=f"{name}#{number:06d}")
        for number, rgb in enumerate(walk.rgb.numpy())
    ]
    return Clip(name, frames, list(walk.depth.numpy()), walk.world_from_cam.numpy())


def some_depth(task: tuple[int, int, WalkConfig]) -> Float32[np.ndarray, "v h w"]:
    """Render the depth of every tenth frame of a walk."""
    seed, index, config = task
    return walk_depth(seed, index, config, MEAN_STRIDE).numpy()


def room_clip(folder: Path) -> Clip:
    """Read a recording with depth and cameras, in one of the layouts of `cut3r.data.recording`.

    Raises:
        ValueError: A file that cannot be read, or fewer than three frames.
    """
    shots = list(open_recording(folder).shots.values())
    if len(shots) < 3:
        raise ValueError(f"{folder} has {len(shots)} frames, and a path needs at least 3; check the folder")
    frames = list(open_frames([shot.picture for shot in shots]))
    depth = [shot.depth.read() for shot in shots]
    return Clip(folder.name, frames, depth, np.stack([shot.world_from_cam() for shot in shots]))


def seen_depth(depth: Float32[np.ndarray, "h0 w0"], pixel_map: PixelMap) -> Float[Tensor, "h w"]:
    """The true depth at the pixels of the network's image: of the nearest original pixel, 0 outside the original."""
    pixels = pixel_map.pixels_to_original(pixel_grid(*pixel_map.image_size)[..., :2])
    u, v = pixels.round().long().unbind(dim=-1)
    h, w = depth.shape
    nearest = torch.from_numpy(depth)[v.clamp(0, h - 1), u.clamp(0, w - 1)]
    return nearest * pixel_map.inside()


@contextmanager
def renderers(workers: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Give a `map` whose calls are made by so many processes ahead of time; 0: by this one, when needed."""
    if workers == 0:
        yield map
        return
    # spawn: a process forked off one with running threads may hang
    with get_context("spawn").Pool(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool.imap
