"""Colours of points and cameras: the image's own, or a measurement on the turbo scale (blue is low, red is high)."""

from enum import Enum
from functools import lru_cache

import numpy as np
from jaxtyping import UInt8

from cut3r.io.turbo import turbo
from cut3r.viewer.view import ShownView

CONFIDENCE_RANGE = (1.0, 30.0)  # the ends of the confidence scale, which is logarithmic


class ColorBy(Enum):
    rgb = "rgb"
    depth = "depth"
    confidence = "confidence"
    time = "time"


@lru_cache(maxsize=4096)  # each redraw asks for those of all frames again
def time_color(position: int, last: int) -> tuple[int, int, int]:
    """Colour a frame by its place between the first frame of the stream (blue) and the last one (red)."""
    r, g, b = turbo(np.array(position / max(last, 1)))
    return int(r), int(g), int(b)


def provisional_last(newest: int) -> int:
    """Guess the last frame of a stream that still runs: a power of two, at least 64.

    So frames change their colours when the stream has doubled, not with every frame.
    """
    return max(64, 1 << newest.bit_length())


def point_colors(view: ShownView, color_by: ColorBy) -> UInt8[np.ndarray, "p 3"]:
    """Colour every point of a view.

    Depth runs from the view's 2nd to its 98th percentile, near blue and far red; confidence over CONFIDENCE_RANGE. Time
    has one colour per view, see `time_color`, so here it gives the image's colours.
    """
    if color_by is ColorBy.depth and len(view.points_cam):
        depth = view.points_cam[:, 2].astype(np.float64)
        near, far = np.percentile(depth, (2, 98))
        return turbo((depth - near) / max(far - near, 1e-6))
    if color_by is ColorBy.confidence:
        low, high = np.log(CONFIDENCE_RANGE)
        return turbo((np.log(view.confidence.astype(np.float64)) - low) / (high - low))
    return view.colors


Ends = tuple[float, float]


def small_maps(view: ShownView) -> tuple[UInt8[np.ndarray, "h w 3"], tuple[Ends, Ends]]:
    """A frame's picture, depth and confidence in a row, and the lowest and highest values of the two scales.

    They span the frame's 2nd to 98th percentiles of depth, in the chunk's units, and of confidence, which is on a
    logarithmic scale. Black is not valid.
    """
    assert view.thumbnail is not None and view.depth_map is not None and view.confidence_map is not None
    depth, confidence = view.depth_map.astype(np.float64), np.log(view.confidence_map.astype(np.float64))
    known = np.isfinite(depth)
    maps, ends = [view.thumbnail], []
    for values in (depth, confidence):
        inside = values[known & np.isfinite(values)]
        low, high = np.percentile(inside, (2, 98)) if len(inside) else (0.0, 1.0)
        shares = np.where(known, (values - low) / max(high - low, 1e-6), 0.0)
        maps.append(np.where(known[..., None], turbo(shares), np.uint8(0)))
        ends.append((float(low), float(high)))
    (near, far), (least, most) = ends
    return np.concatenate(maps, axis=1), ((near, far), (float(np.exp(least)), float(np.exp(most))))
