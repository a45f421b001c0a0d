"""Point clouds as PLY files (Stanford polygon format).

Written: binary little endian, x y z as float32, red green blue as uint8, then confidence (float32) and frame (int32)
when the cloud has them. Read: the same properties by name, in any order and type, binary of either byte order or text;
other properties, and elements after the vertices (faces), are ignored.
"""

import os
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from jaxtyping import Float32, Int32, Shaped, UInt8

from cut3r.files.atomic import atomic_path
from cut3r.io.point_cloud import PointCloud, without_non_finite

COORDINATES, CHANNELS = ["x", "y", "z"], ["red", "green", "blue"]
BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
TYPES = {
    **{
        "char": "i1",
        "uchar": "u1",
        "short": "i2",
        "ushort": "u2",
        "int": "i4",
        "uint": "u4",
        "float": "f4",
        "double": "f8",
    },
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float32": "f4", "float64": "f8"},
}
WRITTEN_NAMES = {"<f4": "float", "|u1": "uchar", "<i4": "int"}  # the oldest type names, which every reader knows


def write_ply(path: str | os.PathLike[str], cloud: PointCloud) -> None:
    """Write a cloud, atomically. Points that are not finite are left out and counted in a warning."""
    cloud = without_non_finite(cloud, path)
    vertices = vertex_records(cloud.points, cloud.colors, cloud.confidence, cloud.frame)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_header_of(vertices).encode("ascii"))
        file.write(vertices.tobytes())


def read_ply(path: str | os.PathLike[str]) -> PointCloud:
    """Read the vertices of a PLY file; points without colours become white.

    Raises:
        ValueError: Not a PLY file, or one without float coordinates, or cut short.
    """
    with open(path, "rb") as file:
        header = _read_header(file, path)
        vertices = _read_vertices(file, header, path)
    names = vertices.dtype.names or ()
    if any(name not in names for name in COORDINATES):
        raise ValueError(f"{path} has the vertex properties {', '.join(names)}; a point cloud needs x, y and z")
    return PointCloud(
        points=np.stack([vertices[name] for name in COORDINATES], axis=-1).astype(np.float32),
        colors=_colors(vertices, path),
        confidence=vertices["confidence"].astype(np.float32) if "confidence" in names else None,
        frame=vertices["frame"].astype(np.int32) if "frame" in names else None,
    )


@dataclass(frozen=True)
class _Header:
    format: str  # a key of BYTE_ORDERS
    count: int  # of vertices
    vertex: np.dtype


def vertex_records(
    points: Float32[np.ndarray, "p 3"],
    colors: UInt8[np.ndarray, "p 3"],
    confidence: Float32[np.ndarray, "p"] | None = None,
    frame: Int32[np.ndarray, "p"] | None = None,
) -> Shaped[np.ndarray, "p"]:
    """One record per point, in the order of the file."""
    columns = {name: points[:, axis].astype("<f4") for axis, name in enumerate(COORDINATES)}
    columns |= {name: colors[:, axis] for axis, name in enumerate(CHANNELS)}
    if confidence is not None:
        columns["confidence"] = confidence.astype("<f4")
    if frame is not None:
        columns["frame"] = frame.astype("<i4")
    vertices = np.empty(len(points), dtype=[(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        vertices[name] = column
    return vertices


def _header_of(vertices: np.ndarray) -> str:
    names = vertices.dtype.names or ()
    properties = [f"property {WRITTEN_NAMES[vertices.dtype[name].str]} {name}" for name in names]
    lines = ["ply", "format binary_little_endian 1.0", "comment metres, OpenCV axes of the first camera"]
    return "\n".join([*lines, f"element vertex {len(vertices)}", *properties, "end_header", ""])


def _read_header(file: BinaryIO, path: str | os.PathLike[str]) -> _Header:
    if file.readline().strip() != b"ply":
        raise ValueError(f"{path} does not start with 'ply'; it is not a PLY file")
    layout, elements, properties = "", [], []
    while (line := file.readline()).strip() != b"end_header":
        match line.decode("latin-1").split():
            case ["format", name, _]:
                layout = name
            case ["element", name, count]:
                elements.append((name, int(count)))
            case ["property", "list", *_] if len(elements) == 1:
                raise ValueError(f"{path} has a list property in its vertices; a point has only single values")
            case ["property", kind, name] if len(elements) == 1 and kind in TYPES:
                properties.append((name, TYPES[kind]))
            case ["property", *_] if len(elements) > 1:
                pass
            case [] if line:
                pass
            case ["comment" | "obj_info", *_]:
                pass
            case _:
                raise ValueError(f"{path} has the header line {line!r}, which is no PLY; it is damaged or cut short")
    if layout not in BYTE_ORDERS:
        raise ValueError(f"{path} has the format '{layout}'; expected one of {', '.join(BYTE_ORDERS)}")
    if not elements or elements[0][0] != "vertex":
        raise ValueError(
            f"{path} has the elements {[name for name, _ in elements]}; expected 'vertex' as the first one"
        )
    order = BYTE_ORDERS[layout]
    return _Header(layout, elements[0][1], np.dtype([(name, order + kind) for name, kind in properties]))


def _read_vertices(file: BinaryIO, header: _Header, path: str | os.PathLike[str]) -> np.ndarray:
    if header.format == "ascii":
        rows = [line.split() for line in file.readlines()[: header.count]]
        if all(len(row) == len(header.vertex.names or ()) for row in rows):
            vertices = np.array([tuple(row) for row in rows], dtype=header.vertex)
        else:
            vertices = np.empty(0, header.vertex)
    else:
        content = file.read(header.count * header.vertex.itemsize)
        vertices = np.frombuffer(content, header.vertex, len(content) // max(header.vertex.itemsize, 1))
    if len(vertices) != header.count:
        raise ValueError(
            f"{path} announces {header.count} points but holds {len(vertices)}; it was cut short, write it again"
        )
    return vertices


def _colors(vertices: np.ndarray, path: str | os.PathLike[str]) -> np.ndarray:
    if any(name not in (vertices.dtype.names or ()) for name in CHANNELS):
        return np.full((len(vertices), 3), 255, np.uint8)
    kinds = {vertices.dtype[name] for name in CHANNELS}
    if kinds != {np.dtype(np.uint8)}:
        raise ValueError(f"{path} has colours of type {', '.join(map(str, kinds))}; expected uchar (0 to 255)")
    return np.stack([vertices[name] for name in CHANNELS], axis=-1)
