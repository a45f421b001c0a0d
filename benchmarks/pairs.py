"""Pairs of frames out of prerendered walks, which lie in one memory-mapped file: rendering is no limit then."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cut3r.data.synthetic import synthetic_walk
from cut3r.data.view import View, image_tensor
from cut3r.data.walks import WalkConfig
from cut3r.files.atomic import atomic_path
from cut3r.geometry.cameras import unproject
from cut3r.geometry.poses import transform

FARTHEST = 4  # frames apart


def frame_type(size: tuple[int, int]) -> np.dtype:
    """One frame in the file: 8-bit colours, float16 metres, and the camera."""
    return np.dtype(
        [
            ("rgb", np.uint8, (*size, 3)),
            ("depth", np.float16, size),
            ("world_from_cam", np.float32, (4, 4)),
            ("intrinsics", np.float32, (3, 3)),
        ]
    )


def rendered_walks(folder: Path, seed: int, count: int, config: WalkConfig) -> np.ndarray:
    """Open the first walks of a seed, [count, frames] of `frame_type`; render them if the folder has no such file."""
    h, w = config.size
    path = folder / f"walks-{seed}-{count}x{config.frames}-{h}x{w}.npy"
    if not path.exists():
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            kind, shape = frame_type(config.size), (count, config.frames)
            np.lib.format.write_array_header_1_0(
                file, {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
            )
            for index in range(count):
                _render(seed, index, config, kind).tofile(file)
    return np.load(path, mmap_mode="r")


def _render(seed: int, index: int, config: WalkConfig, kind: np.dtype) -> np.ndarray:
    walk, frames = synthetic_walk(seed, index, config), np.empty(config.frames, kind)
    for name in kind.names or ():
        frames[name] = getattr(walk, name).numpy()
    return frames


def draw_pairs(walks: np.ndarray, rng: np.random.Generator, count: int) -> list[View]:
    """Draw pairs of frames of one walk each, 1 to `FARTHEST` apart, forwards or backwards in time."""
    apart = rng.integers(1, min(FARTHEST, walks.shape[1] - 1) + 1, count)
    early = rng.integers(0, walks.shape[1] - apart)
    frames = np.stack((early, early + apart))  # [2, count]
    frames = np.where(rng.random(count) < 0.5, frames, frames[::-1])
    which = rng.integers(0, len(walks), count)
    return pair(walks[which, frames[0]], walks[which, frames[1]])


def pair(first: np.ndarray, second: np.ndarray) -> list[View]:
    """Make two views of as many samples as there are frames, shown by their images."""
    origin = torch.from_numpy(first["world_from_cam"][:, :3, 3])
    return [_view(frames, origin) for frames in (first, second)]


def _view(frames: np.ndarray, origin: Tensor) -> View:
    count, (h, w) = len(frames), frames["depth"].shape[1:]
    depth, intrinsics, pose = (
        torch.from_numpy(frames[name].astype(np.float32)) for name in ("depth", "intrinsics", "world_from_cam")
    )
    pose[:, :3, 3] -= origin
    yes, no = torch.ones(count, dtype=torch.bool), torch.zeros(count, dtype=torch.bool)
    return View(
        image=image_tensor(torch.from_numpy(np.ascontiguousarray(frames["rgb"]))),
        depth=depth,
        points=transform(pose, unproject(depth, intrinsics)),
        valid=depth > 0,
        sky=depth < 0,
        intrinsics=intrinsics,
        world_from_cam=pose,
        ray_map=torch.zeros(count, h, w, 6),
        label=[""] * count,
        **dict.fromkeys(("has_image", "update", "metric"), yes),
        **dict.fromkeys(("has_rays", "reset", "camera_only", "depth_only", "single_view"), no),
    )
