"""How many metres the unit of a COLMAP model is: a sensor's depth of the model's points, by that in the model."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Float64

from cut3r.data.captures import plain_name
from cut3r.data.shot import Matrix, Shot
from cut3r.geometry.poses import invert, transform
from cut3r.io.colmap import ColmapImage, model_file, read_cameras, read_images
from cut3r.io.colmap_points import read_points3d
from cut3r.io.selection import spread

logger = logging.getLogger(__name__)

DepthOf = Callable[[str], Float32[np.ndarray, "h w"] | None]

IMAGES = 12  # that are looked at, spread over the model
FEWEST = 20  # points with depth
SAME_UNIT = 0.03  # relative: a model whose unit is so close to the metre has been scaled already
AGREE = 0.1  # relative: as far as a point's ratio may be from the median of all ...
LEAST_AGREE = 0.5  # ... for this share of them


def in_metres(shots: Mapping[str, Shot], model: Path, *, per_metre: float, least_confidence: int) -> dict[str, Shot]:
    """Give the poses of a COLMAP model the unit of the sensor's depth, if they have another one.

    Args:
        shots: By the names of the model's images, without suffix.

    Raises:
        ValueError: The points of the model do not agree on it.
    """

    def depth_of(image: str) -> Float32[np.ndarray, "h w"] | None:
        shot = shots.get(plain_name(image))
        return None if shot is None else shot.depth.read(per_metre=per_metre, least_confidence=least_confidence)

    scale = metres_per_unit(model, depth_of)
    if scale is None:
        logger.warning("%s: too few points have depth to tell its unit, which is taken for the metre", model)
    if scale is None or abs(scale - 1) <= SAME_UNIT:
        return dict(shots)
    logger.info("%s: its unit is %.4g m, by the depth of its points; its poses are scaled", model, scale)
    return {name: replace(shot, pose=_scaled(shot.world_from_cam(), scale)) for name, shot in shots.items()}


def metres_per_unit(model: Path, depth_of: DepthOf) -> float | None:
    """Give the median of depth in metres by depth in the model, over its points in some images; None without points.

    Args:
        depth_of: Gives the depth map of an image of this name, not undistorted; None if there is none.

    Raises:
        ValueError: Most points do not agree on it.
    """
    cameras, images, points = (model_file(model, name) for name in ("cameras", "images", "points3D"))
    if cameras is None or images is None or points is None:
        return None
    sizes = {number: camera.size for number, camera in read_cameras(cameras).items()}
    world = _by_number(points)
    every = read_images(images, points=True)
    chosen = [every[position] for position in spread(len(every), IMAGES)]
    parts = [_ratios(image, sizes[image.camera], world, depth_of(image.name)) for image in chosen]
    ratios = np.concatenate([np.empty(0), *parts])
    if len(ratios) < FEWEST:
        return None
    median = float(np.median(ratios))
    agree = float((np.abs(ratios / median - 1) <= AGREE).mean())
    if agree < LEAST_AGREE:
        raise ValueError(
            f"{model}: only {agree:.0%} of {len(ratios)} points have the same depth in the model and, but for a scale, "
            "in the depth maps; check that depth lies on the pictures, and its unit, or leave out what moves"
        )
    return median


def _scaled(world_from_cam: Matrix, scale: float) -> Matrix:
    scaled = world_from_cam.copy()
    scaled[:3, 3] *= scale
    return scaled


def _by_number(path: Path) -> dict[int, Float64[np.ndarray, "3"]]:
    points = read_points3d(path)
    return dict(zip(points.ids.tolist(), points.world, strict=True))


def _ratios(
    image: ColmapImage,
    size: tuple[int, int],
    world: dict[int, Float64[np.ndarray, "3"]],
    depth: Float32[np.ndarray, "h w"] | None,
) -> Float64[np.ndarray, "k"]:
    """Depth in metres by depth in the model, of the points of an image of `size` (h, w) that have both."""
    if depth is None or image.pixels is None or image.points is None:
        return np.empty(0)
    seen = [k for k, number in enumerate(image.points.tolist()) if number in world]
    if not seen:
        return np.empty(0)
    points = torch.from_numpy(np.stack([world[int(image.points[k])] for k in seen]))
    z = transform(invert(torch.from_numpy(image.world_from_cam)), points)[:, 2].numpy()
    h, w = depth.shape
    column, row = np.floor((image.pixels[seen] + 0.5) * (w / size[1], h / size[0])).astype(int).T
    usable = (column >= 0) & (column < w) & (row >= 0) & (row < h) & (z > 0)
    measured = depth[row[usable], column[usable]]
    return (measured[measured > 0] / z[usable][measured > 0]).astype(np.float64)
