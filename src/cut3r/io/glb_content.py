"""The parts of a glTF binary file: meshes under one root node, and the buffer that they share.

Vertex colours are linear, as the standard wants them, and floats: 8 bits would lose dark levels of sRGB, and 16 bits,
which it allows too, come out of trimesh modulo 256. Source: glTF 2.0 specification, sections 3 and 4; the curve of sRGB
is that of IEC 61966-2-1.
"""

import json
import os
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, UInt8

GLTF_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
GLTF_FROM_Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
POINTS, LINES, TRIANGLES = 0, 1, 4  # primitive modes
FLOAT, UNSIGNED_BYTE, UNSIGNED_INT = 5126, 5121, 5125  # component types
DTYPES: dict[int, np.dtype] = {FLOAT: np.dtype("<f4"), UNSIGNED_BYTE: np.dtype("u1"), UNSIGNED_INT: np.dtype("<u4")}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
UNLIT = "KHR_materials_unlit"
AS_SEEN = {  # the colours hold the light of the room already; who does not know the extension lights a matt surface
    "doubleSided": True,
    "extensions": {UNLIT: {}},
    "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0},
}
_LEVELS = np.arange(256) / 255
LINEAR_FROM_SRGB = np.where(  # of each byte, ascending
    _LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4
).astype(np.float32)


@dataclass
class GlbContent:
    """A glTF document under construction: a root node with one child per mesh, and the buffer that the meshes share."""

    gltf_from_world: np.ndarray
    srgb_colors: bool = False
    binary: bytearray = field(default_factory=bytearray)
    views: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)
    meshes: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    surfaces: bool = False

    def add(
        self, name: str, mode: int, positions: np.ndarray, colors: np.ndarray, indices: np.ndarray | None = None
    ) -> None:
        if len(positions) == 0:
            return  # glTF has no empty meshes
        attributes = {"POSITION": self._accessor(positions, FLOAT, "VEC3"), "COLOR_0": self._colors(colors)}
        self.accessors[attributes["POSITION"]] |= {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
        primitive: dict[str, Any] = {"attributes": attributes, "mode": mode}
        if mode == TRIANGLES:
            primitive["material"] = 0
            self.surfaces = True
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
        if self.surfaces:
            document |= {"materials": [AS_SEEN], "extensionsUsed": [UNLIT]}
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), JSON_CHUNK) + text
        if self.binary:
            chunks += struct.pack("<II", len(self.binary), BINARY_CHUNK) + self.binary
        return struct.pack("<III", MAGIC, 2, 12 + len(chunks)) + chunks


def split_glb(content: bytes, path: str | os.PathLike[str]) -> tuple[dict[str, Any], bytes]:
    """The two chunks of a GLB file: the JSON document and the buffer."""
    if len(content) < 20 or struct.unpack_from("<II", content) != (MAGIC, 2):
        raise ValueError(f"{path} does not start with the glTF 2 signature; it is not a GLB file")
    if struct.unpack_from("<I", content, 8)[0] != len(content):
        raise ValueError(f"{path} is {len(content)} bytes long, not as long as its header says; it was cut short")
    (length,) = struct.unpack_from("<I", content, 12)
    return json.loads(content[20 : 20 + length]), content[28 + length :]


def mesh_of(
    name: str, nodes: dict[str, Any], document: dict[str, Any], binary: bytes
) -> tuple[Float32[np.ndarray, "p 3"], UInt8[np.ndarray, "p 3"]]:
    """Positions and colours of the mesh at a node; empty when the file has no such node."""
    if name not in nodes:
        return np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8)
    attributes = document["meshes"][nodes[name]["mesh"]]["primitives"][0]["attributes"]
    positions, colors = (values_of(document, binary, attributes[key]) for key in ("POSITION", "COLOR_0"))
    if colors.dtype == np.float32:
        colors = np.searchsorted(LINEAR_FROM_SRGB, colors).astype(np.uint8)
    return positions, colors[:, :3].copy()


def triangles_of(name: str, nodes: dict[str, Any], document: dict[str, Any], binary: bytes) -> Int32[np.ndarray, "t 3"]:
    """The triangles of the mesh at a node."""
    index = document["meshes"][nodes[name]["mesh"]]["primitives"][0]["indices"]
    return values_of(document, binary, index).reshape(-1, 3).astype(np.int32)


def values_of(document: dict[str, Any], binary: bytes, index: int) -> np.ndarray:
    accessor = document["accessors"][index]
    start, width = document["bufferViews"][accessor["bufferView"]]["byteOffset"], WIDTHS[accessor["type"]]
    flat = np.frombuffer(binary, DTYPES[accessor["componentType"]], accessor["count"] * width, start)
    return flat.reshape(-1, width).copy()
