"""Where the patches of a view lie in the first view of its sequence: the truth behind guidance.

It follows from depth, intrinsics and poses. A place is (x, y) in the first image, -1 and 1 at its edges. Patches and
tokens are counted row by row.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from cut3r.data.view import View
from cut3r.geometry.cameras import project
from cut3r.geometry.poses import invert, transform

NEAREST = 0.02  # of its depth in its own view: a point closer to the first camera's plane has no useful place
TOLERANCE = 0.05  # of the depth: a point this much deeper than what the first view sees there is hidden


@dataclass(frozen=True)
class Correspondence:
    """The first view's sight of the patch centres of another view.

    `place` is right where `known`: the point has a depth and lies in front of the first camera. `visible` points are
    also inside of the first image, and nothing stands before them.
    """

    place: Float[Tensor, "b n 2"]
    known: Bool[Tensor, "b n"]
    visible: Bool[Tensor, "b n"]


@torch.no_grad()
def correspond(view: View, first: View, patch: int) -> Correspondence:
    """Find the centres of a view's patches in the first view.

    Nothing is known of samples whose depth or poses do not relate the two views, or that show one of them without its
    image. With an even `patch` the pixel below and right of the centre stands for it.
    """
    depth, valid, points = (
        values[:, patch // 2 :: patch, patch // 2 :: patch].flatten(1, 2)
        for values in (view.depth, view.valid, view.points)
    )
    pixels, z = project(transform(invert(first.world_from_cam), points), first.intrinsics)
    known = valid & (z > NEAREST * depth) & _related(view, first).unsqueeze(1)
    pixels = torch.where(known.unsqueeze(-1), pixels, 0.0)
    h, w = first.size
    place = (pixels + 0.5) / pixels.new_tensor([w, h]) * 2 - 1
    inside = (place.abs() < 1).all(dim=-1)
    return Correspondence(place, known, known & inside & _in_sight(first, pixels, z))


def soft_labels(
    place: Float[Tensor, "b n 2"], grid: tuple[int, int], *, columns: int, tokens: int
) -> Float[Tensor, "b n t"]:
    """Share each place among the four tokens around it, bilinearly; places outside of the image go to its edge.

    Args:
        grid: (rows, columns) of patches in the image.
        columns: Of the tokens' own grid, whose first rows and columns are the image's.
        tokens: How many there are.
    """
    last = place.new_tensor([grid[1] - 1, grid[0] - 1])
    at = ((place + 1) / 2 * (last + 1) - 0.5).clamp_min(0).minimum(last)  # [b, n, 2], in tokens
    low = at.floor()
    high, share = (low + 1).minimum(last), at - low
    labels = place.new_zeros(*place.shape[:2], tokens)
    for x, x_share in ((low[..., 0], 1 - share[..., 0]), (high[..., 0], share[..., 0])):
        for y, y_share in ((low[..., 1], 1 - share[..., 1]), (high[..., 1], share[..., 1])):
            labels.scatter_add_(-1, (y * columns + x).long().unsqueeze(-1), (x_share * y_share).unsqueeze(-1))
    return labels


def _related(view: View, first: View) -> Bool[Tensor, "b"]:
    return view.has_image & first.has_image & ~(view.camera_only | view.depth_only | view.single_view)


def _in_sight(first: View, pixels: Float[Tensor, "b n 2"], z: Float[Tensor, "b n"]) -> Bool[Tensor, "b n"]:
    """Compare depths with the first view's, within the range of the pixels around: slanted surfaces are no edges."""
    h, w = first.size
    x, y = (pixels[..., axis].round().long().clamp(0, side - 1) for axis, side in ((0, w), (1, h)))
    far, near = (F.max_pool2d(sign * first.depth.unsqueeze(1), 3, stride=1, padding=1) * sign for sign in (1, -1))
    far, near, valid = (values.flatten(1).gather(1, y * w + x) for values in (far, near, first.valid))
    return valid & (z >= (1 - TOLERANCE) * near) & (z <= (1 + TOLERANCE) * far)
