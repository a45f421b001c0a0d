"""Pairs of frames out of stored walks."""

import numpy as np
import torch
from torch import Tensor

from cut3r.data.view import View, image_tensor
from cut3r.geometry.cameras import unproject
from cut3r.geometry.poses import transform

FARTHEST = 4  # frames apart


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
