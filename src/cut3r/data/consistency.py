"""Do cameras and depth maps of a dataset fit together? Wrong axes, inverted poses and depth along the ray do not."""

from cut3r.data.view import View
from cut3r.geometry.cameras import project
from cut3r.geometry.poses import invert, transform


def seen_again(first: View, second: View) -> tuple[float, float]:
    """Look at the points of one view of a sample from another one: they must have the depth that is stored there.

    Returns:
        The share of the second view's points that lie where the first has depth, and the median error of their depth
        there, as a share of it (nan if there are none). Of what stands behind something in the first view, the error is
        large, so the views should overlap by half or more.
    """
    pixels, depth = project(transform(invert(first.world_from_cam), second.points), first.intrinsics)
    x, y = pixels.round().long().unbind(dim=-1)
    h, w = first.size
    seen = second.valid & (depth > 0) & (x >= 0) & (x < w) & (y >= 0) & (y < h)
    stored = first.depth[y[seen], x[seen]]
    known = stored > 0
    errors = ((depth[seen] - stored).abs() / stored)[known]
    return known.sum().item() / max(1, int(second.valid.sum())), float(errors.median())
