"""Does the depth of one frame agree with that of the next, once the camera's true motion is undone?

A surface point that both frames see has two predictions of its depth in the second: the second frame's own, and the
first frame's, moved by the true cameras. Which pixels see the same point is known from the truth, so that a wrong depth
cannot escape by landing elsewhere.

Source: after the temporal alignment error (TAE) of Chen et al. 2025 (Video Depth Anything), which looks up the second
depth where the first one leads.
"""

from jaxtyping import Float, Float64
from torch import Tensor

from cut3r.geometry.poses import transform


def flicker(
    depth: Float[Tensor, "p"],
    next_depth: Float[Tensor, "p"],
    rays_cam: Float[Tensor, "p 3"],
    next_from_cam: Float[Tensor, "4 4"],
    next_true: Float[Tensor, "p"],
) -> Float64[Tensor, "p"]:
    """Give the disagreement of each point as a share of its true depth in the next frame.

    Args:
        depth, next_depth: Predicted for the same surface points, metres along each frame's optical axis.
        rays_cam: The points at depth 1 in the first frame's camera.
        next_from_cam: The true motion, metres.
    """
    moved = transform(next_from_cam.double(), rays_cam.double() * depth.double().unsqueeze(-1))[..., 2]
    return (moved - next_depth.double()).abs() / next_true.double()
