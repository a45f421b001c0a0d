"""Which frames of a run are exported: the sharpest of each stretch of the way."""

import numpy as np
import torch
from jaxtyping import Float, Float64

from cut3r.geometry.poses import rotation_angle

STANDING = 0.01  # of the mean step: what time alone counts, so that a camera that stands still has stretches, too


def choose(
    world_from_cam: Float64[np.ndarray, "n 4 4"],
    sharp: Float[np.ndarray, "n"],
    depths: Float[np.ndarray, "n"],
    most: int,
) -> list[int]:
    """Choose at most so many frames: as many stretches of the way, of equal length, and the sharpest frame of each.

    Args:
        sharp: How sharp each frame is: see `cut3r.inference.keyframes.sharpness`.
        depths: A usual depth of each frame, metres: a metre of way counts less where all is far away.

    Returns:
        Their numbers, in order; all of them if they are no more.
    """
    n = len(world_from_cam)
    if n <= most:
        return list(range(n))
    poses = torch.from_numpy(world_from_cam)
    turns = rotation_angle(poses[1:, :3, :3], poses[:-1, :3, :3]).numpy()
    steps = np.linalg.norm(np.diff(world_from_cam[:, :3, 3], axis=0), axis=1)
    length = steps / np.maximum(np.minimum(depths[1:], depths[:-1]), 1e-6) + turns
    length += STANDING * length.mean() + np.finfo(float).tiny
    way = np.concatenate(([0.0], np.cumsum(length)))
    stretch = np.minimum((way / way[-1] * most).astype(int), most - 1)
    order = np.lexsort((-sharp, stretch))
    first = np.unique(stretch[order], return_index=True)[1]
    return sorted(order[first].tolist())
