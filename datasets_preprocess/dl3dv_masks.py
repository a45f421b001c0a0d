"""Masks of DL3DV-10K: sky, and depth that other views contradict; those of the download go before ours."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from cut3r.data.agreement import Seen, agreeing_views
from cut3r.data.datasets.dl3dv import at_size, read_mask
from cut3r.data.layout import read_npy, read_npz
from cut3r.io.images import read_image
from cut3r.io.sky import find_sky
from datasets_preprocess.depth_options import Sky
from datasets_preprocess.runner import Writer

MASKS = {"sky": "sky_mask", "outlier": "outlier_mask"}
NEAREST_VIEWS, AGREEING_VIEWS = 4, 2  # a depth is kept if so many of the nearest views agree
TOLERANCE = 0.05  # of the depth
Mask = Bool[np.ndarray, "h w"]


def write_masks(
    name: str, frames: list[str], writer: Writer, published: Callable[[str, str], Path | None], sky: Sky
) -> None:
    """Write the masks of frames that have depth.

    Args:
        published: Gives the mask of a kind and frame in the download, if there is one.

    Raises:
        ValueError: A published mask is damaged.
    """

    @lru_cache(maxsize=8 * NEAREST_VIEWS)
    def seen(number: int) -> Seen:
        pose, intrinsics = read_npz(writer.path("camera", name, frames[number]), "pose", "intrinsic")
        return Seen(read_npy(writer.path("depth", name, frames[number])).astype(np.float32), intrinsics, pose)

    centres = np.stack([read_npz(writer.path("camera", name, frame), "pose")[0][:3, 3] for frame in frames])
    for number, frame in enumerate(frames):
        own = {kind: published(kind, frame) for kind in MASKS}
        masks = {kind: read_mask(path) for kind, path in own.items() if path is not None}
        depth = seen(number).depth
        if "sky" not in masks:
            masks["sky"] = _sky(writer.path("rgb", name, frame), depth, sky)
        if "outlier" not in masks:
            nearest = np.argsort(np.linalg.norm(centres - centres[number], axis=1), kind="stable")
            others = [int(other) for other in nearest if other != number][:NEAREST_VIEWS]
            agreeing = agreeing_views(seen(number), (seen(other) for other in others), TOLERANCE)
            is_sky = at_size(masks["sky"], (depth.shape[0], depth.shape[1]))
            masks["outlier"] = (depth > 0) & ~is_sky & (agreeing < min(AGREEING_VIEWS, len(others)))
        for kind, mask in masks.items():
            if (path := own[kind]) is not None:
                writer.copy(kind, name, frame, path)
            else:
                writer.png8(kind, name, frame, np.where(mask, 255, 0).astype(np.uint8))


def _sky(rgb: Path, depth: np.ndarray, sky: Sky) -> Mask:
    if sky is Sky.off:
        return np.zeros(depth.shape, bool)
    picture = read_image(rgb)
    return find_sky(picture, at_size(depth, (picture.shape[0], picture.shape[1])))
