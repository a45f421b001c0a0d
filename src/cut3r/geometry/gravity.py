"""What is up, as far as cameras tell: people hold them level."""

import numpy as np
from jaxtyping import Float, Float64

LEVEL = 0.05  # how much the cameras' own up says beside their level x axes


def up_of_cameras(world_from_cam: Float64[np.ndarray, "n 4 4"]) -> Float64[np.ndarray, "3"]:
    """What is up in the world, of length 1: perpendicular to the cameras' x axes, which people hold level even where
    they tilt the camera, and, as far as those leave it open, along their own up, -y.

    Args:
        world_from_cam: Of one camera or more; OpenCV axes.
    """
    own = unit(-world_from_cam[:, :3, 1].mean(axis=0), fallback=-world_from_cam[0, :3, 1])
    x = world_from_cam[:, :3, 0]
    spread = x.T @ x / len(x) + LEVEL * (np.eye(3) - np.outer(own, own))
    up: np.ndarray = np.linalg.eigh(spread)[1][:, 0]
    return up if up @ own >= 0 else -up


def unit(vector: Float[np.ndarray, "3"], fallback: Float[np.ndarray, "3"]) -> Float64[np.ndarray, "3"]:
    """The direction of a vector; of another one where it has none."""
    length = float(np.linalg.norm(vector))
    chosen = vector / length if length > 1e-9 else fallback / np.linalg.norm(fallback)
    return np.asarray(chosen, np.float64)
