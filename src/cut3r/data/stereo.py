"""Depth maps of a place by multi-view stereo: each picture is swept against its helpers, and what they do not confirm
goes.

Large places do not fit into memory, so depth maps that are not yet compared lie in a folder; an interrupted run finds
them there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from cut3r.data.agreement import Seen, agreeing_views
from cut3r.data.layout import read_npy
from cut3r.data.stereo_views import MOST_OTHERS, Helpers
from cut3r.files.atomic import atomic_path
from cut3r.geometry.plane_sweep import Grey, steady, sweep

ALIKE = 0.3  # correlation below which depth is not believed
TOLERANCE, PIXELS = 0.01, 2.0  # how far depths may differ, as a share and in the picture ...
CONFIRMING = 2  # ... for so many other pictures to confirm a pixel
KEPT = 3 * MOST_OTHERS  # pictures, and depth maps, in memory at a time

Known = Mapping[int, Callable[[], Float32[np.ndarray, "h w"]]]


def grey_view(rgb: UInt8[np.ndarray, "h w 3"], intrinsics: np.ndarray, world_from_cam: np.ndarray) -> Grey:
    """Give a picture and its camera as the sweep takes them, on the GPU if there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    image = torch.from_numpy(rgb).to(device).float().mean(dim=-1) / 255
    camera = (torch.from_numpy(np.asarray(each, np.float64)).to(device) for each in (intrinsics, world_from_cam))
    return Grey(image, *camera)


def stereo_depth(
    read: Callable[[int], Grey],
    helpers: Sequence[Helpers | None],
    wanted: Iterable[int],
    folder: Path,
    known: Known | None = None,
) -> Iterator[tuple[int, Float32[np.ndarray, "h w"]]]:
    """Give the depth maps of the wanted pictures, 0 where unknown; pictures without helpers have none.

    Args:
        read: Opens a picture by its number.
        folder: Where maps lie meanwhile; whoever removes it loses the progress, nothing else.
        known: Depth maps of pictures that need no sweep, by number; they confirm others.
    """
    known = known or {}
    view = lru_cache(maxsize=KEPT)(read)

    @lru_cache(maxsize=KEPT)
    def seen(number: int) -> Seen:
        depth = known[number]() if number in known else _swept(view, number, helpers[number], folder)
        return Seen.of(torch.from_numpy(depth), view(number))

    for number in wanted:
        chosen = helpers[number]
        if chosen is None:
            continue
        own = seen(number)
        count = agreeing_views(own, (seen(other) for other in chosen.others), TOLERANCE, PIXELS)
        yield number, np.where(count >= min(CONFIRMING, len(chosen.others)), own.depth, np.float32(0))


def _swept(
    view: Callable[[int], Grey], number: int, helpers: Helpers | None, folder: Path
) -> Float32[np.ndarray, "h w"]:
    """Read the unconfirmed depth of a picture, or compute and keep it."""
    path = folder / f"{number:06d}.npy"
    if path.is_file():
        return read_npy(path).astype(np.float32)
    picture = view(number)
    depth = torch.zeros_like(picture.image)
    if helpers is not None:
        found = sweep(picture, [view(other) for other in helpers.others], helpers.nearest, helpers.farthest)
        depth = steady(*found, ALIKE)
    values: Float32[np.ndarray, "h w"] = depth.float().cpu().numpy()
    with atomic_path(path) as temporary:
        np.save(temporary, values, allow_pickle=False)
    return values
