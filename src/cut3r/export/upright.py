"""A world that stands: up is +z, as splat trainers and Blender expect it."""

import numpy as np
from jaxtyping import Float64

from cut3r.geometry.gravity import unit, up_of_cameras


def upright_from_world(world_from_cam: Float64[np.ndarray, "n 4 4"]) -> Float64[np.ndarray, "4 4"]:
    """Turn the world about its origin so that the cameras' up is +z, and the first one looks along +y.

    Up is that of `up_of_cameras`. No number of metres changes.
    """
    up = up_of_cameras(world_from_cam)
    right = world_from_cam[0, :3, 0]
    right = unit(right - (right @ up) * up, fallback=_across(up))
    turned = np.eye(4)
    turned[:3, :3] = np.stack((right, np.cross(up, right), up))
    return turned


def _across(up: np.ndarray) -> np.ndarray:
    axis = np.eye(3)[np.abs(up).argmin()]
    return axis - (axis @ up) * up
