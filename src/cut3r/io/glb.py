"""A coloured point cloud and the camera frusta around it as one glTF binary file (.glb).

glTF axes are x right, y up, z back. The file keeps the points in the world frame; its root node carries the matrix
`gltf_from_world`, which turns the first camera's OpenCV axes (y down, z forward) into them, so that the scene opens
upright and seen from the first camera. Vertex colours are linear, as the standard wants them, and floats: 8 bits would
lose dark levels of sRGB, and 16 bits, which it allows too, come out of trimesh modulo 256. Source: glTF 2.0
specification, sections 3 and 4; the curve of sRGB is that of IEC 61966-2-1.
"""

import json
import logging
import os
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from cut3r.files.atomic import atomic_path
from cut3r.io.point_cloud import PointCloud, without_non_finite

logger = logging.getLogger(__name__)

GLTF_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
POINTS, LINES = 0, 1  # primitive modes
FLOAT, UNSIGNED_BYTE, UNSIGNED_INT = 5126, 5121, 5125  # component types
DTYPES: dict[int, np.dtype] = {FLOAT: np.dtype("<f4"), UNSIGNED_BYTE: np.dtype("u1"), UNSIGNED_INT: np.dtype("<u4")}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
FRUSTUM_EDGES = np.array([[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1]], np.uint32)
VIRIDIS = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]])  # dark = early
_LEVELS = np.arange(256) / 255
LINEAR_FROM_SRGB = np.where(  # of each byte, ascending
    _LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4
).astype(np.float32)


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
    content = _Content(gltf_from_world, srgb_colors)
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
        document, binary = _split(file.read(), path)
    nodes = {node.get("name"): node for node in document.get("nodes", [])}
    if "world" not in nodes:
        raise ValueError(f"{path} has no node 'world'; only files of write_glb are read here, open others with trimesh")
    points, colors = _mesh_of("points", nodes, document, binary)
    corners, _ = _mesh_of("cameras", nodes, document, binary)
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


@dataclass
class _Content:
    """A glTF document under construction: a root node with one child per mesh, and the buffer that the meshes share."""

    gltf_from_world: np.ndarray
    srgb_colors: bool
    binary: bytearray = field(default_factory=bytearray)
    views: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)
    meshes: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def add(
        self, name: str, mode: int, positions: np.ndarray, colors: np.ndarray, indices: np.ndarray | None = None
    ) -> None:
        if len(positions) == 0:
            return  # glTF has no empty meshes
        attributes = {"POSITION": self._accessor(positions, FLOAT, "VEC3"), "COLOR_0": self._colors(colors)}
        self.accessors[attributes["POSITION"]] |= {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
        primitive: dict[str, Any] = {"attributes": attributes, "mode": mode}
        if indices is not None:
            primitive["indices"] = self._accessor(indices, UNSIGNED_INT, "SCALAR")
        self.meshes.append({"name": name, "primitives": [primitive]})
        self.names.append(name)

    def _colors(self, colors: np.ndarray) -> int:
        if not self.srgb_colors:
            return self._accessor(LINEAR_FROM_SRGB[colors], FLOAT, "VEC3")
        opaque = np.full((len(colors), 1), 255, np.uint8)  # a fourth byte: stays aligned
        index = self._accessor(np.concatenate([colors, opaque], axis=1), UNSIGNED_BYTE, "VEC4")
        self.accessors[index]["normalized"] = True
        return index

    def _accessor(self, values: np.ndarray, component: int, kind: str) -> int:
        content = np.ascontiguousarray(values, DTYPES[component]).tobytes()  # a multiple of 4 bytes: stays aligned
        target = 34963 if kind == "SCALAR" else 34962  # element array buffer, array buffer
        self.views.append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(content), "target": target})
        view = len(self.views) - 1
        self.accessors.append({"bufferView": view, "componentType": component, "count": len(values), "type": kind})
        self.binary += content
        return view

    def to_bytes(self) -> bytes:
        root: dict[str, Any] = {"name": "world", "matrix": self.gltf_from_world.T.ravel().tolist()}
        document: dict[str, Any] = {"asset": {"version": "2.0", "generator": "cut3r"}, "scene": 0}
        document |= {"scenes": [{"nodes": [0]}], "nodes": [root]}
        if self.meshes:
            root["children"] = list(range(1, len(self.meshes) + 1))
            document["nodes"] += [{"name": name, "mesh": mesh} for mesh, name in enumerate(self.names)]
            document |= {"meshes": self.meshes, "accessors": self.accessors, "bufferViews": self.views}
            document["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), JSON_CHUNK) + text
        if self.binary:
            chunks += struct.pack("<II", len(self.binary), BINARY_CHUNK) + self.binary
        return struct.pack("<III", MAGIC, 2, 12 + len(chunks)) + chunks


def _split(content: bytes, path: str | os.PathLike[str]) -> tuple[dict[str, Any], bytes]:
    """The two chunks of a GLB file: the JSON document and the buffer."""
    if len(content) < 20 or struct.unpack_from("<II", content) != (MAGIC, 2):
        raise ValueError(f"{path} does not start with the glTF 2 signature; it is not a GLB file")
    if struct.unpack_from("<I", content, 8)[0] != len(content):
        raise ValueError(f"{path} is {len(content)} bytes long, not as long as its header says; it was cut short")
    (length,) = struct.unpack_from("<I", content, 12)
    return json.loads(content[20 : 20 + length]), content[28 + length :]


def _mesh_of(
    name: str, nodes: dict[str, Any], document: dict[str, Any], binary: bytes
) -> tuple[Float32[np.ndarray, "p 3"], UInt8[np.ndarray, "p 3"]]:
    """Positions and colours of the mesh at a node; empty when the file has no such node."""
    if name not in nodes:
        return np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8)
    attributes = document["meshes"][nodes[name]["mesh"]]["primitives"][0]["attributes"]
    positions, colors = (_values(document, binary, attributes[key]) for key in ("POSITION", "COLOR_0"))
    if colors.dtype == np.float32:
        colors = np.searchsorted(LINEAR_FROM_SRGB, colors).astype(np.uint8)
    return positions, colors[:, :3].copy()


def _values(document: dict[str, Any], binary: bytes, index: int) -> np.ndarray:
    accessor = document["accessors"][index]
    start, width = document["bufferViews"][accessor["bufferView"]]["byteOffset"], WIDTHS[accessor["type"]]
    flat = np.frombuffer(binary, DTYPES[accessor["componentType"]], accessor["count"] * width, start)
    return flat.reshape(-1, width).copy()
