"""A surface of all frames: their depth is averaged in a grid of signed distances, from which triangles are read (TSDF).

Only pixels count whose point other frames see at the same depth. Source: Curless and Levoy, "A Volumetric Method for
Building Complex Models from Range Images", 1996; the grid is that of Open3D.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from cut3r.data.agreement import agreeing_views
from cut3r.export.exported import ExportedFrame
from cut3r.export.paint import Picture, painted
from cut3r.export.tracks import overlapping
from cut3r.geometry.cameras import unproject
from cut3r.geometry.poses import transform
from cut3r.io.known_cameras import CORNER
from cut3r.io.mesh import Mesh

logger = logging.getLogger(__name__)

BLOCK = 16  # voxels on a side of a block, which Open3D allocates as a whole: 82 kB
MOST_BLOCKS = 10_000  # 0.8 GB
SEEN_ONCE = 0.5  # a voxel's weight is the number of frames that saw it
TRUNCATION = 4.0  # voxels
SMALLEST_PART = 0.01  # of the triangles of the largest part: smaller ones are what is left of noise
LOOKED_AT = 8  # every so many pixels tell how large voxels must be


@dataclass
class MeshConfig:
    """`voxel_m`: None is the size of a pixel at the usual depth. `views`: frames that must see a point, itself counted.

    `tolerance`: share of the depth by which they may differ. `neighbours`: frames that each is compared with.
    """

    voxel_m: float | None = None
    views: int = 3
    tolerance: float = 0.02
    neighbours: int = 12

    def __post_init__(self) -> None:
        if self.voxel_m is not None and not 0 < self.voxel_m < np.inf:
            raise ValueError(f"voxels of {self.voxel_m} metres are none; give a positive length")
        if self.views < 1 or self.neighbours < 1 or not 0 < self.tolerance < 1:
            raise ValueError(f"{self} asks for nothing; expected are a tolerance between 0 and 1, and numbers from 1")


@dataclass(frozen=True)
class Surface:
    """`dropped` is the share of the pixels with depth that too few other frames confirmed."""

    mesh: Mesh
    voxel_m: float
    dropped: float

    def summary(self) -> str:
        """Say in a part of a line what it is, and what was left out."""
        return (
            f"a surface of {len(self.mesh.triangles):,} triangles, voxels of {1000 * self.voxel_m:.1f} mm; "
            f"{100 * self.dropped:.0f} % of the depth was left out because too few other frames confirm it"
        )


def fuse(
    frames: Sequence[ExportedFrame],
    upright: Float64[np.ndarray, "4 4"],
    config: MeshConfig | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    pictures: Iterable[Picture | None] | None = None,
) -> Surface:
    """Make the surface that the frames agree on.

    Args:
        upright: The world of the mesh from that of the frames.
        pictures: The original ones of the frames, in their order, for colours (`painted`); where there is none, those
            of the network's picture stay.

    Raises:
        ImportError: Open3D is not there.
        ValueError: Nothing is left: the frames do not agree.
    """
    config, o3d = config or MeshConfig(), _open3d()
    voxel = _voxel(frames, config.voxel_m)
    single, triple = o3d.core.SizeVector([1]), o3d.core.SizeVector([3])
    volume = o3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight", "color"), (o3d.core.float32,) * 3, (single, single, triple), voxel, BLOCK, MOST_BLOCKS
    )
    known = kept = 0
    for number, others in enumerate(overlapping(frames, config.neighbours)):
        frame = frames[number]
        count = agreeing_views(frame.seen, (frames[other].seen for other in others), config.tolerance)
        agreed = (count + 1 >= min(config.views, len(frames))) & (frame.depth.numpy() > 0)
        known, kept = known + int((frame.depth > 0).sum()), kept + int(agreed.sum())
        _integrate(o3d, volume, frame, np.where(agreed, frame.depth.numpy(), np.float32(0)), upright)
        if on_progress is not None:
            on_progress(number + 1, len(frames))
    mesh = _without_crumbs(volume.extract_triangle_mesh(SEEN_ONCE).to_legacy()) if kept else None
    if mesh is None or not len(mesh.triangles):
        raise ValueError(
            f"no surface is left of {len(frames)} frames: of {known:,} pixels with depth, {config.views} frames agree "
            f"about {kept:,}; a larger tolerance or fewer views let more through, and cut3r align makes frames agree"
        )
    colors = np.rint(np.clip(np.asarray(mesh.vertex_colors), 0, 1) * 255).astype(np.uint8)
    parts = np.asarray(mesh.vertices).astype(np.float32), colors, np.asarray(mesh.triangles).astype(np.int32)
    whole = Mesh(*parts)
    if pictures is not None:
        whole = painted(whole, frames, pictures, upright, voxel_m=voxel, tolerance=config.tolerance)
    return Surface(whole, voxel, 1 - kept / max(known, 1))


def _voxel(frames: Sequence[ExportedFrame], asked: float | None) -> float:
    """The size of a voxel: as asked, or of a pixel, and so large that the blocks that are met fit into the memory."""
    footprints, clouds = [], []
    for frame in frames:
        depth = frame.depth.double()
        some = torch.zeros_like(frame.depth, dtype=torch.bool)
        some[LOOKED_AT // 2 :: LOOKED_AT, LOOKED_AT // 2 :: LOOKED_AT] = True
        some &= depth > 0
        if bool(some.any()):
            footprints.append(float(depth[some].median() / frame.intrinsics[0, 0]))
            clouds.append(transform(frame.world_from_cam, unproject(depth, frame.intrinsics)[some]).numpy())
    if not clouds:
        raise ValueError(f"none of {len(frames)} frames has depth; there is no surface")
    voxel = asked or float(np.median(footprints))
    points = np.concatenate(clouds)
    fits = voxel
    while len(np.unique(np.floor(points / (BLOCK * fits)).astype(np.int64), axis=0)) * 3 > MOST_BLOCKS:
        fits *= 1.25  # truncation reaches into the blocks around a surface: about three for each that it passes
    if fits > voxel:
        logger.warning("voxels of %.4f m would need too much memory; they are %.4f m", voxel, fits)
    return fits


def _integrate(o3d: Any, volume: Any, frame: ExportedFrame, depth: np.ndarray, upright: np.ndarray) -> None:
    if not depth.any():
        return
    cam_from_world = np.linalg.inv(upright @ frame.world_from_cam.numpy())
    intrinsics = frame.intrinsics.numpy().copy()
    intrinsics[:2, 2] += CORNER  # it takes the pixel in whose square a point is, and squares begin at whole numbers
    camera = o3d.core.Tensor(intrinsics), o3d.core.Tensor(cam_from_world)
    image = o3d.t.geometry.Image(o3d.core.Tensor(np.ascontiguousarray(depth)))
    color = o3d.t.geometry.Image(o3d.core.Tensor(frame.image.astype(np.float32) / 255))
    reach = (1.0, float(depth.max()) + 1.0, TRUNCATION)  # the depth's unit, the farthest that counts
    blocks = volume.compute_unique_block_coordinates(image, *camera, *reach)
    volume.integrate(blocks, image, color, *camera, *reach)


def _without_crumbs(mesh: Any) -> Any:
    of_triangle, sizes, _ = mesh.cluster_connected_triangles()
    sizes = np.asarray(sizes)
    if len(sizes):
        mesh.remove_triangles_by_mask(sizes[np.asarray(of_triangle)] < SMALLEST_PART * sizes.max())
        mesh.remove_unreferenced_vertices()
    return mesh


def _open3d() -> Any:
    """Open3D, whose import takes seconds."""
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise ImportError(
            f"a mesh needs Open3D, which cannot be used ({error}): pip install open3d, and on Debian or Ubuntu "
            "apt install libusb-1.0-0 libgl1"
        ) from error
    return open3d
