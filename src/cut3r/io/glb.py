"""A coloured point cloud and the camera frusta around it as one glTF binary file (.glb).

glTF axes are x right, y up, z back. The file keeps the points in the world frame; its root node carries the matrix
`gltf_from_world`, which turns the first camera's OpenCV axes (y down, z forward) into them, so that the scene opens
upright and seen from the first camera. Colours: see `glb_content`.
"""

import logging
import os
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from cut3r.files.atomic import atomic_path
from cut3r.io.glb_content import GLTF_FROM_OPENCV, LINES, POINTS, GlbContent, mesh_of, split_glb
from cut3r.io.point_cloud import PointCloud, without_non_finite

logger = logging.getLogger(__name__)

FRUSTUM_EDGES = np.array([[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1]], np.uint32)
VIRIDIS = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]])  # dark = early


@dataclass(frozen=True)
class GlbScene:
    """What a file of `write_glb` holds. Everything is in the world frame, metres.

    A frustum is the camera centre, then the image corners top left, top right, bottom right, bottom left. Cameras that
    were not finite have none.
    """

    cloud: PointCloud
    frusta: Float32[np.ndarray, "v 5 3"]
    gltf_from_world: Float[np.ndarray, "4 4"]


def write_glb(
    path: str | os.PathLike[str],
    cloud: PointCloud,
    world_from_cams: Float[np.ndarray, "v 4 4"],
    intrinsics: Float[np.ndarray, "v 3 3"],
    image_sizes: Int[np.ndarray, "v 2"],
    *,
    frustum_depth: float = 0.1,
    srgb_colors: bool = False,
    gltf_from_world: Float[np.ndarray, "4 4"] | None = None,
) -> None:
    """Write points and cameras, atomically. Frustum colours run from dark violet (first) to yellow (last).

    Points and cameras that are not finite are left out and counted in a warning.

    Args:
        world_from_cams: In the order of time. The first finite one (none: the world itself) decides how the scene is
            turned.
        intrinsics: In pixels of images of `image_sizes`, (h, w).
        frustum_depth: Distance in metres from a camera's centre to its drawn image plane.
        srgb_colors: Write the colours as sRGB bytes, for programs that take vertex colours as they are. Those that
            follow the standard show them too light: a grey of 128 as 188.
        gltf_from_world: How the scene is turned instead: for a world of other axes.
    """
    cloud = without_non_finite(cloud, path)
    finite = np.isfinite(world_from_cams).all(axis=(1, 2)) & np.isfinite(intrinsics).all(axis=(1, 2))
    if not finite.all():
        logger.warning("%d of %d cameras are not finite and were left out of %s", (~finite).sum(), len(finite), path)
    world_from_cams = world_from_cams[finite]
    if gltf_from_world is None:
        first = world_from_cams[0].astype(np.float64) if len(world_from_cams) else np.eye(4)
        gltf_from_world = GLTF_FROM_OPENCV @ np.linalg.inv(first)
    content = GlbContent(gltf_from_world, srgb_colors)
    content.add("points", POINTS, cloud.points, cloud.colors)
    corners = frusta(world_from_cams, intrinsics[finite], image_sizes[finite], frustum_depth)
    edges = FRUSTUM_EDGES + 5 * np.arange(len(corners), dtype=np.uint32)[:, None, None]
    colors = _gradient(len(finite))[finite]
    content.add("cameras", LINES, corners.reshape(-1, 3), np.repeat(colors, 5, axis=0), edges.reshape(-1))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.to_bytes())


def read_glb(path: str | os.PathLike[str]) -> GlbScene:
    """Read a file of `write_glb`, with either kind of colours.

    Raises:
        ValueError: Not a GLB file, or the GLB file of another program.
    """
    with open(path, "rb") as file:
        document, binary = split_glb(file.read(), path)
    nodes = {node.get("name"): node for node in document.get("nodes", [])}
    if "world" not in nodes:
        raise ValueError(f"{path} has no node 'world'; only files of write_glb are read here, open others with trimesh")
    points, colors = mesh_of("points", nodes, document, binary)
    corners, _ = mesh_of("cameras", nodes, document, binary)
    matrix = np.array(nodes["world"]["matrix"], np.float64).reshape(4, 4).T  # glTF stores columns
    return GlbScene(PointCloud(points, colors), corners.reshape(-1, 5, 3), matrix)


def frusta(
    world_from_cams: Float[np.ndarray, "v 4 4"],
    intrinsics: Float[np.ndarray, "v 3 3"],
    image_sizes: Int[np.ndarray, "v 2"],
    depth: float,
) -> Float32[np.ndarray, "v 5 3"]:
    """Place camera centres and outer image corners at `depth` metres in the world frame, in the order of `GlbScene`."""
    height, width = image_sizes[:, 0], image_sizes[:, 1]
    left, right, top, bottom = np.full(len(width), -0.5), width - 0.5, np.full(len(width), -0.5), height - 0.5
    pixels = np.stack([[left, top], [right, top], [right, bottom], [left, bottom]]).transpose(2, 0, 1)  # [v, 4, 2]
    homogeneous = np.concatenate([pixels, np.ones_like(pixels[..., :1])], axis=-1)
    rays = homogeneous @ np.linalg.inv(intrinsics.astype(np.float64)).transpose(0, 2, 1)
    corners_cam = np.concatenate([np.zeros_like(rays[:, :1]), depth * rays], axis=1)  # [v, 5, 3]
    rotation, translation = world_from_cams[:, :3, :3], world_from_cams[:, None, :3, 3]
    return (corners_cam @ rotation.transpose(0, 2, 1) + translation).astype(np.float32)


def _gradient(count: int) -> UInt8[np.ndarray, "v 3"]:
    """Colours along time."""
    position = np.linspace(0, len(VIRIDIS) - 1, count)
    channels = [np.interp(position, np.arange(len(VIRIDIS)), VIRIDIS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)
