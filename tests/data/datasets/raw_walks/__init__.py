"""Synthetic walks in the raw formats of datasets: a module of the dataset's name with a function

    write(raw: Path) -> dict[str, list[RawFrame]]

which writes a walk as the dataset's owner would publish it, and gives the truth by the name of the scene that the
reader finds: its frames in order, or by their names. Optional:

- `OPTIONS` of the converter, `SPLIT` of the reader (default "all");
- `DEPTH`: the allowed median error of depth, relative (0.002);
- `POSE`: the allowed error of a pose relative to the first, in metres and radians (1e-4);
- `PICTURE`: the allowed median difference of colours, of 255 (6);
- `UP_TO_SCALE`: poses and depth of a scene have a common unknown scale;
- `KNOWN`: the least share of the stored pixels with depth (0.5);
- `FAULT`: a pattern of what `verify` must say of the walk when it was converted with the original's faults, read
  with them unless `FAULT_SURVIVES` our reader;
- `write_faulty(raw)`: another walk for that, which shows the fault better: the camera turns and comes nearer;
- `theirs(out)`: writes into the processed folder what the original needs and only its authors have;
- `PUBLISHED_OPTIONS`, `FULL_SIZE`: options of the converter and of `write` for pictures as large as published ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from cut3r.data.shading import render
from cut3r.data.synthetic import plan_walk, quantize
from cut3r.data.view import RawFrame
from cut3r.data.walks import WalkConfig
from cut3r.geometry.cameras import resize_intrinsics

_DRAWN_AT: ContextVar[tuple[int, int] | None] = ContextVar("drawn_at", default=None)


@contextmanager
def drawn_at(size: tuple[int, int]) -> Iterator[None]:
    """Write walks whose pictures have another size than they ask for, for measurements: (h, w) as published."""
    token = _DRAWN_AT.set(size)
    try:
        yield
    finally:
        _DRAWN_AT.reset(token)


def drawn(size: tuple[int, int], intrinsics: np.ndarray) -> tuple[tuple[int, int], np.ndarray]:
    """Give the size to draw at, and the intrinsics there."""
    larger = _DRAWN_AT.get()
    if larger is None:
        return size, intrinsics
    scale = larger[1] / size[1], larger[0] / size[0]  # x, y
    return larger, resize_intrinsics(torch.from_numpy(np.asarray(intrinsics, np.float64)), scale).numpy()


def render_walk(
    size: tuple[int, int],
    intrinsics: np.ndarray | None = None,
    *,
    frames: int = 4,
    seed: int = 1,
    speed: float = 0.1,
) -> list[RawFrame]:
    """Render a walk through a room with exact depth and poses.

    Args:
        size: (h, w) of the pictures.
        intrinsics: Of all frames, (0, 0) being the centre of the first pixel; None: focal length 0.8 w, centred.
        speed: How fast the camera moves, of its usual speed.
    """
    h, w = size
    if intrinsics is None:
        intrinsics = np.array([[0.8 * w, 0, (w - 1) / 2], [0, 0.8 * w, (h - 1) / 2], [0, 0, 1]])
    size, intrinsics = drawn(size, intrinsics)
    config = WalkConfig(size=size, frames=frames)
    config = replace(config, speed_m=speed * config.speed_m, turn_deg=speed * config.turn_deg, moving=0)
    plan = plan_walk(seed, 0, config)
    cameras = torch.from_numpy(np.asarray(intrinsics, np.float64)).float().expand(frames, 3, 3)
    radiance, depth = render(plan.room, plan.world_from_cam, cameras, size, plan.time_s)
    return [
        RawFrame(
            rgb=quantize(radiance[i]).numpy(),
            depth=depth[i].numpy(),
            intrinsics=np.asarray(intrinsics, np.float64),
            world_from_cam=plan.world_from_cam[i].double().numpy(),
        )
        for i in range(frames)
    ]


def render_unrelated(size: tuple[int, int], intrinsics: np.ndarray | None = None, **options: Any) -> list[RawFrame]:
    """Render pictures as `render_walk` does, for datasets that know no poses: each stands at the origin."""
    return [replace(frame, world_from_cam=np.eye(4)) for frame in render_walk(size, intrinsics, **options)]


def viewed_plane(
    size: tuple[int, int], intrinsics: np.ndarray, world_from_cam: np.ndarray, normal: np.ndarray, offset: float
) -> RawFrame:
    """See the plane `normal . x = offset` with soft colours, for datasets whose depth comes from a mesh."""
    size, intrinsics = drawn(size, intrinsics)
    v, u = np.mgrid[: size[0], : size[1]]
    rays = np.stack((u, v, np.ones_like(u)), -1) @ np.linalg.inv(intrinsics).T @ world_from_cam[:3, :3].T
    depth = (offset - normal @ world_from_cam[:3, 3]) / (rays @ normal)
    points = world_from_cam[:3, 3] + depth[..., None] * rays
    waves = np.stack([np.sin(points @ direction) for direction in (np.array([[2.0, 1, 0], [0, 3, 1], [3, 0, 2]]))], -1)
    return RawFrame((127 + 100 * waves).astype(np.uint8), depth.astype(np.float32), intrinsics, world_from_cam)
