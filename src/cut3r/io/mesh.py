"""A coloured triangle mesh as .ply or .glb.

PLY: binary little endian, vertices as `write_ply` writes them, then faces as lists of three. GLB: one mesh of
triangles under a root node that turns z up to glTF's y up; its material is unlit, because the colours of a
reconstruction hold the light of the room already.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from cut3r.files.atomic import atomic_path
from cut3r.io.glb_content import GLTF_FROM_Z_UP, TRIANGLES, GlbContent, mesh_of, split_glb, triangles_of
from cut3r.io.ply import CHANNELS, COORDINATES, read_ply, vertex_records

FACE = np.dtype([("count", "u1"), ("vertices", "<i4", (3,))])
NAME = "surface"


@dataclass(frozen=True)
class Mesh:
    """Metres, z up; a triangle holds the numbers of its three vertices, counter-clockwise seen from outside."""

    vertices: Float32[np.ndarray, "v 3"]
    colors: UInt8[np.ndarray, "v 3"]
    triangles: Int32[np.ndarray, "t 3"]


def write_mesh(path: str | os.PathLike[str], mesh: Mesh) -> None:
    """Write the file that the suffix asks for, atomically.

    Raises:
        ValueError: Another suffix, or no triangle.
    """
    suffix = check_mesh_suffix(path)
    if not len(mesh.triangles):
        raise ValueError(f"the mesh for {path} has no triangle")
    content = _glb(mesh) if suffix == ".glb" else _ply(mesh)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_mesh(path: str | os.PathLike[str]) -> Mesh:
    """Read a file of `write_mesh`.

    Raises:
        ValueError: Another suffix, or the file of another program.
    """
    if check_mesh_suffix(path) == ".ply":
        cloud, content = read_ply(path), Path(path).read_bytes()
        header, _, body = content.partition(b"end_header\n")
        lines = header.split(b"\n")
        if b"property list uchar int vertex_indices" not in lines:
            raise ValueError(f"{path} has no faces as write_mesh writes them; open it with trimesh")
        count = int(next(line for line in lines if line.startswith(b"element face")).split()[-1])
        faces = np.frombuffer(body[-count * FACE.itemsize :], FACE)
        return Mesh(cloud.points, cloud.colors, faces["vertices"].copy())
    document, binary = split_glb(Path(path).read_bytes(), path)
    nodes = {node.get("name"): node for node in document.get("nodes", [])}
    if NAME not in nodes:
        raise ValueError(
            f"{path} has no node '{NAME}'; only files of write_mesh are read here, open others with trimesh"
        )
    return Mesh(*mesh_of(NAME, nodes, document, binary), triangles_of(NAME, nodes, document, binary))


def check_mesh_suffix(path: str | os.PathLike[str]) -> str:
    """Return the suffix that chooses the writer.

    Raises:
        ValueError: No writer has this suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".ply", ".glb"):
        raise ValueError(f"{path} has the suffix '{suffix}'; a mesh is written as .ply or .glb")
    return suffix


def _glb(mesh: Mesh) -> bytes:
    content = GlbContent(GLTF_FROM_Z_UP)
    content.add(NAME, TRIANGLES, mesh.vertices, mesh.colors, mesh.triangles.reshape(-1))
    return content.to_bytes()


def _ply(mesh: Mesh) -> bytes:
    faces = np.empty(len(mesh.triangles), FACE)
    faces["count"], faces["vertices"] = 3, mesh.triangles
    lines = ["ply", "format binary_little_endian 1.0", "comment metres, z up", f"element vertex {len(mesh.vertices)}"]
    lines += [f"property float {name}" for name in COORDINATES] + [f"property uchar {name}" for name in CHANNELS]
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(lines).encode("ascii") + vertex_records(mesh.vertices, mesh.colors).tobytes() + faces.tobytes()
