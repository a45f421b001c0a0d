"""A world that stands: up is +z, as splat trainers and Blender expect it."""

import numpy as np
from jaxtyping import Float64

EPS = 1e-9


def upright_from_world(world_from_cam: Float64[np.ndarray, "n 4 4"]) -> Float64[np.ndarray, "4 4"]:
    """Turn the world about its origin so that the cameras' usual up is +z, and the first one looks along +y.

    People hold cameras level more often than not: up is the median over the cameras. No number of metres changes.
    """
    up = _unit(-np.median(world_from_cam[:, :3, 1], axis=0), fallback=-world_from_cam[0, :3, 1])
    right = world_from_cam[0, :3, 0]
    right = _unit(right - (right @ up) * up, fallback=_across(up))
    turned = np.eye(4)
    turned[:3, :3] = np.stack((right, np.cross(up, right), up))
    return turned


def _unit(vector: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > EPS else fallback / np.linalg.norm(fallback)


def _across(up: np.ndarray) -> np.ndarray:
    axis = np.eye(3)[np.abs(up).argmin()]
    return axis - (axis @ up) * up
