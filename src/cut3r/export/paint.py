"""Colours of a surface from the original pictures: each vertex has the mean of what those that see it show there."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, UInt8

from cut3r.data.agreement import same_depth
from cut3r.export.exported import ExportedFrame
from cut3r.io.images import resize
from cut3r.io.mesh import Mesh

Picture = UInt8[np.ndarray, "h w 3"]

MOST_SIDE = 4096  # pixels of the longer side of a picture that is looked at: 50 MB, one at a time
PER_VOXEL = 2.0  # pixels of the picture; what is finer is averaged before, for no vertex could show it
MANY = 200_000  # vertices at a time


def painted(
    mesh: Mesh,
    frames: Sequence[ExportedFrame],
    pictures: Iterable[Picture | None],
    upright: Float64[np.ndarray, "4 4"],
    *,
    voxel_m: float,
    tolerance: float,
) -> Mesh:
    """Give the mesh with the colours of the original pictures; vertices that none of them sees keep theirs.

    A frame sees a vertex if its own depth says so. Nearer ones count more, by the square of their distance.

    Args:
        pictures: Of each frame, in their order; None where there is none.
        upright: The world of the mesh from that of the frames.
        tolerance: Share of the depth by which a vertex may be off.
    """
    world = torch.from_numpy((mesh.vertices.astype(float) - upright[:3, 3]) @ upright[:3, :3])
    total, weights = np.zeros((len(world), 3), np.float32), np.zeros(len(world), np.float32)
    for frame, picture in zip(frames, pictures, strict=True):
        if picture is None:
            continue
        small, (sx, sy) = _as_fine_as_voxels(picture, frame, voxel_m)
        centre = frame.world_from_cam[:3, 3]
        for some in torch.arange(len(world)).split(MANY):
            places, _, seen = same_depth(world[some], frame.seen, tolerance)
            mine, at = some[seen].numpy(), frame.pixel_map.pixels_to_original(places[seen]).numpy()
            weight = 1 / (world[some][seen] - centre).square().sum(dim=-1).clamp_min(1e-6).numpy().astype(np.float32)
            total[mine] += weight[:, None] * _between(small, (at + 0.5) * (sx, sy) - 0.5)
            weights[mine] += weight
    known = weights > 0
    colors = mesh.colors.copy()
    colors[known] = np.rint(total[known] / weights[known, None]).clip(0, 255).astype(np.uint8)
    return replace(mesh, colors=colors)


def _as_fine_as_voxels(
    picture: Picture, frame: ExportedFrame, voxel_m: float
) -> tuple[UInt8[np.ndarray, "h2 w2 3"], tuple[float, float]]:
    """The picture, smaller where it is finer than a surface of such voxels can show, and its scale in x and y."""
    h, w = picture.shape[:2]
    depth = frame.depth[frame.depth > 0]
    footprint = float(depth.median()) / frame.intrinsics_original[0, 0] if len(depth) else voxel_m
    scale = min(1.0, MOST_SIDE / max(h, w), PER_VOXEL * footprint / voxel_m)
    size = (max(2, round(h * scale)), max(2, round(w * scale)))
    return resize(picture, size), (size[1] / w, size[0] / h)


def _between(picture: Picture, at: Float[np.ndarray, "p 2"]) -> Float32[np.ndarray, "p 3"]:
    """The colours at pixels between centres: of the four around them, by their distance."""
    h, w = picture.shape[:2]
    u, v = at[:, 0].clip(0, w - 1), at[:, 1].clip(0, h - 1)
    column, row = np.minimum(u.astype(int), w - 2), np.minimum(v.astype(int), h - 2)
    x, y = (u - column)[:, None].astype(np.float32), (v - row)[:, None].astype(np.float32)
    above = (1 - x) * picture[row, column] + x * picture[row, column + 1]
    below = (1 - x) * picture[row + 1, column] + x * picture[row + 1, column + 1]
    mixed: Float32[np.ndarray, "p 3"] = ((1 - y) * above + y * below).astype(np.float32)
    return mixed
